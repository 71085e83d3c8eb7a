#include "analyze/inspect/vmalloc.h"

#include <fmt/format.h>

#include <algorithm>

namespace kdk {
namespace {

constexpr size_t most_areas = size_t{1} << 20;
constexpr uint64_t most_nodes = 128;  // mm/vmalloc.c vmap_init_nodes(): of CPUs, at most this

class Reader {
 public:
  Reader(TypedMemory& types, VmapAreas& out)
      : types_(types), out_(out), area_(types.require_type("vmap_area")) {
    const auto node = area_.btf->member(area_.id, "rb_node"), list = area_.btf->member(area_.id, "list");
    if (!node || !list) throw Error(Errc::missing, "no layout for vmap_area.rb_node or .list");
    node_ = node->offset();
    list_ = list->offset();
  }

  void read_nodes(VirtAddr nodes) {
    const TypeRef node = types_.require_type("vmap_node");
    const uint64_t size = types_.kernel().layout().size_of("vmap_node").value_or(0);
    const auto count = types_.kernel().symbol("nr_vmap_nodes");
    const uint64_t n = count ? types_.memory().u32(*count).value_or(1) : 1;
    const auto first = types_.memory().pointer(nodes);
    if (!first || size == 0) throw Error(Errc::missing, "vmap_nodes cannot be read");
    for (uint64_t i = 0; i < std::min(n, most_nodes); ++i) {
      const auto head = types_.follow_one({*first + i * size, node}, "busy.root");
      if (head) tree(head->at);
    }
  }

  void tree(VirtAddr root) {
    try {
      walk_tree(types_, root, most_areas, [&](VirtAddr at) { add(at - node_); });
    } catch (const Error& error) {
      out_.problems.push_back(fmt::format("areas of vmalloc space: {}", error.message()));
    }
  }

  void list(VirtAddr head) {
    const WalkEnd end = walk_list(types_.memory(), head, most_areas, [&](VirtAddr at) {
      add(at - list_);
      return true;
    });
    if (end != WalkEnd::complete)
      out_.problems.push_back(fmt::format("the list of vmalloc areas: {}", to_string(end)));
  }

 private:
  void add(VirtAddr at) {
    VmapArea area;
    const TypedPlace place{at, area_};
    area.start = types_.number(place, "va_start").value_or(0);
    area.end = types_.number(place, "va_end").value_or(0);
    if (area.end <= area.start)
      throw Error(Errc::format, fmt::format("the area at {:#x} has no size", at.value));
    // A list item: an area that does not lead to its vm_struct is still an area.
    try {
      area.vm = types_.number(place, "vm").value_or(0);
      if (area.vm != 0) {
        area.caller = types_.number(place, "vm.caller").value_or(0);
        area.pages = types_.number(place, "vm.nr_pages").value_or(0);
      }
    } catch (const Error&) {
      area.vm = 0;
    }
    out_.areas.push_back(area);
  }

  TypedMemory& types_;
  VmapAreas& out_;
  TypeRef area_;
  uint64_t node_ = 0, list_ = 0;
};

}  // namespace

VmapAreas read_vmap_areas(TypedMemory& types) {
  VmapAreas out;
  try {
    Reader reader(types, out);
    Kernel& kernel = types.kernel();
    if (const auto nodes = kernel.symbol("vmap_nodes")) {
      reader.read_nodes(*nodes);
    } else if (const auto root = kernel.symbol("vmap_area_root")) {
      reader.tree(*root);
    } else if (const auto head = kernel.symbol("vmap_area_list")) {
      reader.list(*head);
    } else {
      out.problems.push_back("the areas of vmalloc space: no symbol leads to them");
    }
  } catch (const Error& error) {
    out.problems.push_back(fmt::format("areas of vmalloc space: {}", error.message()));
  }
  std::sort(out.areas.begin(), out.areas.end(),
            [](const VmapArea& a, const VmapArea& b) { return a.start < b.start; });
  return out;
}

}  // namespace kdk
