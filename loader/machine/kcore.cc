#include "loader/machine/kcore.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/formats/notes.h"
#include "loader/plan/elf64.h"

namespace kdk {
namespace {

constexpr uint64_t max_notes_size = 1 << 20;  // the kernel's are under 8 KiB
constexpr uint64_t no_paddr = ~uint64_t{0};

// The text of the VMCOREINFO note in `notes`, or an empty string.
std::string find_vmcoreinfo(Bytes notes) {
  for (const Note& note : parse_notes(notes)) {
    if (note.name != "VMCOREINFO") continue;
    std::string text(as_text(note.desc));
    return text.substr(0, text.find('\0'));
  }
  return {};
}

}  // namespace

Kcore parse_kcore(const ReadAt& read) {
  std::vector<uint8_t> head = read(0, sizeof(elf64::Header));
  Cursor cursor(head, "ELF header");
  auto header = cursor.read<elf64::Header>();
  if (!std::equal(elf64::ident_le64.begin(), elf64::ident_le64.begin() + 6, header.ident.begin())) {
    throw Error(Errc::format, "not an ELF64 little-endian file");
  }
  if (header.type != elf64::type_core)
    throw Error(Errc::format, fmt::format("ELF type {} is not a core", +header.type));
  if (header.phentsize != sizeof(elf64::ProgramHeader) || header.phnum == elf64::phnum_extended) {
    throw Error(Errc::format, fmt::format("{} program headers of {} bytes are not what the kernel writes",
                                          +header.phnum, +header.phentsize));
  }
  Kcore kcore;
  kcore.machine = header.machine;
  std::vector<uint8_t> table = read(header.phoff, uint64_t{header.phnum} * sizeof(elf64::ProgramHeader));
  Cursor rows(table, "program headers");
  for (unsigned i = 0; i < header.phnum; ++i) {
    auto row = rows.read<elf64::ProgramHeader>();
    if (row.type == elf64::pt_note && kcore.vmcoreinfo.empty()) {
      if (row.filesz > max_notes_size) {
        throw Error(Errc::format, fmt::format("a note segment of {:#x} bytes is not plausible", +row.filesz));
      }
      std::vector<uint8_t> notes = read(row.offset, row.filesz);
      kcore.vmcoreinfo = find_vmcoreinfo(notes);
    }
    if (row.type != elf64::pt_load || row.paddr == no_paddr || row.memsz == 0) continue;
    if (!checked_add(row.paddr, row.memsz)) {
      throw Error(Errc::format,
                  fmt::format("segment {} wraps: {:#x} bytes at physical {:#x}", i, +row.memsz, +row.paddr));
    }
    kcore.segments.push_back({row.vaddr, row.paddr, row.memsz});
  }
  return kcore;
}

}  // namespace kdk
