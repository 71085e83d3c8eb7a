#include "analyze/symbols/module_debug.h"

#include <algorithm>
#include <set>

#include "analyze/symbols/debuginfod.h"
#include "core/base/log.h"

namespace kdk {

ModuleDebug::ModuleDebug(Kernel& kernel, const ModuleList& modules, const DebugSearch& search)
    : kernel_(kernel),
      places_(search, kernel.vmcoreinfo().value("OSRELEASE").value_or("")),
      debuginfod_(search.debuginfod) {
  for (const Module& module : modules.modules) {
    for (const Module::Range& range : module.ranges) {
      if (range.size != 0) ranges_.push_back({range.base, range.base + range.size, &module});
    }
  }
  std::ranges::sort(ranges_, {}, &Range::begin);
}

ModuleDebug::~ModuleDebug() = default;

ModuleDebug::Entry* ModuleDebug::entry_of(uint64_t address) {
  auto next = std::ranges::upper_bound(ranges_, address, {}, &Range::begin);
  if (next == ranges_.begin() || address >= std::prev(next)->end) return nullptr;
  const Module* module = std::prev(next)->module;
  for (const std::unique_ptr<Entry>& entry : entries_) {
    if (entry->module == module) return entry.get();
  }
  entries_.push_back(std::make_unique<Entry>());
  Entry& entry = *entries_.back();
  entry.module = module;
  entry.facts.module = module->name;
  entry.facts.build_id = module->build_id;
  find(entry);
  return &entry;
}

bool ModuleDebug::take(Entry& entry, const std::filesystem::path& path) {
  try {
    auto file = std::make_unique<ModuleFile>(kernel_, *entry.module, path);
    if (!file->has_dwarf()) {
      entry.facts.refused.push_back(escape_untrusted(path.string() + ": has no debug information (DWARF)"));
      return false;
    }
    entry.facts.path = escape_untrusted(path.string());
    entry.facts.match = file->match();
    entry.file = std::move(file);
    return true;
  } catch (const Error& problem) {  // one candidate of several
    entry.facts.refused.push_back(escape_untrusted(problem.message()));
    return false;
  }
}

void ModuleDebug::find(Entry& entry) {
  const std::string& build_id = entry.module->build_id;
  std::set<std::filesystem::path> seen;  // two names of one file are one refusal
  entry.facts.places = places_.for_each(entry.module->name, build_id, [&](const std::filesystem::path& path) {
    std::error_code error;
    const std::filesystem::path real = std::filesystem::canonical(path, error);
    if (error || !std::filesystem::is_regular_file(real, error) || !seen.insert(real).second) return true;
    return !take(entry, path);
  });
  if (entry.file || !debuginfod_ || build_id.empty()) return;
  ++entry.facts.places;
  try {
    take(entry, fetch_debug_file(build_id));
  } catch (const Error& problem) {  // one module's lines
    entry.facts.refused.push_back(escape_untrusted(problem.message()));
  }
}

void ModuleDebug::give_up(Entry& entry, const Error& error) {
  entry.file = nullptr;
  entry.facts.path.clear();
  entry.facts.match.clear();
  entry.facts.refused.push_back(escape_untrusted(error.message()));
}

std::optional<SourceInfo> ModuleDebug::source(uint64_t address) {
  Entry* entry = entry_of(address);
  if (entry == nullptr || !entry->file) return std::nullopt;
  try {
    return entry->file->source(address);
  } catch (const Error& error) {  // one module's lines
    give_up(*entry, error);
    return std::nullopt;
  }
}

const VmlinuxFile* ModuleDebug::file(uint64_t address) {
  Entry* entry = entry_of(address);
  if (entry == nullptr || !entry->file) return nullptr;
  try {
    return &entry->file->relocated();
  } catch (const Error& error) {  // one module's frames
    give_up(*entry, error);
    return nullptr;
  }
}

DwarfReader* ModuleDebug::dwarf(uint64_t address) {
  Entry* entry = entry_of(address);
  if (entry == nullptr || !entry->file) return nullptr;
  try {
    return entry->file->dwarf();
  } catch (const Error& error) {  // one module's variables
    give_up(*entry, error);
    return nullptr;
  }
}

std::vector<ModuleDebugFacts> ModuleDebug::facts() const {
  std::vector<ModuleDebugFacts> facts;
  for (const std::unique_ptr<Entry>& entry : entries_) facts.push_back(entry->facts);
  return facts;
}

}  // namespace kdk
