// /proc/device-tree back into a flattened tree, for machines without /sys/firmware/fdt.
//
// libfdt's sequential writer wants each node's properties before its subnodes, which a sorted directory
// listing gives in two passes. Source: fs/proc/proc_devtree.c and drivers/of/kobj.c (what the files are),
// libfdt.h (fdt_create and on).
#include <fmt/format.h>
#include <libfdt.h>

#include <algorithm>
#include <set>

#include "core/base/error.h"
#include "core/base/file.h"
#include "loader/plan/dtb.h"

namespace kdk {
namespace {

constexpr unsigned max_depth = 32;

void check(int result, const std::filesystem::path& where) {
  if (result == -FDT_ERR_NOSPACE)
    throw Error(Errc::unsupported, fmt::format("more than {} bytes", max_dtb_size));
  if (result < 0) throw Error(Errc::format, fmt::format("{}: {}", where.string(), fdt_strerror(result)));
}

void write_node(std::vector<uint8_t>& tree, const std::filesystem::path& directory, const std::string& name,
                unsigned depth) {
  if (depth > max_depth) throw Error(Errc::format, fmt::format("{}: nested too deeply", directory.string()));
  std::set<std::filesystem::path> nodes;
  std::set<std::filesystem::path> properties;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory, error)) {
    if (entry.is_symlink()) continue;
    (entry.is_directory() ? nodes : properties).insert(entry.path());
  }
  if (error) throw error_from_errno(error.value(), directory.string());

  check(fdt_begin_node(tree.data(), name.c_str()), directory);
  for (const std::filesystem::path& path : properties) {
    std::string property = path.filename().string();
    if (property == "name") continue;  // made up by the kernel from the node's own name
    std::vector<uint8_t> value = read_file(path, max_dtb_size);
    check(fdt_property(tree.data(), property.c_str(), value.data(), static_cast<int>(value.size())), path);
  }
  for (const std::filesystem::path& path : nodes) write_node(tree, path, path.filename().string(), depth + 1);
  check(fdt_end_node(tree.data()), directory);
}

}  // namespace

std::vector<uint8_t> flatten_device_tree(const std::filesystem::path& directory) {
  std::vector<uint8_t> tree(max_dtb_size);
  check(fdt_create(tree.data(), static_cast<int>(tree.size())), directory);
  check(fdt_finish_reservemap(tree.data()), directory);
  write_node(tree, directory, "", 0);
  check(fdt_finish(tree.data()), directory);
  const void* header = tree.data();
  tree.resize(fdt_totalsize(header));
  return tree;
}

}  // namespace kdk
