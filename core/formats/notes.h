// ELF notes as they appear in vmcores and in kdump-compressed files.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/bytes.h"

namespace kdk {

constexpr uint32_t nt_prstatus =
    1;  // name "CORE": registers of one CPU (linux/elfcore.h struct elf_prstatus)

struct Note {
  std::string name;  // "CORE", "VMCOREINFO", "ERASEINFO", "QEMU", ...
  uint32_t type = 0;
  uint64_t desc_offset = 0;  // of the descriptor inside the note bytes that were parsed
  std::vector<uint8_t> desc;
};

// Parses a run of ELF notes (4-byte aligned, little-endian). Stops at the first impossible one; `problem`, if
// given, gets a sentence when that happened. All-zero padding ends a run silently: a CPU that never wrote its
// note leaves zeros.
std::vector<Note> parse_notes(Bytes bytes, std::string* problem = nullptr);

// Where the last of `notes` (as parsed) ends, padding included; 0 without notes. Another run may be appended
// there.
uint64_t notes_end(const std::vector<Note>& notes);

// Appends one note with its padding, in the form parse_notes() reads.
void append_note(std::vector<uint8_t>& out, std::string_view name, uint32_t type, Bytes desc);

}  // namespace kdk
