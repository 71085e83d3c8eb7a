#include "analyze/symbols/module_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "analyze/symbols/dwarf.h"
#include "core/base/log.h"
#include "core/kernel/module_sections.h"

namespace kdk {
namespace {

constexpr size_t max_checked = 4096;  // functions compared with the dump; a few tell a build from another

bool is_text(char type) {
  return type == 't' || type == 'T' || type == 'W';
}

// What the dump's own symbols say of the sections' addresses.
struct Agreement {
  size_t same = 0, different = 0;
};

// The functions of the file, each once: several static ones of a module may share a name.
std::map<std::string_view, std::optional<VmlinuxFile::Symbol>> unique_functions(const VmlinuxFile& file) {
  std::map<std::string_view, std::optional<VmlinuxFile::Symbol>> functions;
  file.for_each_symbol([&](const VmlinuxFile::Symbol& symbol) {
    if (!is_text(symbol.type) || symbol.size == 0) return true;
    auto [at, added] = functions.try_emplace(symbol.name, symbol);
    if (!added) at->second = std::nullopt;
    return functions.size() < max_checked;
  });
  return functions;
}

// Addresses of sections with functions, by what most of their functions say.
std::map<uint16_t, uint64_t> sections_by_symbols(Kernel& kernel, const Module& module,
                                                 const VmlinuxFile& file) {
  std::map<uint16_t, std::map<uint64_t, size_t>> votes;
  for (const auto& [name, symbol] : unique_functions(file)) {
    if (!symbol) continue;
    for (const Symbol& known : kernel.symbols().find_all(name)) {
      if (known.module == module.name) ++votes[symbol->section][known.address - symbol->address];
    }
  }
  std::map<uint16_t, uint64_t> found;
  for (const auto& [section, bases] : votes) {
    auto best = std::ranges::max_element(bases, {}, [](const auto& vote) { return vote.second; });
    found[section] = best->first;
  }
  return found;
}

// Does the dump have the file's functions where these addresses put them, with the same size?
Agreement compare_functions(Kernel& kernel, const Module& module, const VmlinuxFile& file,
                            const std::vector<uint64_t>& addresses) {
  Agreement agreement;
  for (const auto& [name, symbol] : unique_functions(file)) {
    if (!symbol || symbol->section >= addresses.size() || addresses[symbol->section] == 0) continue;
    const uint64_t address = addresses[symbol->section] + symbol->address;
    bool known = false, same = false;
    for (const Symbol& other : kernel.symbols().find_all(name)) {
      if (other.module != module.name) continue;
      known = true;
      same = same || (other.address == address && (other.size == 0 || other.size == symbol->size));
    }
    if (known) ++(same ? agreement.same : agreement.different);
  }
  return agreement;
}

bool in_module(const Module& module, uint64_t address) {
  return std::ranges::any_of(module.ranges, [&](const Module::Range& range) {
    return address >= range.base && address - range.base < range.size;
  });
}

}  // namespace

ModuleFile::ModuleFile(Kernel& kernel, const Module& module, const std::filesystem::path& path)
    : file_(path) {
  with_context(path.string(), [&] {
    if (file_.machine() != kernel.memory().arch().elf_machine()) {
      throw Error(Errc::format, fmt::format("this module is for ELF machine {}, the dump is of {}",
                                            file_.machine(), kernel.memory().arch().name()));
    }
    if (!file_.relocatable()) throw Error(Errc::format, "not a module: no relocatable ELF file");
    compare_build_ids(module);
    place_sections(kernel, module);
  });
}

ModuleFile::~ModuleFile() = default;

void ModuleFile::compare_build_ids(const Module& module) {
  if (module.build_id.empty() || file_.build_id().empty()) return;
  if (module.build_id != file_.build_id()) {
    throw Error(
        Errc::format,
        fmt::format("this module is of another build: its build-id is {}, that of the loaded {} is {}",
                    file_.build_id(), module.name, module.build_id));
  }
  match_ = "build-id";
}

void ModuleFile::place_sections(Kernel& kernel, const Module& module) {
  const std::vector<VmlinuxFile::Part> parts = file_.parts();
  addresses_.assign(parts.size(), 0);
  std::map<std::string_view, uint64_t> told;
  const std::vector<ModuleSection> sections = read_module_sections(kernel, module);
  for (const ModuleSection& section : sections) told.try_emplace(section.name, section.address);
  bool placed = false;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (!parts[i].allocated) continue;
    const auto known = told.find(parts[i].name);
    // What was only needed to start the module is gone, and its address may be another module's now.
    if (known == told.end() || !in_module(module, known->second)) continue;
    addresses_[i] = known->second;
    placed = true;
  }
  if (!placed) {
    for (const auto& [section, address] : sections_by_symbols(kernel, module, file_)) {
      if (section >= parts.size() || !in_module(module, address)) continue;
      addresses_[section] = address;
      placed = true;
    }
  }
  if (!placed) {
    throw Error(
        Errc::missing,
        fmt::format("where the sections of {} are is not known: neither the kernel's list of them nor its "
                    "functions are in the dump",
                    module.name));
  }
  if (!match_.empty()) return;
  const Agreement agreement = compare_functions(kernel, module, file_, addresses_);
  if (agreement.different != 0 || agreement.same == 0) {
    throw Error(
        Errc::format,
        fmt::format("cannot tell whether this is the module of the dump: no build-ids to compare, and {} "
                    "of {} functions are where the dump has them",
                    agreement.same, agreement.same + agreement.different));
  }
  match_ = "symbols";
}

const VmlinuxFile& ModuleFile::relocated() {
  file_.relocate(addresses_);
  return file_;
}

DwarfReader* ModuleFile::dwarf() {
  if (!dwarf_tried_) {
    dwarf_tried_ = true;
    dwarf_ = DwarfReader::open(relocated());
  }
  return dwarf_.get();
}

std::optional<SourceInfo> ModuleFile::source(uint64_t address) {
  DwarfReader* reader = dwarf();
  return reader != nullptr ? reader->source(address) : std::nullopt;
}

}  // namespace kdk
