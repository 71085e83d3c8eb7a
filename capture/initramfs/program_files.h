// The files that a program with shared libraries needs in an initramfs: an ssh client, the kdump-capture with
// libcurl. Its loader and, of the libraries it names and these name, each where the loader looks without a
// cache. Source: ELF gABI chapter 5 (dynamic section), ld.so(8).
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/base/bytes.h"
#include "core/base/file.h"

namespace kdk {

struct ElfNeeds {
  std::string interpreter;             // its loader; empty: linked statically, or a library
  std::vector<std::string> libraries;  // DT_NEEDED
};
// Throws Error{format} for what is no 64-bit ELF file, or contradicts itself.
ElfNeeds elf_needs(Bytes file, std::string_view name);

struct ProgramFile {
  std::filesystem::path source;  // below the root that was looked in
  std::string target;            // in the image, without a slash in front
};
// What `program` (in `root`) needs besides itself. Throws Error{missing} for a library that is not there.
std::vector<ProgramFile> program_files(const SysRoot& root, const std::filesystem::path& program);

// "ssh" in the directories where programs are; a path is itself. Throws Error{missing}.
std::filesystem::path find_program(const SysRoot& root, const std::string& name);

}  // namespace kdk
