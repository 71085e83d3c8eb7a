#include "loader/image/rootfs_paths.h"

#include <algorithm>
#include <iterator>
#include <vector>

namespace kdk {
namespace {

constexpr unsigned max_links = 40;  // MAXSYMLINKS, include/linux/namei.h
// A Debian initramfs with everything has some 5000 names of 60 bytes, each of 6 parts.
constexpr uint64_t first_budget = uint64_t{64} << 20;
constexpr uint64_t entry_cost = 96;  // of a node of the table, beside its strings

// In the order in which they are taken off the end.
void push_parts(std::vector<std::string>& pending, std::string_view path) {
  std::vector<std::string> parts;
  for (size_t at = 0; at < path.size();) {
    const size_t end = std::min(path.find('/', at), path.size());
    if (end != at) parts.emplace_back(path.substr(at, end - at));
    at = end + 1;
  }
  std::move(parts.rbegin(), parts.rend(), std::back_inserter(pending));
}

std::string parent_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? std::string() : path.substr(0, slash);
}

}  // namespace

RootfsPaths::RootfsPaths() : budget_(first_budget) {
  entries_[""] = {};
  // What every kernel has built in: usr/default_cpio_list.
  add("dev", Kind::directory);
  add("dev/console", Kind::other);
  add("root", Kind::directory);
}

bool RootfsPaths::spend(uint64_t bytes) {
  budget_ -= std::min(bytes, budget_);
  return budget_ != 0;
}

RootfsPaths::Walk RootfsPaths::walk(std::string_view path, bool follow_last) {
  std::vector<std::string> pending;
  push_parts(pending, path);
  std::string at;
  unsigned links = 0;
  while (!pending.empty()) {
    const std::string part = std::move(pending.back());
    pending.pop_back();
    if (part == ".") continue;
    if (part == "..") {
      at = parent_of(at);
      continue;
    }
    std::string next = at.empty() ? part : at + "/" + part;
    if (!spend(next.size())) return {Outcome::unknown, std::move(next)};
    const auto entry = entries_.find(next);
    const bool last = pending.empty();
    if (entry == entries_.end()) return {last ? Outcome::found : Outcome::missing, std::move(next)};
    if (entry->second.kind == Kind::symlink && (!last || follow_last)) {
      const std::string& target = entry->second.target;
      if (++links > max_links) return {Outcome::loop, std::move(next)};
      if (!spend(target.size())) return {Outcome::unknown, std::move(next)};
      if (target.starts_with('/')) at.clear();
      push_parts(pending, target);
      continue;
    }
    if (!last && entry->second.kind != Kind::directory) return {Outcome::missing, std::move(next)};
    at = std::move(next);
  }
  return {Outcome::found, std::move(at)};
}

void RootfsPaths::add(std::string_view name, Kind kind, std::string_view target) {
  // The kernel ends both at a NUL, and makes no link to nowhere.
  name = name.substr(0, name.find('\0'));
  target = target.substr(0, target.find('\0'));
  if (kind == Kind::symlink && target.empty()) return;
  Walk walked = walk(name, false);
  if (walked.outcome != Outcome::found || walked.path.empty()) return;
  const auto old = entries_.find(walked.path);
  if (old != entries_.end()) {
    if (old->second.kind == Kind::directory && (kind == Kind::directory || old->second.children != 0)) return;
    old->second = {kind, 0, std::string(target)};
    return;
  }
  if (!spend(entry_cost + walked.path.size() + target.size())) return;
  ++entries_[parent_of(walked.path)].children;
  entries_[std::move(walked.path)] = {kind, 0, std::string(target)};
}

RootfsPaths::Walk RootfsPaths::find_program(std::string_view path) {
  Walk walked = walk(path, true);
  if (walked.outcome != Outcome::found) return walked;
  const auto entry = entries_.find(walked.path);
  if (entry != entries_.end() && entry->second.kind == Kind::regular) return walked;
  return {budget_ == 0 ? Outcome::unknown : Outcome::missing, std::move(walked.path)};
}

}  // namespace kdk
