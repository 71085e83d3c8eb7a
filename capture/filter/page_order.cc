#include "capture/filter/page_order.h"

#include <algorithm>

#include "capture/filter/useful_memory.h"

namespace kdk {
namespace {

// The image by what is in it. The linker script has code, constants, data and bss in this order on every
// architecture (include/asm-generic/vmlinux.lds.h), with the init sections before or behind the data.
struct ImageParts {
  std::vector<PfnRange> data, rodata, text;
};

ImageParts image_parts(Kernel& kernel, const std::vector<PfnRange>& image) {
  const uint64_t page_size = kernel.memory().page_size();
  const uint64_t offset = kernel.memory().layout().image_offset;
  const auto pfn = [&](VirtAddr va) { return Pfn{(va.value - offset) / page_size}; };
  const std::optional<VirtAddr> code_end = kernel.symbol("_etext");
  Pfn data{UINT64_MAX}, constants{UINT64_MAX};
  if (code_end) constants = pfn(*code_end);
  if (const std::optional<VirtAddr> start = kernel.symbol("_sdata")) {
    data = pfn(*start);
  } else if (const std::optional<VirtAddr> init = kernel.symbol("_einittext")) {
    // Without data symbols: the data begins where the image goes on behind the init sections, which are no
    // longer there.
    const auto after = std::ranges::find_if(image, [&](const PfnRange& r) { return r.begin > pfn(*init); });
    if (after != image.end()) data = after->begin;
  }
  ImageParts parts;
  for (const PfnRange& range : image) {
    const auto add = [&](std::vector<PfnRange>& part, Pfn begin, Pfn end) {
      begin = std::max(begin, range.begin);
      end = std::min(end, range.end);
      if (begin < end) part.push_back({begin, end});
    };
    add(parts.text, {0}, std::min(constants, data));
    add(parts.rodata, constants, data);
    add(parts.data, data, {UINT64_MAX});
  }
  return parts;
}

enum Rest : uint8_t { rest_slab, rest_kernel, rest_memory_map, rest_user, rest_cache, rest_free };

Rest group_of(uint8_t block) {
  if ((block & block_slab) != 0) return rest_slab;
  if (block == 0 || (block & block_kernel) != 0) return rest_kernel;  // 0: at most what a pin keeps
  if ((block & block_user) != 0) return rest_user;
  if ((block & block_cache) != 0) return rest_cache;
  return rest_free;
}

// Takes what `earlier` has, sorted and disjoint, out of `ranges`, which are so, too.
std::vector<PfnRange> without(const std::vector<PfnRange>& ranges, const std::vector<PfnRange>& earlier) {
  std::vector<PfnRange> out;
  size_t e = 0;
  for (PfnRange range : ranges) {
    while (e < earlier.size() && earlier[e].end <= range.begin) ++e;
    for (size_t i = e; i < earlier.size() && earlier[i].begin < range.end; ++i) {
      if (range.begin < earlier[i].begin) out.push_back({range.begin, earlier[i].begin});
      range.begin = std::max(range.begin, std::min(range.end, earlier[i].end));
    }
    if (range.begin < range.end) out.push_back(range);
  }
  return out;
}

}  // namespace

void make_disjoint(std::vector<PageOrder::Group>& groups, const std::vector<PfnRange>& ram) {
  std::vector<PfnRange> taken;
  for (PageOrder::Group& group : groups) {
    group.ranges = without(merge_ranges(std::move(group.ranges), ram), taken);
    std::vector<PfnRange> both = taken;
    both.insert(both.end(), group.ranges.begin(), group.ranges.end());
    taken = merge_ranges(std::move(both), ram);
  }
  std::erase_if(groups, [](const PageOrder::Group& group) { return group.ranges.empty(); });
}

PageOrder order_pages(Kernel& kernel, const MemMap& map, const Pins& pins, const Scan& scan) {
  PageOrder order;
  ImageParts image = image_parts(kernel, pins.of("kernel_image"));
  std::vector<PfnRange> cpus = variable_pages(kernel);
  const std::vector<PfnRange>& stacks = pins.of("task_stacks");
  cpus.insert(cpus.end(), stacks.begin(), stacks.end());
  order.first = {{"page_tables", without(pins.of("page_tables"), pins.linear_tables)},
                 {"log", log_pages(kernel)},
                 {"cpus", std::move(cpus)},
                 {"sections", map.table_pages()},
                 {"per_cpu", pins.of("per_cpu")},
                 {"tasks", task_pages(kernel)},
                 {"image_data", std::move(image.data)},
                 {"modules", module_pages(kernel)},
                 {"image_rodata", std::move(image.rodata)},
                 {"image_text", std::move(image.text)},
                 {"mapped", pins.of("mapped")},
                 {"linear_tables", pins.linear_tables}};
  make_disjoint(order.first, kernel.dump().ram());

  order.rest = {"slab", "kernel", "memory_map", "user", "cache", "free"};
  order.block_group = ByteMap(scan.blocks.size());
  for (const PfnRange& range : kernel.dump().ram()) {  // not between banks: they may be terabytes apart
    for (uint64_t block = range.begin.value / 64; block <= (range.end.value - 1) / 64; ++block) {
      if (block < scan.blocks.size()) order.block_group[block] = group_of(scan.blocks[block]);
    }
  }
  for (const PfnRange& range : merge_ranges(map.own_pages(), kernel.dump().ram())) {
    for (uint64_t block = range.begin.value / 64; block <= (range.end.value - 1) / 64; ++block) {
      if (block < order.block_group.size() && order.block_group[block] == rest_kernel)
        order.block_group[block] = rest_memory_map;
    }
  }
  return order;
}

}  // namespace kdk
