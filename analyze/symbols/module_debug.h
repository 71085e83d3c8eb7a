// Debug information of modules: for an address in a module, its debug file, found and opened when the first
// such address is asked for. Modules that no question touches cost nothing.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "analyze/symbols/debug_info.h"
#include "analyze/symbols/find.h"
#include "analyze/symbols/module_facts.h"
#include "analyze/symbols/module_file.h"
#include "analyze/symbols/module_places.h"
#include "core/kernel/modules.h"

namespace kdk {

class ModuleDebug {
 public:
  // `modules` with their symbols added to the kernel (read_modules). Both must outlive this.
  ModuleDebug(Kernel& kernel, const ModuleList& modules, const DebugSearch& search);
  ~ModuleDebug();

  // Position of an address in a module; nullopt when it is in none, or nothing is known of it. Never throws.
  std::optional<SourceInfo> source(uint64_t address);
  // The relocated debug file of the module that holds the address, or nullptr. It lives as long as this.
  const VmlinuxFile* file(uint64_t address);
  // Its DWARF, by run-time addresses, or nullptr.
  DwarfReader* dwarf(uint64_t address);

  // Of the modules that were asked about, in that order.
  std::vector<ModuleDebugFacts> facts() const;

 private:
  struct Entry {
    const Module* module = nullptr;
    std::unique_ptr<ModuleFile> file;
    ModuleDebugFacts facts;
  };
  Entry* entry_of(uint64_t address);
  void find(Entry& entry);
  // Whether the entry got its file: this one.
  bool take(Entry& entry, const std::filesystem::path& path);
  void give_up(Entry& entry, const Error& error);

  struct Range {
    uint64_t begin = 0, end = 0;
    const Module* module = nullptr;
  };

  Kernel& kernel_;
  ModulePlaces places_;
  bool debuginfod_;
  std::vector<Range> ranges_;                    // sorted
  std::vector<std::unique_ptr<Entry>> entries_;  // asked about
};

}  // namespace kdk
