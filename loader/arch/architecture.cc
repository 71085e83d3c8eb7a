#include "loader/arch/architecture.h"

#include <algorithm>
#include <array>

namespace kdk {
namespace {

constexpr std::array<const Architecture*, 2> architectures = {&arm64_architecture, &x86_64_architecture};

template <typename Matches>
const Architecture* find(Matches matches) {
  auto found = std::find_if(architectures.begin(), architectures.end(),
                            [&](const Architecture* architecture) { return matches(*architecture); });
  return found == architectures.end() ? nullptr : *found;
}

}  // namespace

const Architecture* find_architecture(std::string_view machine_name) {
  return find([&](const Architecture& a) { return a.machine_name == machine_name; });
}

const Architecture* find_architecture(uint16_t elf_machine) {
  return find([&](const Architecture& a) { return a.elf_machine == elf_machine; });
}

std::string supported_architectures() {
  std::string names;
  for (const Architecture* architecture : architectures) {
    if (!names.empty()) names += ", ";
    names += architecture->name;
  }
  return names;
}

}  // namespace kdk
