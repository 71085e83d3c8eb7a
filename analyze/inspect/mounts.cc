#include "analyze/inspect/mounts.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "analyze/inspect/paths.h"
#include "core/base/error.h"

namespace kdk {
namespace {

constexpr unsigned minor_bits = 20;  // of dev_t, include/linux/kdev_t.h

struct Flag {
  uint64_t bit;
  std::string_view word;
};
// include/linux/mount.h, MNT_*, as fs/proc_namespace.c shows them. Linux commit dab741e0e02b ("Add a
// "nosymfollow" mount option.") (in v5.10) added the last.
constexpr auto mount_flags = std::to_array<Flag>({{0x01, "nosuid"},
                                                  {0x02, "nodev"},
                                                  {0x04, "noexec"},
                                                  {0x08, "noatime"},
                                                  {0x10, "nodiratime"},
                                                  {0x20, "relatime"},
                                                  {0x80, "nosymfollow"}});
constexpr uint64_t mount_read_only = 0x40, super_read_only = 1;
// include/linux/fs.h, SB_*.
constexpr auto super_flags =
    std::to_array<Flag>({{16, "sync"}, {64, "mand"}, {128, "dirsync"}, {uint64_t{1} << 25, "lazytime"}});

std::string options_of(uint64_t flags, uint64_t super) {
  std::string out = (flags & mount_read_only) != 0 || (super & super_read_only) != 0 ? "ro" : "rw";
  const auto add = [&](uint64_t set, const auto& known) {
    for (const Flag& flag : known) {
      if ((set & flag.bit) != 0) out += fmt::format(",{}", flag.word);
    }
  };
  add(super, super_flags);
  add(flags, mount_flags);
  return out;
}

Mount read_mount(Objects& objects, const Object& mount) {
  Mount out;
  out.address = mount.address();
  out.id = mount.signed_number("mnt_id");
  out.source = mount.pointed_text("mnt_devname");
  if (const auto parent = mount.target("mnt_parent"); parent && parent->address() != mount.address())
    out.parent = parent->signed_number("mnt_id");
  const auto vfsmount = mount.place("mnt");
  const auto root = mount.number("mnt.mnt_root");
  if (vfsmount && root.value_or(0) != 0) {
    out.target = path_of(objects, *vfsmount, {*root}).text;
    out.root = path_of(objects, std::nullopt, {*root}).text;
  }
  uint64_t super_state = 0;
  if (const auto part = mount.member("mnt")) {
    if (const auto super = part->target("mnt_sb")) {
      out.super_block = super->address();
      out.type = file_system_type(*super);
      super_state = super->number("s_flags").value_or(0);
      if (const auto device = super->number("s_dev")) {
        out.major = static_cast<uint32_t>(*device >> minor_bits);
        out.minor = static_cast<uint32_t>(*device & ((1u << minor_bits) - 1));
      }
    }
    out.options = options_of(part->number("mnt_flags").value_or(0), super_state);
  }
  return out;
}

// Parents before their children; what has no parent in the list begins a tree.
std::vector<Mount> in_order(std::vector<Mount> mounts, const std::map<uint64_t, uint64_t>& parents) {
  std::map<uint64_t, size_t> index;
  for (size_t i = 0; i < mounts.size(); ++i) index.emplace(mounts[i].address, i);
  std::map<size_t, std::vector<size_t>> children;
  std::vector<size_t> roots;
  for (size_t i = 0; i < mounts.size(); ++i) {
    const auto parent = parents.find(mounts[i].address);
    const auto found = parent == parents.end() ? index.end() : index.find(parent->second);
    if (found == index.end() || found->second == i) {
      roots.push_back(i);
    } else {
      children[found->second].push_back(i);
    }
  }
  std::vector<Mount> out;
  std::vector<bool> placed(mounts.size());
  std::vector<std::pair<size_t, unsigned>> ahead;
  const auto place_from = [&](size_t root) {
    ahead.emplace_back(root, 0);
    while (!ahead.empty()) {
      const auto [at, depth] = ahead.back();
      ahead.pop_back();
      if (placed[at]) continue;
      placed[at] = true;
      mounts[at].depth = depth;
      out.push_back(mounts[at]);
      const std::vector<size_t>& below = children[at];
      for (size_t i = below.size(); i-- > 0;) ahead.emplace_back(below[i], depth + 1);
    }
  };
  for (const size_t root : roots) place_from(root);
  for (size_t i = 0; i < mounts.size(); ++i) {  // those that are each other's parents
    if (!placed[i]) place_from(i);
  }
  return out;
}

}  // namespace

Mounts read_mounts(TypedMemory& types, VirtAddr task) {
  Objects objects(types);
  Mounts out;
  Problems problems;
  const auto proxy = objects.at("task_struct", task).target("nsproxy");
  const auto space = proxy ? proxy->target("mnt_ns") : std::nullopt;
  if (!space) throw Error(Errc::missing, "the task has no mount namespace: it has ended, or cannot be read");
  out.name_space = space->address();
  // Linux commit 2eea9ce4310d ("mounts: keep list of mounts in an rbtree") (in v6.8). Before, a list; and
  // `mounts` was their number.
  std::vector<Object> found;
  if (const auto head = space->place("list")) {
    found = objects.list(*head, "mount", "mnt_list", "the list of mounts", problems);
  } else if (const auto root = space->place("mounts")) {
    found = objects.tree(*root, "mount", "mnt_node", "the tree of mounts", problems);
  } else {
    throw Error(Errc::missing, "no layout for mnt_namespace.mounts");
  }
  std::map<uint64_t, uint64_t> parents;
  for (const Object& mount : found) {
    // A cursor of somebody who reads /proc/mounts is in the list, too, without a file system (before v6.8).
    if (!mount.member("mnt") || mount.member("mnt")->number("mnt_sb") == uint64_t{0}) continue;
    if (const auto parent = mount.pointer("mnt_parent")) parents.emplace(mount.address(), parent->value);
    out.mounts.push_back(read_mount(objects, mount));
    if (out.mounts.back().target.empty())
      problems.add(fmt::format("the mount at {:#x} cannot be read in whole", mount.address()));
  }
  out.mounts = in_order(std::move(out.mounts), parents);
  out.problems = problems.take();
  return out;
}

}  // namespace kdk
