// Walks over the kernel's containers, in their own order. Each is bounded, notices cycles, and says how it
// ended.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/kernel/ctype.h"

namespace kdk {

struct WalkItem {
  uint64_t value = 0;            // the node of a list or tree; the entry of an xarray or a maple tree
  uint64_t first = 0, last = 0;  // xarray, maple tree: the indexes it stands for
};
struct Walk {
  std::vector<WalkItem> items;
  std::string problem;  // empty: it was walked to its end
};

constexpr size_t most_walk_items = size_t{1} << 20;

// struct list_head, hlist_head, hlist_nulls_head, llist_head: by the name of the head's type.
Walk walk_linked(TypedMemory& memory, VirtAddr head, std::string_view head_type);
// struct rb_root, in order.
Walk walk_rbtree(TypedMemory& memory, VirtAddr root);
// struct xarray, which radix trees are too. Source: include/linux/xarray.h. Linux commit f8d5d0cc145c
// ("xarray: Add definition of struct xarray") (in v4.20).
Walk walk_xarray(TypedMemory& memory, VirtAddr array);
// struct maple_tree. Source: include/linux/maple_tree.h, lib/maple_tree.c. Linux commit 54a611b60590 ("Maple
// Tree: add new data structure") (in v6.1).
Walk walk_maple(TypedMemory& memory, VirtAddr tree);

}  // namespace kdk
