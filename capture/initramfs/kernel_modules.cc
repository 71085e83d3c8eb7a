#include "capture/initramfs/kernel_modules.h"

#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>
#include <sstream>

#include "core/base/error.h"

namespace kdk {
namespace {

namespace fs = std::filesystem;

// "kernel/fs/ext4/ext4.ko.xz" -> "ext4"; a dash and an underscore are the same in names of modules.
std::string module_name(std::string_view file) {
  std::string name = fs::path(file).filename().string();
  name = name.substr(0, name.find(".ko"));
  std::ranges::replace(name, '-', '_');
  return name;
}

std::vector<std::string> words(const std::string& line) {
  std::istringstream in(line);
  std::vector<std::string> out;
  for (std::string word; in >> word;) out.push_back(word);
  return out;
}

// The lines of an index, as words. A missing one is an empty one: only modules.dep is always there.
std::vector<std::vector<std::string>> read_lines(const fs::path& file) {
  std::error_code error;
  if (!fs::exists(file, error)) return {};
  std::istringstream in(read_text_file(file));
  std::vector<std::vector<std::string>> out;
  for (std::string line; std::getline(in, line);) {
    if (line.empty() || line[0] == '#') continue;
    out.push_back(words(line));
  }
  return out;
}

}  // namespace

KernelModules::KernelModules(const SysRoot& root, std::string_view release)
    : directory_(root.path(fmt::format("/lib/modules/{}", release))) {
  std::error_code error;
  if (!fs::exists(directory_ / "modules.dep", error)) {
    throw Error(Errc::missing, fmt::format("{}: no kernel of this release is installed", directory_.string()))
        .with_hint("give the release of one that is: ls /lib/modules");
  }
  read_dependencies();
  read_builtin();
  read_aliases(directory_ / "modules.alias");
  read_softdeps();
}

void KernelModules::read_dependencies() {
  for (std::vector<std::string>& line : read_lines(directory_ / "modules.dep")) {
    std::string& file = line.front();
    if (!file.ends_with(':')) continue;
    file.pop_back();
    Module module{file, {line.rbegin(), line.rend() - 1}, {}};  // the last one is needed first
    modules_.insert_or_assign(module_name(file), std::move(module));
  }
}

void KernelModules::read_builtin() {
  for (const auto& line : read_lines(directory_ / "modules.builtin"))
    builtin_.insert(module_name(line.front()));
  // NUL-terminated "module.alias=pattern", among others.
  std::error_code error;
  const fs::path file = directory_ / "modules.builtin.modinfo";
  if (!fs::exists(file, error)) return;
  std::istringstream in(read_text_file(file));
  for (std::string line; std::getline(in, line, '\0');) {
    const size_t dot = line.find(".alias=");
    if (dot == std::string::npos) continue;
    aliases_.emplace_back(line.substr(dot + 7), module_name(line.substr(0, dot)));
  }
}

void KernelModules::read_aliases(const fs::path& file) {
  for (const auto& line : read_lines(file)) {
    if (line.size() == 3 && line[0] == "alias") aliases_.emplace_back(line[1], module_name(line[2]));
  }
}

void KernelModules::read_softdeps() {
  for (const auto& line : read_lines(directory_ / "modules.softdep")) {
    if (line.size() < 3 || line[0] != "softdep") continue;
    const auto module = modules_.find(module_name(line[1]));
    if (module == modules_.end()) continue;
    bool pre = false;
    for (size_t i = 2; i < line.size(); ++i) {
      if (line[i].ends_with(':')) {
        pre = line[i] == "pre:";
      } else if (pre) {
        module->second.before.push_back(line[i]);
      }
    }
  }
}

void KernelModules::add_module(const std::string& name, List& list, std::set<std::string>& visiting) const {
  const auto found = modules_.find(name);
  if (found == modules_.end() || !visiting.insert(name).second) return;
  const Module& module = found->second;
  for (const std::string& wanted : module.before) {
    add_module(module_name(wanted), list, visiting);
    for (const auto& [pattern, other] : aliases_) {
      if (::fnmatch(pattern.c_str(), wanted.c_str(), 0) == 0) add_module(other, list, visiting);
    }
  }
  for (const std::string& file : module.needs) add_module(module_name(file), list, visiting);
  if (std::ranges::find(list, module.file) == list.end()) list.push_back(module.file);
}

bool KernelModules::add(std::string_view name, List& list) const {
  const std::string normal = module_name(name);
  if (builtin_.contains(normal)) return true;
  if (!modules_.contains(normal)) return false;
  std::set<std::string> visiting;
  add_module(normal, list, visiting);
  return true;
}

bool KernelModules::add_alias(std::string_view alias, List& list) const {
  const std::string text(alias);
  bool found = false;
  for (const auto& [pattern, module] : aliases_) {
    if (::fnmatch(pattern.c_str(), text.c_str(), 0) != 0) continue;
    found = add(module, list) || found;
  }
  return found;
}

}  // namespace kdk
