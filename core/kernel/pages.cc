// Where struct pages are. Sections say which page frames have them; the address comes from SYMBOL(vmemmap)
// when the kernel exports it, else from the section's own encoded pointer. What the markers mean is in
// page_markers.cc.
//
// Struct pages are copied in runs of a size that stays in the processor's cache, page by page out of the dump
// and under the bus-error guard: neither the page cache of KernelMemory nor a translation per struct page is
// in the way. Source: include/linux/mmzone.h, mm/sparse.c.
#include "core/kernel/pages.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "core/base/bus_error.h"
#include "core/base/copy_pages.h"

namespace kdk {
namespace {

// Stays in every processor's second-level cache, with what is prefetched for the next run.
constexpr uint64_t run_bytes = uint64_t{64} << 10;
// Sections with mem_maps of their own that we are willing to remember (classic SPARSEMEM: 128 TiB of RAM).
constexpr size_t most_extents = size_t{1} << 20;

constexpr uint64_t section_present = 1;      // SECTION_MARKED_PRESENT
constexpr uint64_t section_has_mem_map = 2;  // SECTION_HAS_MEM_MAP

// Page frames whose struct pages are one array; `base` is the (imaginary) address of the struct page of PFN
// 0.
struct Extent {
  PfnRange pfns;
  uint64_t base = 0;
};

struct AddressRange {
  VirtAddr begin;
  uint64_t size = 0;
};

// Adds to the last range when it goes on there.
void append_range(std::vector<PfnRange>& ranges, PfnRange range) {
  if (!ranges.empty() && ranges.back().end == range.begin) {
    ranges.back().end = range.end;
  } else {
    ranges.push_back(range);
  }
}

std::vector<PfnRange> merged(std::vector<PfnRange> ranges) {
  std::sort(ranges.begin(), ranges.end());
  std::vector<PfnRange> out;
  for (const PfnRange& range : ranges) {
    if (!out.empty() && range.begin <= out.back().end) {
      out.back().end = std::max(out.back().end, range.end);
    } else {
      out.push_back(range);
    }
  }
  return out;
}

// What one reading of SYMBOL(mem_section) finds.
struct Sections {
  std::vector<Extent> extents;
  uint64_t readable_pfns = 0;  // of RAM, whose struct pages translate: tells a right reading from a wrong one
  std::vector<AddressRange> tables;
};

class SparseReader {
 public:
  SparseReader(KernelMemory& memory, const PageMarkers& markers) : memory_(memory), markers_(markers) {
    const Vmcoreinfo& info = memory.vmcoreinfo();
    page_shift_ = static_cast<unsigned>(std::countr_zero(memory.page_size()));
    const uint64_t section_bits = info.require_number("SECTION_SIZE_BITS");
    const uint64_t physmem_bits = info.require_number("MAX_PHYSMEM_BITS");
    entry_size_ = info.size("mem_section").value_or(0);
    map_offset_ = info.offset("mem_section.section_mem_map").value_or(0);
    if (section_bits <= page_shift_ || section_bits > physmem_bits || physmem_bits > 52 || entry_size_ < 8 ||
        entry_size_ > memory.page_size() || !in_bounds(entry_size_, map_offset_, 8)) {
      throw Error(
          Errc::format,
          fmt::format(
              "VMCOREINFO describes impossible memory sections: SECTION_SIZE_BITS {}, MAX_PHYSMEM_BITS "
              "{}, SIZE(mem_section) {}, section_mem_map at {}",
              section_bits, physmem_bits, entry_size_, map_offset_));
    }
    section_shift_ = static_cast<unsigned>(section_bits) - page_shift_;
    section_count_ = uint64_t{1} << (physmem_bits - section_bits);
    per_root_ = memory.page_size() / entry_size_;
    vmemmap_ = info.symbol("vmemmap");
    // SECTION_MAP_MASK: 3 to 6 flag bits, more on some day. mem_maps are page-aligned and section numbers
    // times a power of two, so everything below both is free for flags (BUILD_BUG_ON in
    // sparse_init_one_section).
    flag_bits_ = std::max(std::min(section_shift_, page_shift_), 6u);
    const uint64_t roots = (section_count_ + per_root_ - 1) / per_root_;
    extreme_ = info.length("mem_section").value_or(roots) != section_count_ || section_count_ == roots;
  }

  bool extreme() const { return extreme_; }

  // `array`: the roots (EXTREME) or the sections themselves.
  Sections read(VirtAddr array) {
    Sections found;
    for (const PfnRange& range : memory_.dump().ram()) {
      const uint64_t first = range.begin.value >> section_shift_;
      const uint64_t last = std::min(section_count_, ((range.end.value - 1) >> section_shift_) + 1);
      for (uint64_t nr = first; nr < last;) {
        const std::optional<VirtAddr> entry = entry_address(array, nr, found);
        if (!entry) {
          nr = (nr / per_root_ + 1) * per_root_;
          continue;
        }
        add_section(nr, memory_.u64(*entry + map_offset_).value_or(0), range, found);
        ++nr;
      }
    }
    return found;
  }

 private:
  std::optional<VirtAddr> entry_address(VirtAddr array, uint64_t nr, Sections& found) {
    if (!extreme_) {
      const VirtAddr entry = array + nr * entry_size_;
      note_table({entry, entry_size_}, found);
      return entry;
    }
    const VirtAddr slot = array + nr / per_root_ * 8;
    const std::optional<VirtAddr> root = memory_.pointer(slot);
    if (!root || root->value == 0) return std::nullopt;
    note_table({slot, 8}, found);
    note_table({*root, memory_.page_size()}, found);
    return *root + nr % per_root_ * entry_size_;
  }

  // Tables are met in order and many times.
  static void note_table(AddressRange range, Sections& found) {
    const size_t look_back = std::min<size_t>(found.tables.size(), 2);
    for (size_t i = found.tables.size() - look_back; i < found.tables.size(); ++i) {
      AddressRange& known = found.tables[i];
      const uint64_t at = range.begin.value - known.begin.value;
      if (at > known.size) continue;
      known.size = std::max(known.size, at + range.size);
      return;
    }
    if (found.tables.size() < most_extents) found.tables.push_back(range);
  }

  void add_section(uint64_t nr, uint64_t encoded, const PfnRange& ram, Sections& found) {
    if ((encoded & section_present) == 0 || (encoded & section_has_mem_map) == 0) return;
    const uint64_t base = vmemmap_.value_or(encoded & (~uint64_t{0} << flag_bits_));
    const PfnRange pfns{std::max(ram.begin, Pfn{nr << section_shift_}),
                        std::min(ram.end, Pfn{(nr + 1) << section_shift_})};
    // The section's own pointer must agree with vmemmap: that is what unmasks a wrong reading of
    // SYMBOL(mem_section).
    const bool agrees = (encoded & (~uint64_t{0} << flag_bits_)) == base;
    if (agrees && memory_.translate({base + pfns.begin.value * markers_.struct_size})) {
      found.readable_pfns += pfns.count();
    }
    if (!found.extents.empty() && found.extents.back().base == base &&
        found.extents.back().pfns.end == pfns.begin) {
      found.extents.back().pfns.end = pfns.end;
      return;
    }
    if (found.extents.size() >= most_extents)
      throw Error(Errc::format, "mem_section: too many separate mem_maps");
    found.extents.push_back({pfns, base});
  }

  KernelMemory& memory_;
  const PageMarkers& markers_;
  unsigned page_shift_ = 0, section_shift_ = 0, flag_bits_ = 0;
  uint64_t section_count_ = 0, per_root_ = 0, entry_size_ = 0, map_offset_ = 0;
  std::optional<uint64_t> vmemmap_;
  bool extreme_ = true;
};

}  // namespace

struct MemMap::Impl {
  Impl(KernelMemory& memory_in, const PageMarkers& markers)
      : memory(memory_in), reader(memory_in.dump().reader()), struct_size(markers.struct_size) {
    page_size = memory.page_size();
    if (memory.vmcoreinfo().symbol("mem_section")) {
      find_sparse(markers);
    } else {
      find_flat();
    }
    for (const Extent& extent : extents) append_range(present, extent.pfns);
    buffer.resize(std::max(run_bytes, struct_size));
  }

  // The symbol is the address of the root array; some kernels exported the address of the pointer to it
  // instead. Linux commit a0b1280368d1 ("kdump: write correct address of mem_section into vmcoreinfo") (in
  // v4.15).
  void find_sparse(const PageMarkers& markers) {
    SparseReader sparse(memory, markers);
    const VirtAddr symbol{memory.vmcoreinfo().require_symbol("mem_section")};
    Sections found = sparse.read(symbol);
    if (sparse.extreme() && found.readable_pfns == 0) {
      if (std::optional<VirtAddr> array = memory.pointer(symbol)) {
        Sections other = sparse.read(*array);
        if (other.readable_pfns > 0) found = std::move(other);
      }
    }
    if (found.readable_pfns == 0) {
      throw Error(Errc::fault,
                  fmt::format("mem_section at {:#018x} leads to no readable struct page", symbol.value),
                  symbol.value);
    }
    model = sparse.extreme() ? "sparsemem-extreme" : "sparsemem";
    extents = std::move(found.extents);
    tables = std::move(found.tables);
  }

  // One array for all of RAM. Source: include/asm-generic/memory_model.h; struct pglist_data.
  void find_flat() {
    const Vmcoreinfo& info = memory.vmcoreinfo();
    const std::optional<uint64_t> node = info.symbol("contig_page_data");
    const std::optional<uint64_t> map_offset = info.offset("pglist_data.node_mem_map");
    const std::optional<uint64_t> start_offset = info.offset("pglist_data.node_start_pfn");
    const std::optional<uint64_t> span_offset = info.offset("pglist_data.node_spanned_pages");
    if (!node || !map_offset || !start_offset || !span_offset) {
      throw Error(
          Errc::missing,
          "VMCOREINFO has neither SYMBOL(mem_section) nor what a flat memory model needs "
          "(SYMBOL(contig_page_data), OFFSET(pglist_data.node_mem_map), node_start_pfn, node_spanned_pages)");
    }
    const auto member = [&](uint64_t offset, const char* what) {
      ul64 value;
      memory.require({*node + offset}, {reinterpret_cast<uint8_t*>(&value), sizeof value}, what);
      return uint64_t{value};
    };
    const uint64_t map = member(*map_offset, "contig_page_data.node_mem_map");
    const Pfn first{member(*start_offset, "contig_page_data.node_start_pfn")};
    const uint64_t span = member(*span_offset, "contig_page_data.node_spanned_pages");
    const Pfn end{checked_add(first.value, span).value_or(0)};
    if (span == 0 || end <= first || !memory.translate({map})) {
      throw Error(Errc::format,
                  fmt::format("contig_page_data: no mem_map (at {:#x}, from PFN {:#x}, {} pages)", map,
                              first.value, span));
    }
    for (const PfnRange& range : memory.dump().ram()) {
      const PfnRange pfns{std::max(range.begin, first), std::min(range.end, end)};
      if (pfns.begin < pfns.end) extents.push_back({pfns, map - first.value * struct_size});
    }
    model = "flatmem";
    tables.push_back({{*node}, info.size("pglist_data").value_or(page_size)});
  }

  // The extent that holds `pfn`, or the next one, or the end.
  std::vector<Extent>::const_iterator find(Pfn pfn) const {
    return std::partition_point(extents.begin(), extents.end(),
                                [&](const Extent& e) { return e.pfns.end <= pfn; });
  }

  // Copies up to out.size() bytes at `va`; returns how many could be read.
  uint64_t copy(VirtAddr va, MutableBytes out) {
    uint64_t done = 0;
    while (done < out.size()) {
      const Translation t = memory.translate(va + done);
      if (!t) break;
      const uint64_t block_end = done + std::min<uint64_t>(t.contiguous, out.size() - done);
      for (PhysAddr pa = t.pa; done < block_end;) {
        const PageView view = reader->page({pa.value / page_size});
        if (view.state != PageState::present) return done;
        const uint64_t within = pa.value % page_size;
        const uint64_t n = std::min<uint64_t>(page_size - within, block_end - done);
        uint8_t* const to = out.data() + done;
        const uint8_t* const from = view.bytes.data() + within;
        if (!touch_guarded([=] { copy_pages(to, from, n); })) return done;
        behind = from + n;
        done += n;
        pa = pa + n;
      }
    }
    return done;
  }

  // Adds the page frames behind a virtual range, as far as it is mapped.
  void add_backing(AddressRange range, std::vector<PfnRange>& out) {
    for (uint64_t done = 0; done < range.size;) {
      const VirtAddr at = range.begin + done;
      const Translation t = memory.translate(at);
      const uint64_t to_page_end = page_size - at.value % page_size;
      const uint64_t n = std::min(range.size - done, t ? t.contiguous : to_page_end);
      if (t) out.push_back({{t.pa.value / page_size}, {(t.pa.value + n - 1) / page_size + 1}});
      done += n;
    }
  }

  KernelMemory& memory;
  std::unique_ptr<PageReader> reader;
  uint64_t struct_size = 0;
  uint64_t page_size = 0;
  std::string model;
  std::vector<Extent> extents;  // sorted, disjoint
  std::vector<PfnRange> present;
  std::vector<AddressRange> tables;
  std::vector<uint8_t> buffer;
  const uint8_t* behind = nullptr;  // what copy() read last
};

MemMap::MemMap(KernelMemory& memory, const PageMarkers& markers)
    : impl_(std::make_unique<Impl>(memory, markers)) {}
MemMap::~MemMap() = default;

const std::string& MemMap::model() const {
  return impl_->model;
}
const std::vector<PfnRange>& MemMap::present() const {
  return impl_->present;
}

std::optional<VirtAddr> MemMap::page_address(Pfn pfn) const {
  const auto extent = impl_->find(pfn);
  if (extent == impl_->extents.end() || pfn < extent->pfns.begin) return std::nullopt;
  return VirtAddr{extent->base + pfn.value * impl_->struct_size};
}

std::vector<PfnRange> MemMap::table_pages() const {
  std::vector<PfnRange> found;
  for (const AddressRange& table : impl_->tables) impl_->add_backing(table, found);
  return merged(std::move(found));
}

std::vector<PfnRange> MemMap::own_pages() const {
  std::vector<PfnRange> found = table_pages();
  for (const Extent& extent : impl_->extents) {
    impl_->add_backing({{extent.base + extent.pfns.begin.value * impl_->struct_size},
                        extent.pfns.count() * impl_->struct_size},
                       found);
  }
  return merged(std::move(found));
}

MemMap::Run MemMap::next_run(Pfn pfn, Pfn end) {
  const uint64_t size = impl_->struct_size;
  const auto extent = impl_->find(pfn);
  const bool inside = extent != impl_->extents.end() && extent->pfns.begin <= pfn;
  if (!inside) {
    const Pfn next = extent == impl_->extents.end() ? end : std::min(end, extent->pfns.begin);
    return {pfn, next.value - pfn.value, {}};
  }
  const uint64_t wanted =
      std::min(std::min(end, extent->pfns.end).value - pfn.value, impl_->buffer.size() / size);
  const VirtAddr address{extent->base + pfn.value * size};
  const uint64_t read = impl_->copy(address, MutableBytes(impl_->buffer).first(wanted * size));
  if (const uint64_t count = read / size; count > 0)
    return {pfn, count, Bytes(impl_->buffer).first(count * size), impl_->behind};
  // Nothing of this page of struct pages; they all share its fate.
  const uint64_t lost = (impl_->page_size - address.value % impl_->page_size) / size;
  return {pfn, std::clamp<uint64_t>(lost, 1, wanted), {}};
}

}  // namespace kdk
