#include "capture/filter/free_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "capture/filter/zones.h"

namespace kdk {
namespace {

// stat_threshold never exceeds 125 (mm/vmstat.c: calculate_normal_threshold): so much of a zone's counter can
// still be in each CPU's private part.
constexpr uint64_t counter_drift_per_cpu = 125;

uint64_t cpu_count(const Dump& dump) {
  const auto is_cpu = [](const Note& note) { return note.type == nt_prstatus && note.name == "CORE"; };
  return static_cast<uint64_t>(std::max<int64_t>(1, std::ranges::count_if(dump.notes(), is_cpu)));
}

}  // namespace

std::string_view to_string(FreeCheck::Result result) {
  switch (result) {
    case FreeCheck::Result::agrees:
      return "agrees";
    case FreeCheck::Result::fewer_found:
      return "fewer_found";
    case FreeCheck::Result::more_found:
      return "more_found";
    case FreeCheck::Result::not_checked:
      return "not_checked";
  }
  return "not_checked";
}

FreeCheck::Result compare_free_pages(uint64_t found, uint64_t kernel_count, uint64_t tolerance,
                                     bool exhaustive) {
  const uint64_t difference = found > kernel_count ? found - kernel_count : kernel_count - found;
  if (difference <= tolerance) return FreeCheck::Result::agrees;
  if (found > kernel_count)
    return exhaustive ? FreeCheck::Result::more_found : FreeCheck::Result::not_checked;
  return FreeCheck::Result::fewer_found;
}

FreeCheck check_free_pages(Kernel& kernel, const MemMap& map, const PageMarkers& markers, const Scan& scan) {
  FreeCheck check;
  // Unaccepted memory counts as free (mm/page_alloc.c: __free_unaccepted).
  check.found = scan.of(PageClass::free).found + scan.of(PageClass::unaccepted).found;
  std::string missing;
  const std::optional<ZoneLayout> layout = zone_layout(kernel.vmcoreinfo(), missing);
  if (!layout) {
    check.detail = fmt::format("VMCOREINFO has no {}", missing);
    return check;
  }
  const Zones zones = find_zones(kernel, map, *layout, markers, scan);
  check.zones_source = zones.source;
  for (uint64_t zone : zones.addresses) {
    const std::optional<uint64_t> count =
        kernel.memory().u64({zone + layout->vm_stat + layout->free_item * 8});
    if (!count) {
      check.detail = fmt::format("the counters of the zone at {:#x} could not be read", zone);
      return check;
    }
    // The shared counter may be below zero by what CPUs hold privately.
    const int64_t pages = static_cast<int64_t>(*count);
    check.kernel_count += pages > 0 ? static_cast<uint64_t>(pages) : 0;
    if (pages != 0) ++check.zones;
  }
  if (zones.addresses.empty()) {
    check.detail = "no zone could be found (no symbol node_data or contig_page_data, no sound free list)";
    return check;
  }
  check.tolerance = counter_drift_per_cpu * cpu_count(kernel.dump()) * std::max<uint64_t>(check.zones, 1);
  check.result = compare_free_pages(check.found, check.kernel_count, check.tolerance, zones.exhaustive);
  if (check.result == FreeCheck::Result::not_checked) {
    check.detail =
        fmt::format("only zones with {} free pages were found through free lists, {} pages are marked free",
                    check.kernel_count, check.found);
  } else if (check.result != FreeCheck::Result::agrees) {
    check.detail =
        fmt::format("{} pages are marked free, the kernel counts {}", check.found, check.kernel_count);
  }
  return check;
}

}  // namespace kdk
