// The record of what was erased from a dump when it was written: lines of text, "erase WHAT size N".
//
// ELF dumps have it in a note, kdump-compressed ones where their sub header says; that is a note, too, once
// the dump is open, so that a copy of the notes carries it on. Source: makedumpfile elf_info.h,
// diskdump_mod.h.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/formats/dump.h"

namespace kdk {

inline constexpr std::string_view eraseinfo_note = "ERASEINFO";

// Untrusted text; empty when nothing was erased, as far as the dump says.
std::string eraseinfo(const Dump& dump);
// The same line by line.
std::vector<std::string> eraseinfo_lines(const Dump& dump);

// The notes with this record in place of one that they have.
std::vector<uint8_t> notes_with_eraseinfo(Bytes notes, std::string_view text);

}  // namespace kdk
