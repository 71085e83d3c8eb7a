// The debug file of one loaded module: checked to be of its build, placed where the kernel placed it, and
// read at run-time addresses.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "analyze/symbols/debug_info.h"
#include "analyze/symbols/vmlinux.h"
#include "core/kernel/modules.h"

namespace kdk {

class DwarfReader;

class ModuleFile {
 public:
  // Throws Error{io,missing,denied,format,unsupported} naming the file: it cannot be read, is of another
  // build, or where its sections are cannot be told. Nothing of its debug information is read yet.
  ModuleFile(Kernel& kernel, const Module& module, const std::filesystem::path& path);
  ~ModuleFile();

  // How it is known to be the module's: "build-id", "symbols" (neither has a build-id to compare, or one of
  // them; every function is where the dump has it).
  const std::string& match() const { return match_; }
  bool has_dwarf() const { return file_.has_section(".debug_info"); }

  // The file with its debug sections relocated: addresses in them are run-time addresses. Throws as
  // relocate().
  const VmlinuxFile& relocated();
  // By run-time address; nullopt when the DWARF does not cover it or is damaged. Throws as relocated().
  std::optional<SourceInfo> source(uint64_t address);
  // The DWARF, by run-time addresses; nullptr when libdw cannot open it. Throws as relocated().
  DwarfReader* dwarf();

 private:
  void compare_build_ids(const Module& module);
  void place_sections(Kernel& kernel, const Module& module);

  VmlinuxFile file_;
  std::string match_;
  std::vector<uint64_t> addresses_;  // of the sections, by index; 0: not loaded
  std::unique_ptr<DwarfReader> dwarf_;
  bool dwarf_tried_ = false;
};

}  // namespace kdk
