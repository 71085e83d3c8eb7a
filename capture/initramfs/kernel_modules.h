// The modules of one installed kernel, through the indexes that depmod(8) makes: what a name or a device asks
// for, what must be loaded before it, and what the kernel has built in. Source: modules.dep(5), modprobe.d(5)
// on softdep.
#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/file.h"

namespace kdk {

class KernelModules {
 public:
  // Throws Error{missing} when no kernel of this release is installed below `root`.
  KernelModules(const SysRoot& root, std::string_view release);

  // Files below directory(), each behind those it needs.
  using List = std::vector<std::string>;

  // Adds a module by its name. False when the kernel has none of this name, neither as a file nor built in.
  bool add(std::string_view name, List& list) const;
  // Adds every module that says it is for this (a device's modalias, "fs-ext4", "crc32c"). False as above.
  bool add_alias(std::string_view alias, List& list) const;

  const std::filesystem::path& directory() const { return directory_; }

 private:
  void read_dependencies();
  void read_builtin();
  void read_aliases(const std::filesystem::path& file);
  void read_softdeps();
  void add_module(const std::string& name, List& list, std::set<std::string>& visiting) const;

  struct Module {
    std::string file;
    std::vector<std::string> needs;   // files, in load order
    std::vector<std::string> before;  // softdep pre: names or aliases
  };
  std::filesystem::path directory_;
  std::map<std::string, Module, std::less<>> modules_;
  std::set<std::string, std::less<>> builtin_;
  std::vector<std::pair<std::string, std::string>> aliases_;  // pattern, module
};

}  // namespace kdk
