#include "loader/plan/tree_memory.h"

#include <fmt/format.h>
#include <libfdt.h>

#include <cstring>

#include "core/base/error.h"
#include "loader/plan/fdt.h"

namespace kdk {
namespace {

// A string property up to its NUL; empty when absent.
std::string_view text_of(const std::vector<uint8_t>& tree, int node, const std::string& name) {
  std::string_view text = as_text(fdt::find_property(tree, node, name).value_or(Bytes()));
  return text.substr(0, text.find('\0'));
}

bool is_memory_in_use(const std::vector<uint8_t>& tree, int node) {
  if (text_of(tree, node, "device_type") != "memory") return false;
  std::string_view status = text_of(tree, node, "status");
  return !fdt::find_property(tree, node, "status") || status == "okay" || status == "ok";
}

// Of one memory node. What is left of an incomplete pair of cells is ignored, as the kernel does.
void add_node(const std::vector<uint8_t>& tree, int node, std::vector<Range>& ranges) {
  std::optional<Bytes> cells = fdt::find_property(tree, node, "linux,usable-memory");
  if (!cells) cells = fdt::find_property(tree, node, "reg");
  if (!cells) return;
  unsigned address_cells = fdt::root_cells(tree, "#address-cells");
  unsigned size_cells = fdt::root_cells(tree, "#size-cells");
  uint64_t pair = 4 * (address_cells + size_cells);
  Cursor cursor(cells->first(cells->size() / pair * pair), "memory node");
  auto number = [&](unsigned count) -> uint64_t { return count == 1 ? cursor.u32be() : cursor.u64be(); };
  while (!cursor.at_end()) {
    uint64_t start = number(address_cells);
    uint64_t size = number(size_cells);
    if (!checked_add(start, size))
      throw Error(Errc::format, fmt::format("memory node: {:#x} bytes at {:#x} wrap", size, start));
    ranges.push_back({start, size});
  }
}

}  // namespace

TreeMemory read_tree_memory(Bytes dtb) {
  std::vector<uint8_t> tree = fdt::checked_copy(dtb);
  TreeMemory memory;
  memory.only_chosen = true;
  std::vector<Range> ranges;
  int node = 0;
  fdt_for_each_subnode(node, tree.data(), 0) {
    const char* name = fdt_get_name(tree.data(), node, nullptr);
    if (name == nullptr || std::string_view(name) != "chosen") memory.only_chosen = false;
    if (is_memory_in_use(tree, node)) add_node(tree, node, ranges);
  }
  memory.nodes = merge_ranges(std::move(ranges));
  int chosen = fdt_path_offset(tree.data(), "/chosen");
  if (chosen < 0) return memory;
  for (std::string_view name : uefi_properties) {
    if (std::optional<uint64_t> value = fdt::find_number(tree, chosen, std::string(name)))
      memory.uefi[name] = *value;
  }
  return memory;
}

std::vector<std::string_view> uefi_properties_read_by(Bytes image) {
  constexpr std::string_view common = "linux,uefi-";
  std::array<bool, uefi_properties.size()> found{};
  // memmem, and once for all names: an image has tens of megabytes.
  for (std::string_view rest = as_text(image);;) {
    const void* at = ::memmem(rest.data(), rest.size(), common.data(), common.size());
    if (at == nullptr) break;
    rest.remove_prefix(static_cast<size_t>(static_cast<const char*>(at) - rest.data()));
    for (size_t i = 0; i < found.size(); ++i) found[i] = found[i] || rest.starts_with(uefi_properties[i]);
    rest.remove_prefix(common.size());
  }
  std::vector<std::string_view> names;
  for (size_t i = 0; i < found.size(); ++i) {
    if (found[i]) names.push_back(uefi_properties[i]);
  }
  return names;
}

}  // namespace kdk
