#include "analyze/render/memory_parts.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "analyze/render/json_parts.h"
#include "analyze/render/text_parts.h"

namespace kdk {

using nlohmann::ordered_json;

std::string text::memory(const MemorySummary& m) {
  std::string out;
  std::string line;
  auto cell = [&](std::string_view name, std::optional<uint64_t> pages) {
    if (!pages) return;
    uint64_t size = 0;
    if (__builtin_mul_overflow(*pages, uint64_t{m.page_bytes}, &size)) return;
    std::string text = fmt::format("  {:<16}{:>12}", name, text::bytes(size));
    if (line.size() + text.size() > text::width) {
      out += line + '\n';
      line.clear();
    }
    line += text;
  };
  cell("RAM", m.page_bytes != 0 ? m.ram_bytes / m.page_bytes : 0);
  cell("total", m.total);
  cell("free", m.free);
  cell("anonymous", m.anon);
  cell("file cache", m.file);
  cell("shared", m.shmem);
  cell("slab", m.slab_unreclaimable);
  cell("slab reclaim.", m.slab_reclaimable);
  cell("page tables", m.page_tables);
  cell("dirty", m.dirty);
  cell("writeback", m.writeback);
  cell("swap", m.swap_total);
  cell("swap free", m.swap_free);
  if (!line.empty()) out += line + '\n';
  for (const HugePagePool& pool : m.huge_pages) {
    out +=
        fmt::format("  huge pages of {}: {}, {} free\n", text::bytes(pool.page_bytes), pool.total, pool.free);
  }
  auto number = [](std::optional<uint64_t> value) {
    return value ? fmt::format("{}", *value) : std::string("?");
  };
  if (!m.zones.empty()) {
    out += fmt::format("\n  {:<16}{:>12}{:>12}{:>12}{:>10}{:>10}{:>10}  (pages)\n", "zone", "present",
                       "managed", "free", "min", "low", "high");
  }
  for (const Zone& zone : m.zones) {
    out += fmt::format("  {:<16}{:>12}{:>12}{:>12}{:>10}{:>10}{:>10}\n",
                       fmt::format("{} {}", zone.node, zone.name), number(zone.present_pages),
                       number(zone.managed_pages), number(zone.free_pages), number(zone.min_pages),
                       number(zone.low_pages), number(zone.high_pages));
  }
  return out;
}

nlohmann::ordered_json json::memory(const MemorySummary& m) {
  auto size = [&](std::optional<uint64_t> pages) -> ordered_json {
    uint64_t bytes = 0;
    if (!pages || __builtin_mul_overflow(*pages, uint64_t{m.page_bytes}, &bytes)) return nullptr;
    return integer(bytes);
  };
  ordered_json zones = ordered_json::array();
  for (const Zone& zone : m.zones) {
    zones.push_back({{"node", zone.node},
                     {"name", text(zone.name)},
                     {"spanned_pages", integer(zone.spanned_pages)},
                     {"present_pages", integer(zone.present_pages)},
                     {"managed_pages", integer(zone.managed_pages)},
                     {"free_pages", integer(zone.free_pages)},
                     {"min_pages", integer(zone.min_pages)},
                     {"low_pages", integer(zone.low_pages)},
                     {"high_pages", integer(zone.high_pages)}});
  }
  ordered_json huge = ordered_json::array();
  for (const HugePagePool& pool : m.huge_pages) {
    huge.push_back({{"page_size_bytes", integer(pool.page_bytes)},
                    {"total", integer(pool.total)},
                    {"free", integer(pool.free)}});
  }
  ordered_json out;
  out["ram_bytes"] = integer(m.ram_bytes);
  out["page_size_bytes"] = m.page_bytes;
  out["total_bytes"] = size(m.total);
  out["free_bytes"] = size(m.free);
  out["anonymous_bytes"] = size(m.anon);
  out["file_cache_bytes"] = size(m.file);
  out["shared_bytes"] = size(m.shmem);
  out["slab_reclaimable_bytes"] = size(m.slab_reclaimable);
  out["slab_unreclaimable_bytes"] = size(m.slab_unreclaimable);
  out["page_table_bytes"] = size(m.page_tables);
  out["kernel_stack_bytes"] = integer(m.kernel_stack_bytes);
  out["dirty_bytes"] = size(m.dirty);
  out["writeback_bytes"] = size(m.writeback);
  out["swap_total_bytes"] = size(m.swap_total);
  out["swap_free_bytes"] = size(m.swap_free);
  out["zones"] = std::move(zones);
  out["huge_pages"] = std::move(huge);
  return out;
}

}  // namespace kdk
