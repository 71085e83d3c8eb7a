// Address -> file, line and inlined functions, through libdw.
//
// Only what one address needs is read: .debug_aranges names its compilation unit, then that unit's DIEs and
// line table. Without aranges (clang does not write them) the units' own ranges are collected once.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "analyze/symbols/debug_info.h"
#include "analyze/symbols/vmlinux.h"

namespace kdk {

class DwarfReader {
 public:
  // nullptr when the file has no DWARF that libdw can open; `problem` then gets a sentence. It also gets one
  // when the supplementary file is missing (.gnu_debugaltlink, which dwz makes: names and types that several
  // files share), which is looked for beside the file and by build-id in `directories`.
  static std::unique_ptr<DwarfReader> open(const VmlinuxFile& file,
                                           const std::vector<std::filesystem::path>& directories = {},
                                           std::string* problem = nullptr);
  ~DwarfReader();

  // By link address. nullopt when no unit covers it or the DWARF is damaged there.
  std::optional<SourceInfo> source(uint64_t address);

  struct Impl;  // for dwarf_scopes.h
  Impl& impl() { return *impl_; }

 private:
  explicit DwarfReader(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace kdk
