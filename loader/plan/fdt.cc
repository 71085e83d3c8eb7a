#include "loader/plan/fdt.h"

#include <fmt/format.h>
#include <libfdt.h>

#include "core/base/error.h"

namespace kdk::fdt {

int check(int result, std::string_view what) {
  if (result < 0) throw Error(Errc::format, fmt::format("{}: {}", what, fdt_strerror(result)));
  return result;
}

int check_whole(Bytes tree) {
  constexpr uint32_t first_version = 16;
  if (tree.size() < sizeof(fdt_header)) return -FDT_ERR_TRUNCATED;
  const void* header = tree.data();
  if (fdt_magic(header) == FDT_MAGIC && fdt_version(header) < first_version) return -FDT_ERR_BADVERSION;
  return fdt_check_full(header, tree.size());
}

// libfdt's macro casts its argument to a struct: from void only, which says nothing about alignment.
uint32_t total_size_of(const std::vector<uint8_t>& tree) {
  const void* header = tree.data();
  return fdt_totalsize(header);
}

std::vector<uint8_t> checked_copy(Bytes source) {
  std::vector<uint8_t> tree(source.begin(), source.end());
  if (tree.size() < sizeof(fdt_header)) throw Error(Errc::format, "too short for a device tree");
  check(check_whole(tree), "the device tree is damaged");
  return tree;
}

// #address-cells or #size-cells of the root node. The kernel takes 1 when absent
// (OF_ROOT_NODE_ADDR_CELLS_DEFAULT).
unsigned root_cells(const std::vector<uint8_t>& tree, const char* name) {
  int length = 0;
  const void* data = fdt_getprop(tree.data(), 0, name, &length);
  if (data == nullptr) return 1;
  std::optional<ub32> cells = load<ub32>({static_cast<const uint8_t*>(data), static_cast<size_t>(length)});
  if (!cells || (*cells != 1 && *cells != 2)) {
    throw Error(Errc::unsupported, fmt::format("{} of the root node is neither 1 nor 2", name));
  }
  return *cells;
}

std::optional<Bytes> find_property(const std::vector<uint8_t>& tree, int node, const std::string& name) {
  int length = 0;
  const void* data = fdt_getprop(tree.data(), node, name.c_str(), &length);
  if (data == nullptr) return std::nullopt;
  return Bytes(static_cast<const uint8_t*>(data), static_cast<size_t>(length));
}

std::optional<uint64_t> find_number(const std::vector<uint8_t>& tree, int chosen, const std::string& name) {
  std::optional<Bytes> data = find_property(tree, chosen, name);
  if (!data) return std::nullopt;
  if (data->size() == 4) return *load<ub32>(*data);
  if (data->size() == 8) return *load<ub64>(*data);
  throw Error(Errc::format, fmt::format("/chosen/{} has {} bytes, not 4 or 8", name, data->size()));
}

}  // namespace kdk::fdt
