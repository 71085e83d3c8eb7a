#include "capture/filter/cpu_lists.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>
#include <unordered_set>

#include "capture/filter/cpu_list_walk.h"
#include "core/kernel/percpu.h"

namespace kdk {
namespace {

// What is added to per-CPU pointers, for every possible CPU; empty without the symbols that tell.
std::set<uint64_t> offsets_of_cpus(Kernel& kernel) {
  std::set<uint64_t> offsets;
  for (unsigned cpu : cpu_mask(kernel, "__cpu_possible_mask").value_or(std::vector<unsigned>{})) {
    if (const std::optional<uint64_t> offset = per_cpu_offset(kernel, cpu)) offsets.insert(*offset);
  }
  return offsets;
}

// The same found backwards, for kernels whose kallsyms has no data symbols (KALLSYMS_ALL=n): a page that
// looks free may be on such a list, and then its links lead to the list's head, which is in the struct
// per_cpu_pages of one CPU. Which list it is decides where that struct begins; a CPU's offset is a multiple
// of the page size (mm/percpu.c), and the guess for which that is so and all lists are sound is it.
class OffsetSearch {
 public:
  OffsetSearch(KernelMemory& memory, CpuListWalk& walk, const CpuListLayout& layout,
               const std::vector<uint64_t>& pagesets)
      : memory_(memory), walk_(walk), layout_(layout), pagesets_(pagesets) {}

  std::set<uint64_t> offsets(const Scan& scan, const std::vector<PfnRange>& ram) {
    for (const PfnRange& range : ram) {
      for (Pfn pfn = range.begin; pfn < range.end; pfn = pfn + 1) {
        if (scan.keep.test(pfn) && walk_.looks_free(pfn)) follow(pfn);
      }
    }
    return found_;
  }

 private:
  // Every link is followed once, so this ends.
  void follow(Pfn pfn) {
    std::optional<VirtAddr> link = walk_.link_of_page(pfn);
    while (link && met_.insert(link->value).second) {
      const std::optional<uint64_t> next = memory_.u64(*link + layout_.next);
      if (!next || memory_.u64(VirtAddr{*next} + layout_.prev) != link->value) return;
      link = VirtAddr{*next};
      if (!walk_.page_of_link(*link)) return try_head(*link);
    }
  }

  void try_head(VirtAddr head) {
    for (uint64_t list = 0; list < layout_.list_count; ++list) {
      const VirtAddr pages{head.value - layout_.list({0}, list).value};
      for (uint64_t pageset : pagesets_) {
        const uint64_t offset = pages.value - pageset;
        if (offset % memory_.page_size() == 0 && !found_.contains(offset) && walk_.blocks(pages))
          found_.insert(offset);
      }
    }
  }

  KernelMemory& memory_;
  CpuListWalk& walk_;
  const CpuListLayout& layout_;
  const std::vector<uint64_t>& pagesets_;
  std::unordered_set<uint64_t> met_;
  std::set<uint64_t> found_;
};

// A running machine (/proc/kcore) takes and returns pages while its lists are walked. Then they are walked
// again, as long as what is wrong with them changes: of a dump it never does.
std::optional<std::vector<PfnRange>> settled_blocks(KernelMemory& memory, CpuListWalk& walk, VirtAddr pages) {
  constexpr unsigned max_tries = 16;
  std::optional<std::vector<PfnRange>> blocks = walk.blocks(pages);
  for (unsigned tries = 1; !blocks && tries < max_tries; ++tries) {
    const std::string before = walk.problem();
    memory.forget_pages();
    blocks = walk.blocks(pages);
    if (!blocks && walk.problem() == before) break;
  }
  return blocks;
}

// No page can be free twice.
bool sort_disjoint(std::vector<PfnRange>& blocks) {
  std::ranges::sort(blocks, {}, &PfnRange::begin);
  return std::ranges::adjacent_find(
             blocks, [](const PfnRange& a, const PfnRange& b) { return b.begin < a.end; }) == blocks.end();
}

}  // namespace

CpuLists find_cpu_lists(Kernel& kernel, const MemMap& map, const PageMarkers& markers, const Scan& scan) {
  CpuLists found;
  std::string missing;
  const std::optional<ZoneLayout> zone = zone_layout(kernel.vmcoreinfo(), missing);
  if (!zone) {
    found.problem = fmt::format("VMCOREINFO has no {}", missing);
    return found;
  }
  const std::optional<CpuListLayout> layout = cpu_list_layout(kernel, *zone, found.problem);
  if (!layout) return found;
  KernelMemory& memory = kernel.memory();
  std::vector<uint64_t> pagesets;
  for (uint64_t address : find_zones(kernel, map, *zone, markers, scan).addresses) {
    const uint64_t pageset = memory.u64({address + layout->pageset}).value_or(0);
    if (pageset != 0) pagesets.push_back(pageset);
  }
  const std::vector<PfnRange>& ram = kernel.dump().ram();
  CpuListWalk walk(memory, map, markers, *layout, ram);
  std::set<uint64_t> offsets = offsets_of_cpus(kernel);
  if (offsets.empty()) offsets = OffsetSearch(memory, walk, *layout, pagesets).offsets(scan, ram);
  if (pagesets.empty() || offsets.empty()) {
    found.problem =
        pagesets.empty() ? "no zone could be found" : "where CPUs have their own memory is unknown";
    return found;
  }
  for (uint64_t pageset : pagesets) {
    for (uint64_t offset : offsets) {
      if (const std::optional<std::vector<PfnRange>> blocks =
              settled_blocks(memory, walk, {pageset + offset})) {
        found.blocks.insert(found.blocks.end(), blocks->begin(), blocks->end());
        continue;
      }
      ++found.refused;
      if (found.problem.empty())
        found.problem = fmt::format("the lists at {:#x} {}", pageset + offset, walk.problem());
    }
  }
  if (!sort_disjoint(found.blocks)) {
    found.problem = "one page is on two lists";
    found.blocks.clear();
    ++found.refused;
  }
  for (const PfnRange& block : found.blocks) found.pages += block.count();
  return found;
}

void exclude_cpu_lists(const CpuLists& lists, unsigned level, const std::vector<PfnRange>& pinned,
                       Scan& scan) {
  ClassCounts& kernel = scan.classes[static_cast<size_t>(PageClass::kernel)];
  ClassCounts& free = scan.classes[static_cast<size_t>(PageClass::cpu_free)];
  const bool leave_out = excluded(PageClass::cpu_free, level);
  size_t pin = 0;
  for (const PfnRange& block : lists.blocks) {
    for (Pfn pfn = block.begin; pfn < block.end; pfn = pfn + 1) {
      while (pin < pinned.size() && pinned[pin].end <= pfn) ++pin;
      const bool is_pinned = pin < pinned.size() && pinned[pin].begin <= pfn;
      // What the scan took for anything but a page of the kernel has been decided.
      if (is_pinned || !scan.keep.test(pfn) || kernel.found == 0) continue;
      --kernel.found;
      ++free.found;
      if (!leave_out) continue;
      scan.keep.clear(pfn);
      ++free.excluded;
    }
  }
}

}  // namespace kdk
