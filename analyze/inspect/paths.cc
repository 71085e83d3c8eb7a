#include "analyze/inspect/paths.h"

#include <fmt/format.h>

#include <set>
#include <utility>

#include "core/base/log.h"

namespace kdk {
namespace {

constexpr size_t most_components = 1024;  // PATH_MAX is 4096 bytes
constexpr size_t longest_name = 255;      // NAME_MAX

std::optional<std::string> name_of(Objects& objects, const Object& dentry) {
  const auto length = dentry.number("d_name.len");
  const auto name = dentry.pointer("d_name.name");
  if (!length || !name || *length > longest_name) return std::nullopt;
  const auto text = objects.memory().string(*name, *length);
  return text ? std::optional(escape_untrusted(*text)) : std::nullopt;
}

// A dentry whose file has no place in a directory: its name is made by its file system (d_op->d_dname).
std::optional<std::string> made_name(const Object& dentry, const std::string& type, const std::string& name) {
  const auto inode = dentry.target("d_inode");
  uint64_t number = 0;
  if (inode) number = inode->number("i_ino").value_or(0);
  if (type == "sockfs") return fmt::format("socket:[{}]", number);
  if (type == "pipefs") return fmt::format("pipe:[{}]", number);
  if (type == "anon_inodefs") return fmt::format("anon_inode:{}", name);
  if (type == "nsfs") return fmt::format("namespace:[{}]", number);
  return std::nullopt;
}

}  // namespace

std::string file_system_type(const Object& super) {
  const auto type = super.target("s_type");
  std::string out = type ? type->pointed_text("name", 64) : std::string();
  const std::string below = super.pointed_text("s_subtype", 64);
  return below.empty() ? out : out + "." + below;
}

FilePath path_of(Objects& objects, std::optional<VirtAddr> mount, VirtAddr at) {
  FilePath out;
  Object dentry = objects.at("dentry", at);
  const auto parent_of = [](const Object& child) { return child.number("d_parent").value_or(0); };
  const auto first_name = name_of(objects, dentry);
  if (!first_name) {
    out.cut = true;
    return out;
  }
  const auto super = dentry.target("d_sb");
  const std::string type = super ? file_system_type(*super) : "";
  if (auto made = made_name(dentry, type, *first_name)) {
    out.text = *std::move(made);
    return out;
  }
  const bool is_root = parent_of(dentry) == dentry.address();
  // d_unlinked(): out of its hash list, and no root.
  out.deleted = !is_root && dentry.number("d_hash.pprev") == uint64_t{0};

  std::string text;
  std::set<std::pair<uint64_t, uint64_t>> seen;
  std::optional<Object> vfsmount;
  if (mount) vfsmount = objects.at("vfsmount", *mount);
  for (size_t hops = 0;; ++hops) {
    const uint64_t in = vfsmount ? vfsmount->address() : 0;
    if (hops == most_components || !seen.emplace(in, dentry.address()).second) {
      out.cut = true;
      break;
    }
    if (vfsmount && vfsmount->number("mnt_root") == dentry.address()) {
      const Object self = objects.container("mount", "mnt", vfsmount->at());
      const auto parent = self.target("mnt_parent");
      if (parent && parent->address() == self.address())
        break;  // the root of a namespace, or of what is in none
      const auto place = self.target("mnt_mountpoint");
      if (!parent || !place) {
        out.cut = true;
        break;
      }
      vfsmount = parent->member("mnt");
      dentry = *place;
      continue;
    }
    const uint64_t parent = parent_of(dentry);
    const auto name = name_of(objects, dentry);
    if (parent == 0 || !name) {
      out.cut = true;
      break;
    }
    if (parent == dentry.address()) break;  // the root of a file system that is not mounted here
    text = "/" + *name + text;
    dentry = objects.at("dentry", {parent});
  }
  out.text = text.empty() ? "/" : text;
  if (out.cut) out.text = "..." + text;
  return out;
}

FilePath path_of(Objects& objects, const Object& path) {
  const auto dentry = path.pointer("dentry");
  if (!dentry) return {};
  return path_of(objects, path.pointer("mnt"), *dentry);
}

}  // namespace kdk
