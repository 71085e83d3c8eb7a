#include "loader/plan/elfcorehdr.h"

#include <fmt/format.h>

#include <algorithm>

#include "loader/plan/elf64.h"

namespace kdk {

std::string_view to_string(CoreHeader::Kind kind) {
  switch (kind) {
    case CoreHeader::Kind::cpu_note:
      return "cpu_note";
    case CoreHeader::Kind::vmcoreinfo:
      return "vmcoreinfo";
    case CoreHeader::Kind::kernel_image:
      return "kernel_image";
    case CoreHeader::Kind::ram:
      return "ram";
  }
  return "unknown";
}

std::vector<CoreHeader> list_core_headers(const Machine& machine, const KernelAddresses& addresses,
                                          const std::vector<Range>& ram) {
  std::vector<CoreHeader> headers;
  for (const CpuNote& note : machine.cpu_notes) {
    headers.push_back({CoreHeader::Kind::cpu_note, note.cpu, note.memory, 0});
  }
  headers.push_back({CoreHeader::Kind::vmcoreinfo, std::nullopt, machine.vmcoreinfo_note, 0});
  if (addresses.image) {
    // A second view of memory that is in a RAM range too: debuggers look for the image at its own virtual
    // address.
    headers.push_back(
        {CoreHeader::Kind::kernel_image, std::nullopt, addresses.image->memory, addresses.image->vaddr});
  }
  for (const Range& range : ram) {
    uint64_t vaddr = addresses.linear_offset ? range.start + *addresses.linear_offset : 0;
    headers.push_back({CoreHeader::Kind::ram, std::nullopt, range, vaddr});
  }
  return headers;
}

std::vector<uint8_t> make_elfcorehdr(const std::vector<CoreHeader>& headers, uint16_t elf_machine) {
  if (headers.size() >= elf64::phnum_extended) {
    throw Error(Errc::unsupported,
                fmt::format("{} program headers do not fit an ELF header", headers.size()));
  }
  elf64::Header header;
  header.ident = elf64::ident_le64;
  header.type = elf64::type_core;
  header.machine = elf_machine;
  header.version = 1;
  header.phoff = sizeof(elf64::Header);
  header.ehsize = sizeof(elf64::Header);
  header.phentsize = sizeof(elf64::ProgramHeader);
  header.phnum = static_cast<uint16_t>(headers.size());

  std::vector<uint8_t> bytes(sizeof(elf64::Header) + headers.size() * sizeof(elf64::ProgramHeader));
  store(bytes, 0, header);
  for (size_t i = 0; i < headers.size(); ++i) {
    const CoreHeader& source = headers[i];
    bool is_load = source.kind == CoreHeader::Kind::ram || source.kind == CoreHeader::Kind::kernel_image;
    elf64::ProgramHeader row;
    row.type = is_load ? elf64::pt_load : elf64::pt_note;
    row.flags = is_load ? elf64::flags_rwx : 0;
    row.offset = source.memory.start;
    row.vaddr = source.vaddr;
    row.paddr = source.memory.start;
    row.filesz = source.memory.size;
    row.memsz = source.memory.size;
    store(bytes, sizeof(elf64::Header) + i * sizeof(elf64::ProgramHeader), row);
  }
  return bytes;
}

uint64_t elfcorehdr_size(const Machine& machine, size_t headers) {
  constexpr uint64_t unit = 4096;  // ELF_CORE_HEADER_ALIGN of include/linux/crash_core.h
  uint64_t rows = std::max(machine.elfcorehdr_size.value_or(0), headers * sizeof(elf64::ProgramHeader));
  return align_up(sizeof(elf64::Header) + rows, unit);
}

}  // namespace kdk
