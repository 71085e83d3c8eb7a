#include "capture/filter/pins.h"

#include <algorithm>

#include "capture/filter/filter.h"
#include "core/formats/notes.h"
#include "core/kernel/percpu.h"

namespace kdk {
namespace {

// Collects page frames of one kind.
class Kind {
 public:
  Kind(std::string name, uint32_t page_size) : page_size_(page_size) { kind_.name = std::move(name); }

  void add(PhysAddr pa, uint64_t size) {
    if (size == 0) return;
    const uint64_t begin = pa.value / page_size_;
    const uint64_t end = (pa.value + (size - 1)) / page_size_ + 1;
    if (end <= begin) return;  // wrapped: not RAM
    // Neighbours grow one range: the walk comes in address order, and most of what it finds is contiguous.
    if (!ranges_.empty() && ranges_.back().end.value == begin)
      ranges_.back().end = {end};
    else
      ranges_.push_back({{begin}, {end}});
  }
  const std::vector<PfnRange>& ranges() const { return ranges_; }
  void replace(std::vector<PfnRange> ranges) { ranges_ = std::move(ranges); }
  void problem(std::string text) { kind_.problem = std::move(text); }

  void finish(Pins& pins, const std::vector<PfnRange>& ram) {
    ranges_ = merge_ranges(std::move(ranges_), ram);
    for (const PfnRange& range : ranges_) kind_.pages += range.count();
    pins.ranges.insert(pins.ranges.end(), ranges_.begin(), ranges_.end());
    kind_.ranges = std::move(ranges_);
    pins.kinds.push_back(std::move(kind_));
  }

 private:
  PinKind kind_;
  uint32_t page_size_;
  std::vector<PfnRange> ranges_;
};

// The linear map's addresses of the dump's RAM; empty when the layout does not say where it is.
struct LinearMap {
  uint64_t offset = 0;  // VA - PA, modulo 2^64
  uint64_t begin = 0, end = 0;

  LinearMap(const VaLayout& layout, const Dump& dump) {
    if (layout.page_offset == 0 || dump.ram().empty()) return;
    offset = layout.page_offset - layout.phys_offset;
    begin = dump.ram().front().begin.value * dump.info().page_size + offset;
    end = dump.end_pfn().value * dump.info().page_size + offset;
  }
  bool covers(uint64_t va, uint64_t size) const {
    return begin < end && va >= begin && va + (size - 1) < end;
  }
};

void walk_kernel_tables(Kernel& kernel, Kind& image, Kind& tables, Kind& linear_tables, Kind& mapped) {
  Translator& translator = kernel.memory().translator();
  const VaLayout& layout = translator.layout();
  const uint64_t page_size = kernel.memory().page_size();
  const LinearMap linear(layout, kernel.dump());
  const uint64_t last_table_span = page_size / 8 * page_size;  // what a table of pages covers
  const bool whole = translator.walk_tables([&](const Translator::TableEntry& entry) {
    if (entry.table) {
      tables.add(entry.pa, page_size);
      // The linear map's last level is by far the most of all tables (2 GiB of them per TiB) and says nothing
      // new.
      const bool go_on = entry.size > last_table_span || !linear.covers(entry.va.value, entry.size);
      if (!go_on) linear_tables.add(entry.pa, page_size);
      return go_on;
    }
    const uint64_t offset = entry.va.value - entry.pa.value;
    if (layout.image_offset != 0 && offset == layout.image_offset)
      image.add(entry.pa, entry.size);
    else if (linear.begin == linear.end || offset != linear.offset)
      mapped.add(entry.pa, entry.size);
    return true;
  });
  if (!whole)
    tables.problem("some page tables could not be read: pages found only through them are not pinned");
}

// Takes image pages out that the kernel has given back. The boot allocator's memory carries a flag
// (PG_reserved) whose number VMCOREINFO does not tell; but the page of _stext has it, and nothing else, so
// that is what is looked for.
void drop_given_back(Kernel& kernel, MemMap& map, const PageMarkers& markers, Kind& image) {
  constexpr uint64_t flag_bits = (uint64_t{1} << 20) - 1;  // zone, node and section numbers are far above
  const PageClassifier classifier(markers);
  const std::optional<VirtAddr> stext = kernel.symbol("_stext");
  const Translation text = stext ? kernel.memory().translate(*stext) : Translation{};
  const std::optional<VirtAddr> page =
      text ? map.page_address({text.pa.value / kernel.memory().page_size()}) : std::nullopt;
  const uint64_t reserved = page ? kernel.memory().u64(*page + markers.flags).value_or(0) & flag_bits : 0;
  if (reserved == 0) {
    image.problem(
        "the struct page of _stext is not marked reserved: image memory that was given back stays pinned "
        "too");
    return;
  }
  std::vector<PfnRange> kept;
  const size_t size = classifier.struct_size();
  for (const PfnRange& range : merge_ranges(image.ranges(), map.present())) {
    map.for_each_run(range, [&](const MemMap::Run& run) {
      for (uint64_t i = 0; i < run.count; ++i) {
        const Pfn pfn = run.first + i;
        const bool given_back = !run.struct_pages.empty() &&
                                (classifier.flags(run.struct_pages.data() + i * size) & reserved) != reserved;
        if (given_back) continue;
        if (!kept.empty() && kept.back().end == pfn)
          kept.back().end = pfn + 1;
        else
          kept.push_back({pfn, pfn + 1});
      }
    });
  }
  image.replace(std::move(kept));
}

void find_per_cpu(Kernel& kernel, Kind& kind) {
  const std::optional<VirtAddr> start = kernel.symbol("__per_cpu_start"),
                                end = kernel.symbol("__per_cpu_end");
  const std::optional<std::vector<unsigned>> cpus = cpu_mask(kernel, "__cpu_possible_mask");
  if (!start || !end || !cpus || end->value <= start->value ||
      end->value - start->value > (uint64_t{64} << 20)) {
    kind.problem(
        "no symbols for the first per-CPU chunk; it is kept by its struct pages alone (reserved memory)");
    return;
  }
  // The unit also holds what was allocated from the first chunk (mm/percpu.c: pcpu_unit_size), when known.
  uint64_t size = end->value - start->value;
  if (const std::optional<VirtAddr> unit = kernel.symbol("pcpu_unit_size")) {
    const uint64_t unit_size = kernel.memory().u32(*unit).value_or(0);
    if (unit_size >= size && unit_size <= (uint64_t{64} << 20)) size = unit_size;
  }
  for (unsigned cpu : *cpus) {
    const std::optional<VirtAddr> base = per_cpu_address(kernel, "__per_cpu_start", cpu);
    for (uint64_t done = 0; base && done < size;) {
      const Translation t = kernel.memory().translate(*base + done);
      if (!t || t.contiguous == 0) break;
      const uint64_t step = std::min(t.contiguous, size - done);
      kind.add(t.pa, step);
      done += step;
    }
  }
}

// Stacks are in vmalloc space with VMAP_STACK, so `mapped` has them. Without it they are plain kernel pages
// that no class matches; the stacks the CPUs were on are pinned then.
void find_stacks(Kernel& kernel, Kind& kind) {
  constexpr uint64_t stack_alignment = 16 * 1024;
  const Arch& arch = kernel.memory().arch();
  size_t seen = 0;
  for (const Note& note : kernel.dump().notes()) {
    if (note.type != nt_prstatus || note.name != "CORE") continue;
    const std::optional<Registers> registers = arch.registers_from_prstatus(note.desc);
    if (!registers || arch.user_mode(*registers)) continue;
    const std::optional<uint64_t> sp = registers->get(arch.roles().sp);
    if (!sp) continue;
    const uint64_t low = align_down(*sp, stack_alignment);
    for (uint64_t done = 0; done < stack_alignment;) {
      const Translation t = kernel.memory().translate({low + done});
      if (!t || t.contiguous == 0) break;
      const uint64_t step = std::min(t.contiguous, stack_alignment - done);
      kind.add(t.pa, step);
      done += step;
      ++seen;
    }
  }
  if (seen == 0) kind.problem("no CPU left a kernel stack pointer in its note");
}

}  // namespace

std::vector<PfnRange> merge_ranges(std::vector<PfnRange> ranges, const std::vector<PfnRange>& ram) {
  std::sort(ranges.begin(), ranges.end());
  std::vector<PfnRange> out;
  size_t r = 0;
  for (const PfnRange& range : ranges) {
    Pfn begin = out.empty() ? range.begin : std::max(range.begin, out.back().end);
    while (r < ram.size() && ram[r].end <= begin) ++r;
    for (size_t i = r; i < ram.size() && ram[i].begin < range.end; ++i) {
      const PfnRange part{std::max(begin, ram[i].begin), std::min(range.end, ram[i].end)};
      if (part.begin >= part.end) continue;
      if (!out.empty() && out.back().end == part.begin)
        out.back().end = part.end;
      else
        out.push_back(part);
    }
  }
  return out;
}

Pins find_pins(Kernel& kernel, MemMap& map, const PageMarkers& markers) {
  const uint32_t page_size = kernel.memory().page_size();
  const std::vector<PfnRange>& ram = kernel.dump().ram();
  Kind image("kernel_image", page_size), tables("page_tables", page_size), mapped("mapped", page_size);
  Kind memory_map("memory_map", page_size), per_cpu("per_cpu", page_size), stacks("task_stacks", page_size);
  Kind linear_tables("linear_tables", page_size);
  walk_kernel_tables(kernel, image, tables, linear_tables, mapped);
  drop_given_back(kernel, map, markers, image);
  for (const PfnRange& range : map.own_pages()) {
    memory_map.add({range.begin.value * page_size}, range.count() * page_size);
  }
  find_per_cpu(kernel, per_cpu);
  find_stacks(kernel, stacks);
  Pins pins;
  for (Kind* kind : {&image, &tables, &mapped, &memory_map, &per_cpu, &stacks}) kind->finish(pins, ram);
  pins.ranges = merge_ranges(std::move(pins.ranges), ram);
  pins.linear_tables = merge_ranges(linear_tables.ranges(), ram);
  return pins;
}

const std::vector<PfnRange>& Pins::of(std::string_view kind) const {
  static const std::vector<PfnRange> none;
  const auto found = std::ranges::find(kinds, kind, &PinKind::name);
  return found == kinds.end() ? none : found->ranges;
}

}  // namespace kdk
