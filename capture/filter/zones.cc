#include "capture/filter/zones.h"

#include <algorithm>

namespace kdk {
namespace {

constexpr uint64_t max_nodes = 1024;  // MAX_NUMNODES of the largest configurations
constexpr uint64_t max_zones_per_node = 8;

// Zones of every node that is online, through the arrays the kernel keeps.
std::set<uint64_t> zones_of_nodes(Kernel& kernel, const ZoneLayout& z, std::string& source) {
  KernelMemory& memory = kernel.memory();
  std::vector<uint64_t> nodes;
  if (const std::optional<VirtAddr> node_data = kernel.symbol("node_data")) {
    source = "node_data";
    const std::optional<VirtAddr> online = kernel.symbol("node_online_map");
    const uint64_t bytes = std::min(kernel.vmcoreinfo().size("nodemask_t").value_or(8), max_nodes / 8);
    for (uint64_t node = 0; online && node < bytes * 8; ++node) {
      const std::optional<uint8_t> mask = memory.u8(*online + node / 8);
      if (!mask || (*mask >> (node % 8) & 1) == 0) continue;
      if (const std::optional<uint64_t> data = memory.u64(*node_data + node * 8)) nodes.push_back(*data);
    }
  } else if (const std::optional<VirtAddr> only = kernel.symbol("contig_page_data")) {
    source = "contig_page_data";
    nodes.push_back(only->value);
  }
  std::set<uint64_t> zones;
  for (uint64_t node : nodes) {
    const uint64_t count = memory.u32({node + z.nr_zones}).value_or(0);
    for (uint64_t i = 0; i < std::min(count, max_zones_per_node); ++i) {
      zones.insert(node + z.node_zones + i * z.zone_size);
    }
  }
  return zones;
}

// Zones found without any symbol, backwards: a free block is linked into a list whose head is in its zone.
// Which of the zone's lists it is decides where the zone begins; the one guess that makes every list of the
// zone a sound ring is it.
class FreeListSearch {
 public:
  FreeListSearch(KernelMemory& memory, const MemMap& map, const ZoneLayout& layout,
                 const PageMarkers& markers, const std::vector<PfnRange>& ram)
      : memory_(memory), map_(map), z_(layout) {
    const std::optional<VirtAddr> first = map.page_address(ram.front().begin);
    if (!first) return;
    pages_begin_ = first->value;
    pages_end_ = first->value + (ram.back().end.value - ram.front().begin.value) * markers.struct_size;
  }

  std::set<uint64_t> zones(const Scan& scan) {
    std::set<uint64_t> found;
    for (unsigned order = 0; order < z_.orders; ++order) {
      const Scan::FreeOrder& blocks = scan.free_orders[order];
      if (blocks.blocks == 0 || blocks.blocks > max_list) continue;
      for (Pfn pfn : {blocks.first, blocks.last}) {
        if (const std::optional<uint64_t> zone = zone_of(pfn, order)) found.insert(*zone);
      }
    }
    return found;
  }

 private:
  static constexpr uint64_t max_list = 20000;

  std::optional<uint64_t> zone_of(Pfn pfn, unsigned order) {
    const std::optional<VirtAddr> page = map_.page_address(pfn);
    if (!page) return std::nullopt;
    uint64_t node = page->value + z_.lru;
    for (uint64_t steps = 0; steps <= max_list; ++steps) {
      if (node < pages_begin_ || node >= pages_end_) return zone_with_head(node, order);
      const std::optional<uint64_t> next = memory_.u64({node + z_.next});
      if (!next) return std::nullopt;
      node = *next;
    }
    return std::nullopt;
  }

  std::optional<uint64_t> zone_with_head(uint64_t head, unsigned order) {
    for (uint64_t list = 0; list < z_.lists; ++list) {
      const uint64_t zone = head - list_offset(order, list);
      if (all_lists_sound(zone)) return zone;
    }
    return std::nullopt;
  }

  uint64_t list_offset(uint64_t order, uint64_t list) const {
    return z_.free_area + order * z_.free_area_size + z_.free_list +
           list * 16;  // struct list_head: two pointers
  }

  bool all_lists_sound(uint64_t zone) {
    for (uint64_t order = 0; order < z_.orders; ++order) {
      for (uint64_t list = 0; list < z_.lists; ++list) {
        const uint64_t head = zone + list_offset(order, list);
        const std::optional<uint64_t> next = memory_.u64({head + z_.next}),
                                      prev = memory_.u64({head + z_.prev});
        if (!next || !prev || memory_.u64({*next + z_.prev}) != head ||
            memory_.u64({*prev + z_.next}) != head) {
          return false;
        }
      }
    }
    return true;
  }

  KernelMemory& memory_;
  const MemMap& map_;
  const ZoneLayout& z_;
  uint64_t pages_begin_ = 0, pages_end_ = 0;
};

}  // namespace

std::optional<ZoneLayout> zone_layout(const Vmcoreinfo& info, std::string& missing) {
  ZoneLayout z{};
  const auto take = [&](uint64_t& field, std::optional<uint64_t> value, std::string_view name) {
    if (!value && missing.empty()) missing = name;
    field = value.value_or(0);
  };
  take(z.node_zones, info.offset("pglist_data.node_zones"), "OFFSET(pglist_data.node_zones)");
  take(z.nr_zones, info.offset("pglist_data.nr_zones"), "OFFSET(pglist_data.nr_zones)");
  take(z.zone_size, info.size("zone"), "SIZE(zone)");
  take(z.vm_stat, info.offset("zone.vm_stat"), "OFFSET(zone.vm_stat)");
  take(z.free_item, info.number("NR_FREE_PAGES"), "NUMBER(NR_FREE_PAGES)");
  take(z.free_area, info.offset("zone.free_area"), "OFFSET(zone.free_area)");
  take(z.free_area_size, info.size("free_area"), "SIZE(free_area)");
  take(z.free_list, info.offset("free_area.free_list"), "OFFSET(free_area.free_list)");
  take(z.lists, info.length("free_area.free_list"), "LENGTH(free_area.free_list)");
  take(z.orders, info.length("zone.free_area"), "LENGTH(zone.free_area)");
  take(z.next, info.offset("list_head.next"), "OFFSET(list_head.next)");
  take(z.prev, info.offset("list_head.prev"), "OFFSET(list_head.prev)");
  take(z.lru, info.offset("page.lru"), "OFFSET(page.lru)");
  if (missing.empty() && (z.lists > 64 || z.orders > 64)) missing = "a possible LENGTH(zone.free_area)";
  if (!missing.empty()) return std::nullopt;
  return z;
}

Zones find_zones(Kernel& kernel, const MemMap& map, const ZoneLayout& layout, const PageMarkers& markers,
                 const Scan& scan) {
  Zones found;
  found.addresses = zones_of_nodes(kernel, layout, found.source);
  found.exhaustive = !found.addresses.empty();
  if (found.addresses.empty() && !kernel.dump().ram().empty()) {
    found.source = "free lists";
    found.addresses = FreeListSearch(kernel.memory(), map, layout, markers, kernel.dump().ram()).zones(scan);
  }
  if (found.addresses.empty()) found.source.clear();
  return found;
}

}  // namespace kdk
