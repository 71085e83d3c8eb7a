#include "analyze/inspect/types/walks.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>

#include "core/base/error.h"

namespace kdk {
namespace {

std::string unreadable(std::string_view what, uint64_t at) {
  return fmt::format("{} at {:#x} cannot be read", what, at);
}

// include/linux/xarray.h: the low two bits of an entry. 1: a number; 2: of the array's own making, and a node
// when it is above the few that mean something special; 0: a pointer.
constexpr uint64_t highest_special_entry = 4096;
bool is_internal(uint64_t entry) {
  return (entry & 3) == 2;
}
bool is_node(uint64_t entry) {
  return is_internal(entry) && entry > highest_special_entry;
}

// In-order without recursion or parent pointers: what a hostile tree says is followed once.
class RbWalk {
 public:
  RbWalk(TypedMemory& memory, Walk& out) : memory_(memory), out_(out) {
    const TypeRef node = memory.require_type("rb_node");
    const auto left = node.btf->member(node.id, "rb_left"), right = node.btf->member(node.id, "rb_right");
    if (!left || !right) throw Error(Errc::missing, "no layout for rb_node");
    left_ = left->offset();
    right_ = right->offset();
  }
  void run(uint64_t node) {
    std::vector<uint64_t> ahead;
    std::unordered_set<uint64_t> seen;
    while ((node != 0 || !ahead.empty()) && out_.problem.empty()) {
      while (node != 0 && out_.problem.empty()) {
        if (!seen.insert(node).second) {
          out_.problem = fmt::format("the tree is circular: it leads to {:#x} twice", node);
          return;
        }
        ahead.push_back(node);
        node = child(node, left_);
      }
      if (ahead.empty() || !out_.problem.empty()) return;
      const uint64_t next = ahead.back();
      ahead.pop_back();
      if (out_.items.size() == most_walk_items) {
        out_.problem = fmt::format("more than {} nodes", most_walk_items);
        return;
      }
      out_.items.push_back({next, 0, 0});
      node = child(next, right_);
    }
  }

 private:
  uint64_t child(uint64_t node, uint64_t offset) {
    const auto next = memory_.memory().u64({node + offset});
    if (!next) out_.problem = unreadable("the node", node);
    return next.value_or(0);
  }
  TypedMemory& memory_;
  Walk& out_;
  uint64_t left_ = 0, right_ = 0;
};

class XarrayWalk {
 public:
  XarrayWalk(TypedMemory& memory, Walk& out) : memory_(memory), out_(out) {
    const TypeRef node = memory.require_type("xa_node");
    const auto shift = node.btf->member(node.id, "shift"), slots = node.btf->member(node.id, "slots");
    if (!shift || !slots || slots->size < 8) throw Error(Errc::missing, "no layout for xa_node");
    shift_ = shift->offset();
    slots_ = slots->offset();
    count_ = std::min<uint64_t>(slots->size / 8, 64);
  }
  void run(uint64_t entry) {
    if (entry == 0) return;
    if (!is_node(entry)) {
      add(entry, 0, 0);
      return;
    }
    descend(entry & ~uint64_t{3}, 0, 64);
  }

 private:
  // `limit`: the shift of the node above, which this one's is below of: that bounds the depth.
  void descend(uint64_t node, uint64_t base, unsigned limit) {
    if (!seen_.insert(node).second) {
      out_.problem = fmt::format("the array leads to {:#x} twice", node);
      return;
    }
    const auto shift = memory_.memory().u8({node + shift_});
    if (!shift) {
      out_.problem = unreadable("the node", node);
      return;
    }
    if (*shift >= limit) {
      out_.problem = fmt::format("the node at {:#x} says a shift of {}", node, *shift);
      return;
    }
    for (uint64_t i = 0; i < count_ && out_.problem.empty(); ++i) {
      const auto entry = memory_.memory().u64({node + slots_ + i * 8});
      if (!entry) {
        out_.problem = unreadable("the node", node);
        return;
      }
      if (*entry == 0) continue;
      const uint64_t first = base + (i << *shift);
      if (*shift > 0 && is_node(*entry)) {
        descend(*entry & ~uint64_t{3}, first, *shift);
      } else if (!is_internal(*entry)) {  // else a sibling, or a reserved place
        add(*entry, first, first + (uint64_t{1} << *shift) - 1);
      }
    }
  }
  void add(uint64_t entry, uint64_t first, uint64_t last) {
    if (out_.items.size() == most_walk_items) {
      out_.problem = fmt::format("more than {} entries", most_walk_items);
    } else {
      out_.items.push_back({entry, first, last});
    }
  }

  TypedMemory& memory_;
  Walk& out_;
  std::unordered_set<uint64_t> seen_;
  uint64_t shift_ = 0, slots_ = 0, count_ = 0;
};

// A node is 256 bytes, and the low byte of the word that leads to it says of which type it is.
class MapleWalk {
 public:
  MapleWalk(TypedMemory& memory, Walk& out) : memory_(memory), out_(out) {
    const TypeRef node = memory.require_type("maple_node");
    const auto offset = [&](std::string_view path) {
      const auto member = node.btf->member(node.id, path);
      if (!member) throw Error(Errc::missing, fmt::format("no layout for maple_node.{}", path));
      return *member;
    };
    const auto shape = [&](std::string_view kind) {
      const std::string prefix(kind);
      const Btf::Member pivots = offset(prefix + ".pivot"), slots = offset(prefix + ".slot");
      return Shape{pivots.offset(), pivots.size / 8, slots.offset(), slots.size / 8,
                   offset(prefix + ".meta.end").offset()};
    };
    range_ = shape("mr64");
    arange_ = shape("ma64");
    const Btf::Member dense = offset("slot");
    dense_ = Shape{0, 0, dense.offset(), dense.size / 8, 0};
    const auto value = [&](std::string_view name, int64_t otherwise) {
      return memory.kernel().layout().enumerator(name).value_or(otherwise);
    };
    dense_type_ = value("maple_dense", 0);
    leaf_type_ = value("maple_leaf_64", 1);
    range_type_ = value("maple_range_64", 2);
    arange_type_ = value("maple_arange_64", 3);
  }
  void run(uint64_t root) {
    if (root == 0) return;
    if (!is_node(root)) {
      add(root, 0, 0);
      return;
    }
    descend(root, 0, ~uint64_t{0}, 0);
  }

 private:
  struct Shape {
    uint64_t pivots = 0, pivot_count = 0, slots = 0, slot_count = 0, end = 0;
  };
  static constexpr int most_height = 31;  // MAPLE_HEIGHT_MAX
  static constexpr uint64_t node_mask = 0xff;

  void descend(uint64_t encoded, uint64_t min, uint64_t max, int depth) {
    const uint64_t node = encoded & ~node_mask;
    const auto type = static_cast<int64_t>(encoded >> 3 & 0xf);
    if (depth > most_height || !seen_.insert(node).second) {
      out_.problem = fmt::format("the tree is circular: it leads to {:#x} twice", node);
      return;
    }
    if (type == dense_type_) {
      for (uint64_t i = 0; i < dense_.slot_count && out_.problem.empty() && i <= max - min; ++i) {
        if (const uint64_t entry = word(node, dense_.slots + i * 8)) add(entry, min + i, min + i);
      }
      return;
    }
    const bool leaf = type == leaf_type_;
    if (!leaf && type != range_type_ && type != arange_type_) {
      out_.problem = fmt::format("the node at {:#x} is of an unknown type {}", node, type);
      return;
    }
    const Shape& shape = type == arange_type_ ? arange_ : range_;
    const uint64_t end = last_slot(node, shape, max, type == arange_type_);
    uint64_t first = min;
    for (uint64_t i = 0; i <= end && out_.problem.empty(); ++i) {
      uint64_t last = i < shape.pivot_count ? word(node, shape.pivots + i * 8) : max;
      // A last pivot that is not written stands for the node's maximum.
      if ((last == 0 && i > 0) || last > max) last = max;
      if (last < first) {
        out_.problem = fmt::format("the pivots of the node at {:#x} are out of order", node);
        return;
      }
      const uint64_t entry = word(node, shape.slots + i * 8);
      if (entry != 0) {
        if (leaf) {
          add(entry, first, last);
        } else {
          descend(entry, first, last, depth + 1);
        }
      }
      if (last == max) return;
      first = last + 1;
    }
  }

  // lib/maple_tree.c ma_data_end(): where the last pivot is not in use, its place holds the number of slots.
  uint64_t last_slot(uint64_t node, const Shape& shape, uint64_t max, bool always_counted) {
    const uint64_t highest = shape.slot_count - 1;
    const uint64_t pivot = word(node, shape.pivots + (shape.pivot_count - 1) * 8);
    if (always_counted || pivot == 0) {
      const auto end = memory_.memory().u8({node + shape.end});
      return std::min<uint64_t>(end.value_or(0), highest);
    }
    return pivot == max ? std::min(shape.pivot_count - 1, highest) : highest;
  }

  uint64_t word(uint64_t node, uint64_t offset) {
    const auto value = memory_.memory().u64({node + offset});
    if (!value) out_.problem = unreadable("the node", node);
    return value.value_or(0);
  }
  void add(uint64_t entry, uint64_t first, uint64_t last) {
    if (is_internal(entry)) return;  // XA_ZERO_ENTRY: reserved, nothing is there
    if (out_.items.size() == most_walk_items) {
      out_.problem = fmt::format("more than {} entries", most_walk_items);
    } else {
      out_.items.push_back({entry, first, last});
    }
  }

  TypedMemory& memory_;
  Walk& out_;
  Shape range_, arange_, dense_;
  int64_t dense_type_ = 0, leaf_type_ = 1, range_type_ = 2, arange_type_ = 3;
  std::unordered_set<uint64_t> seen_;
};

// From the word at `at`, where the tree's root is.
template <typename Walker>
Walk from_root(TypedMemory& memory, VirtAddr at, std::string_view what) {
  Walk out;
  const auto root = memory.memory().u64(at);
  if (!root) {
    out.problem = unreadable(what, at.value);
    return out;
  }
  Walker(memory, out).run(*root);
  return out;
}

}  // namespace

Walk walk_linked(TypedMemory& memory, VirtAddr head, std::string_view head_type) {
  Walk out;
  if (head_type != "hlist_head" && head_type != "hlist_nulls_head" && head_type != "llist_head") {
    const WalkEnd end = walk_list(memory.memory(), head, most_walk_items, [&](VirtAddr node) {
      out.items.push_back({node.value, 0, 0});
      return true;
    });
    if (end != WalkEnd::complete) out.problem = fmt::format("the list ended early: {}", to_string(end));
    return out;
  }
  // One pointer to the first, one in each to the next; hlist_nulls end with an odd number in place of NULL.
  std::unordered_set<uint64_t> seen;
  for (VirtAddr at = head;;) {
    const auto next = memory.memory().u64(at);
    if (!next) {
      out.problem = unreadable("the list", at.value);
      return out;
    }
    if (*next == 0 || (*next & 1) != 0) return out;
    if (!seen.insert(*next).second) {
      out.problem = fmt::format("the list is circular: it leads to {:#x} twice", *next);
      return out;
    }
    if (out.items.size() == most_walk_items) {
      out.problem = fmt::format("more than {} elements", most_walk_items);
      return out;
    }
    out.items.push_back({*next, 0, 0});
    at = {*next};
  }
}

Walk walk_rbtree(TypedMemory& memory, VirtAddr root) {
  return from_root<RbWalk>(memory, root, "the root");  // struct rb_root has nothing else
}

Walk walk_xarray(TypedMemory& memory, VirtAddr array) {
  const uint64_t head = memory.kernel().layout().require_offset("xarray", "xa_head");
  return from_root<XarrayWalk>(memory, array + head, "the array");
}

Walk walk_maple(TypedMemory& memory, VirtAddr tree) {
  const uint64_t root = memory.kernel().layout().require_offset("maple_tree", "ma_root");
  return from_root<MapleWalk>(memory, tree + root, "the tree");
}

}  // namespace kdk
