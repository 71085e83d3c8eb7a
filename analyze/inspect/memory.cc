#include "analyze/inspect/memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <bitset>

#include "core/base/log.h"

namespace kdk {
namespace {

constexpr int max_nodes = 1024;    // MAX_NUMNODES with NODES_SHIFT 10, the largest there is
constexpr int max_zones = 16;      // MAX_NR_ZONES is 6 with every option on
constexpr int max_huge_pools = 8;  // HUGE_MAX_HSTATE is 4 at most

class Reader {
 public:
  Reader(Kernel& kernel, MemorySummary& summary)
      : kernel_(kernel), memory_(kernel.memory()), layout_(kernel.layout()), s_(summary) {}

  void read_all() {
    totals();
    nodes();
    huge_pages();
    if (!absent_symbols_.empty()) {
      s_.missing.push_back(fmt::format("unknown symbols: {}", fmt::join(absent_symbols_, ", ")));
    }
  }

 private:
  std::optional<uint64_t> variable(std::initializer_list<std::string_view> names) {
    for (std::string_view name : names) {
      if (auto symbol = kernel_.symbol(name)) return value_at(*symbol, name);
    }
    absent_symbols_.emplace_back(*names.begin());
    return std::nullopt;
  }

  // A counter that should be readable: if it is not, the summary says which.
  template <typename Stored = ul64>
  std::optional<uint64_t> value_at(VirtAddr va, std::string_view what) {
    Stored value;
    ReadResult result = memory_.read(va, {reinterpret_cast<uint8_t*>(&value), sizeof value});
    if (result) return value;
    s_.missing.push_back(fmt::format("{} at {:#x}: {}", what, va.value, to_string(result.status)));
    if (result.status != ReadStatus::excluded) s_.damaged = true;
    return std::nullopt;
  }

  // Item `names` (newest first) of an array of atomic_long_t counters. A counter may be briefly negative:
  // then 0.
  std::optional<uint64_t> counter(std::optional<VirtAddr> array,
                                  std::initializer_list<std::string_view> names) {
    if (!array) return std::nullopt;
    for (std::string_view name : names) {
      if (auto index = layout_.enumerator(name); index && *index >= 0 && *index < 512) {
        auto value = value_at(*array + static_cast<uint64_t>(*index) * 8, name);
        if (value && static_cast<int64_t>(*value) < 0) return 0;
        return value;
      }
    }
    s_.missing.push_back(fmt::format("no type says which counter {} is", *names.begin()));
    return std::nullopt;
  }

  std::optional<VirtAddr> required_symbol(std::string_view name) {
    auto symbol = kernel_.symbol(name);
    if (!symbol) absent_symbols_.emplace_back(name);
    return symbol;
  }

  void totals() {
    // Linux commit ca79b0c211af ("mm: convert totalram_pages and totalhigh_pages variables to atomic") (in
    // v5.0) put the underscore in front.
    s_.total = variable({"_totalram_pages", "totalram_pages"});
    if (auto zone_stat = required_symbol("vm_zone_stat")) s_.free = counter(zone_stat, {"NR_FREE_PAGES"});
    if (auto node_stat = required_symbol("vm_node_stat")) {
      s_.anon = counter(node_stat, {"NR_ANON_MAPPED"});
      s_.file = counter(node_stat, {"NR_FILE_PAGES"});
      s_.shmem = counter(node_stat, {"NR_SHMEM"});
      // Linux commit d42f3245c7e2 ("mm: memcg: convert vmstat slab counters to bytes") (in v5.9) added _B;
      // the global array still counts pages.
      s_.slab_reclaimable = counter(node_stat, {"NR_SLAB_RECLAIMABLE_B", "NR_SLAB_RECLAIMABLE"});
      s_.slab_unreclaimable = counter(node_stat, {"NR_SLAB_UNRECLAIMABLE_B", "NR_SLAB_UNRECLAIMABLE"});
      s_.dirty = counter(node_stat, {"NR_FILE_DIRTY"});
      s_.writeback = counter(node_stat, {"NR_WRITEBACK"});
      // Linux commit 991e7673859e ("mm: memcontrol: account kernel stack per node") and f0c0c115fb81 ("mm:
      // memcontrol: account pagetables per node") moved these two from the zones to the nodes.
      s_.page_tables = counter(node_stat, {"NR_PAGETABLE"});
      if (auto kilobytes = counter(node_stat, {"NR_KERNEL_STACK_KB"}))
        s_.kernel_stack_bytes = *kilobytes * 1024;
    }
    s_.swap_total = variable({"total_swap_pages"});
    s_.swap_free = variable({"nr_swap_pages"});
  }

  void nodes() {
    if (auto single = kernel_.symbol("contig_page_data")) {
      zones(*single, 0);
      return;
    }
    auto array = required_symbol("node_data");
    if (!array) return;
    std::bitset<max_nodes> online;
    online.set(0);
    if (auto mask = kernel_.symbol("node_online_map")) {
      uint64_t bits = kernel_.vmcoreinfo().size("nodemask_t").value_or(8) * 8;
      for (uint64_t word = 0; word < std::min<uint64_t>(bits, max_nodes) / 64; ++word) {
        uint64_t value = memory_.u64(*mask + word * 8).value_or(word == 0 ? 1 : 0);
        for (unsigned bit = 0; bit < 64; ++bit) online[word * 64 + bit] = (value >> bit & 1) != 0;
      }
    }
    // nodemask_t holds all node states, VMCOREINFO's node_online_map is the online one.
    for (int node = 0; node < max_nodes; ++node) {
      if (!online[static_cast<size_t>(node)]) continue;
      auto pgdat = value_at(*array + static_cast<uint64_t>(node) * 8, fmt::format("node_data[{}]", node));
      if (pgdat && *pgdat != 0) zones(VirtAddr{*pgdat}, node);
    }
  }

  void zones(VirtAddr pgdat, int node) {
    auto first = layout_.offset("pglist_data", "node_zones");
    auto count_at = layout_.offset("pglist_data", "nr_zones");
    auto size = layout_.size_of("zone");
    auto present = layout_.offset("zone", "present_pages");
    auto managed = layout_.offset("zone", "managed_pages");
    auto spanned = layout_.offset("zone", "spanned_pages");
    auto name = layout_.offset("zone", "name");
    auto stat = layout_.offset("zone", "vm_stat");
    // "_watermark" since Linux commit a921444382b4 ("mm: move zone watermark accesses behind an accessor")
    // (in v5.0).
    auto watermark = layout_.first_field("zone", {"_watermark", "watermark"});
    if (!first || !count_at || !size || *size == 0) {
      s_.missing.push_back("no layout for pglist_data.node_zones, .nr_zones or the size of struct zone");
      return;
    }
    auto count = value_at<ul32>(pgdat + *count_at, "pglist_data.nr_zones");
    if (!count) return;
    if (*count == 0 || *count > max_zones) {
      s_.missing.push_back(fmt::format("node {}: {} zones is impossible", node, *count));
      s_.damaged = true;
      return;
    }
    for (uint64_t i = 0; i < *count; ++i) {
      VirtAddr zone = pgdat + *first + i * *size;
      Zone z;
      z.node = node;
      auto load = [&](std::optional<uint64_t> offset, std::string_view what) -> std::optional<uint64_t> {
        if (!offset) return std::nullopt;
        return value_at(zone + *offset, what);
      };
      z.spanned_pages = load(spanned, "zone.spanned_pages");
      if (z.spanned_pages == 0u) continue;  // not populated
      z.present_pages = load(present, "zone.present_pages");
      z.managed_pages = load(managed, "zone.managed_pages");
      if (stat) z.free_pages = counter(zone + *stat, {"NR_FREE_PAGES"});
      if (watermark) {
        z.min_pages = load(watermark->offset, "zone.watermark");
        z.low_pages = load(watermark->offset + 8, "zone.watermark");
        z.high_pages = load(watermark->offset + 16, "zone.watermark");
      }
      if (name) {
        if (auto text = memory_.pointer(zone + *name)) {
          z.name = escape_untrusted(memory_.string(*text, 32).value_or(""));
        }
      }
      s_.zones.push_back(std::move(z));
    }
  }

  void huge_pages() {
    auto states = kernel_.symbol("hstates");
    auto count_symbol = kernel_.symbol("hugetlb_max_hstate");
    auto size = layout_.size_of("hstate");
    auto order = layout_.offset("hstate", "order");
    auto total = layout_.offset("hstate", "nr_huge_pages");
    auto free = layout_.offset("hstate", "free_huge_pages");
    if (!states || !count_symbol || !size || !order || !total || !free)
      return;  // CONFIG_HUGETLB_PAGE=n looks the same
    uint32_t count = memory_.u32(*count_symbol).value_or(0);
    for (uint32_t i = 0; i < std::min<uint32_t>(count, max_huge_pools); ++i) {
      VirtAddr state = *states + i * *size;
      auto pages = value_at(state + *total, "hstate.nr_huge_pages");
      auto free_pages = value_at(state + *free, "hstate.free_huge_pages");
      auto shift = memory_.u32(state + *order);
      if (!pages || !free_pages || !shift || *shift > 32 || *pages == 0) continue;
      s_.huge_pages.push_back({uint64_t{s_.page_bytes} << *shift, *pages, *free_pages});
    }
  }

  Kernel& kernel_;
  KernelMemory& memory_;
  Layout& layout_;
  MemorySummary& s_;
  std::vector<std::string> absent_symbols_;
};

}  // namespace

MemorySummary read_memory_summary(Kernel& kernel) {
  MemorySummary summary;
  summary.page_bytes = kernel.memory().page_size();
  for (const PfnRange& range : kernel.dump().ram()) summary.ram_bytes += range.count() * summary.page_bytes;
  Reader(kernel, summary).read_all();
  return summary;
}

}  // namespace kdk
