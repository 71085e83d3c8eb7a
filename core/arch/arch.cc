// The table of architectures. A new one is a file of its own and a line here.
#include "core/arch/arch.h"

namespace kdk {

std::string_view to_string(Translation::Status status) {
  switch (status) {
    case Translation::Status::mapped:
      return "mapped";
    case Translation::Status::unmapped:
      return "not mapped";
    case Translation::Status::table_unavailable:
      return "page table not in the dump";
    case Translation::Status::not_kernel:
      return "not a kernel address";
  }
  return "unknown";
}

std::span<const Arch* const> all_archs() {
  static const std::array archs = {&arm64(), &x86_64()};
  return archs;
}

const Arch* find_arch(uint16_t elf_machine) {
  for (const Arch* arch : all_archs()) {
    if (arch->elf_machine() == elf_machine) return arch;
  }
  return nullptr;
}

const Arch* find_arch(std::string_view uts_machine) {
  for (const Arch* arch : all_archs()) {
    if (arch->uts_machine() == uts_machine) return arch;
  }
  return nullptr;
}

}  // namespace kdk
