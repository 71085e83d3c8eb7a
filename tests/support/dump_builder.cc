// The synthetic machine's address space and memory; what is written out of it is in dump_output.cc.
// Layout source: arch/arm64/include/asm/memory.h and pgtable.h of v6.12 (flipped) and v5.3 (not flipped).
#include "tests/support/dump_builder.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <stdexcept>

namespace kdk::test {
namespace {

constexpr uint64_t mib = uint64_t{1} << 20;
constexpr uint64_t gib = uint64_t{1} << 30;
constexpr uint64_t start_kernel_map = 0xffffffff80000000;  // x86-64: where the image is linked

uint64_t negative_power(unsigned n) {
  return ~uint64_t{0} << n;
}
unsigned level_count(unsigned va_bits, unsigned page_shift) {
  const unsigned per_level = page_shift - 3;
  return (va_bits - page_shift + per_level - 1) / per_level;
}

// The smallest size a build can run with (VA_BITS_MIN).
unsigned smallest_va_bits(unsigned build, unsigned page_shift) {
  if (build <= 48) return build;
  return page_shift == 14 ? 47 : 48;
}

}  // namespace

DumpBuilder::DumpBuilder(MachineOptions options) : options_(std::move(options)) {
  page_shift_ = static_cast<unsigned>(std::countr_zero(options_.page_size));
  if (options_.build_va_bits == 0) options_.build_va_bits = options_.va_bits;
  paging_ = make_paging(options_);
  if (options_.x86_64) {
    if (options_.ram.empty()) options_.ram = {{0, 16 * mib}};
    choose_x86_64_layout();
  } else {
    if (options_.ram.empty()) options_.ram = {{gib, (page_shift_ == 16 ? 32 : 16) * mib}};
    choose_arm64_layout();
  }

  const uint64_t image_pa = options_.ram.front().first + 2 * mib;
  image_offset_ = image_va_ - image_pa;
  next_phys_ = image_pa + options_.image_size;
  root_ = {align_up(image_pa + options_.image_size / 4, options_.page_size)};
  next_data_ = image_va_ + (root_.value - image_pa) + options_.page_size;

  map({image_va_}, {image_pa}, options_.image_size);
  for (auto [base, bytes] : options_.ram) map(linear({base}), {base}, bytes, options_.block_mappings);
  build_vmcoreinfo();
}

void DumpBuilder::choose_arm64_layout() {
  const unsigned build = options_.build_va_bits, used = options_.va_bits;
  levels_ = level_count(used, page_shift_);
  root_bits_ = (level_count(build, page_shift_) == levels_ ? build : used) - shift(levels_ - 1);

  const bool fallback = build != used;
  const uint64_t base = align_down(options_.ram.front().first, gib);
  uint64_t modules_size = 128 * mib;
  if (options_.flipped) {
    page_offset_ = negative_power(fallback && !options_.biased_phys_offset ? used : build);
    phys_offset_ = base;
    if (fallback && options_.biased_phys_offset) phys_offset_ -= negative_power(used) - negative_power(build);
    module_area_ = negative_power(smallest_va_bits(build, page_shift_) - 1);
    modules_size = 2 * gib;
    const uint64_t range = module_area_ - negative_power(build);
    vmemmap_start_ = ~gib + 1 - (range >> page_shift_) * 64;
  } else {
    page_offset_ = negative_power(used - 1);
    phys_offset_ = base;
    module_area_ = negative_power(used);
    vmemmap_start_ = page_offset_ - ((0 - page_offset_) >> page_shift_) * 64;
  }
  phys_offset_ = options_.phys_offset.value_or(phys_offset_);
  image_va_ = module_area_ + modules_size + options_.kaslr;
  vmalloc_next_ = module_area_ + modules_size + 2 * gib;
}

// Documentation/arch/x86/x86_64/mm.rst. KASLR would move the three areas; their order stays.
void DumpBuilder::choose_x86_64_layout() {
  constexpr uint64_t tib = uint64_t{1} << 40;
  const X86_64Options& x86 = *options_.x86_64;
  levels_ = x86.levels;
  root_bits_ = 9;
  page_offset_ = x86.page_offset;
  if (page_offset_ == 0) page_offset_ = levels_ == 5 ? 0xff11000000000000 : 0xffff888000000000;
  vmalloc_next_ = page_offset_ + 2 * tib;
  vmemmap_start_ = page_offset_ + 4 * tib;
  image_va_ = start_kernel_map + options_.kaslr;
  module_area_ = start_kernel_map + gib;
}

void DumpBuilder::build_vmcoreinfo() {
  set("OSRELEASE", options_.release);
  set("BUILD-ID", options_.build_id);
  set("PAGESIZE", std::to_string(options_.page_size));
  symbol("_stext", stext());
  set("KERNELOFFSET", fmt::format("{:x}", options_.kaslr));
  if (options_.x86_64) {
    symbol(options_.x86_64->root, {root_.value + image_offset_});
    number("phys_base", static_cast<int64_t>(start_kernel_map - image_offset_));
    number("pgtable_l5_enabled", levels_ == 5 ? 1 : 0);
    number("KERNEL_IMAGE_SIZE", int64_t{1} << 30);
    number("sme_mask", static_cast<int64_t>(options_.x86_64->sme_mask));
  } else {
    symbol("swapper_pg_dir", {root_.value + image_offset_});
    number("VA_BITS", options_.build_va_bits);
    number_hex("kimage_voffset", image_offset_);
    number_hex("PHYS_OFFSET", phys_offset_);
    number_hex("TCR_EL1_T1SZ", 64 - options_.va_bits);
    number_hex("KERNELPACMASK", options_.pac_mask);
  }
  set("CRASHTIME", "1767225600");
}

std::optional<PhysAddr> DumpBuilder::entry_of(VirtAddr va, unsigned height, bool create) {
  PhysAddr table = root_;
  unsigned bits = root_bits_;
  for (unsigned at = levels_ - 1;; --at) {
    const uint64_t index = (va.value >> shift(at)) & ((uint64_t{1} << bits) - 1);
    const PhysAddr entry = table + index * 8;
    if (at == height) return entry;
    uint64_t descriptor = phys_u64(entry);
    const Paging::Kind kind = paging_->kind(descriptor, at);
    if (kind == Paging::Kind::invalid) {
      if (!create) return std::nullopt;
      descriptor = paging_->table(alloc_pages(1).value);
      put_phys_u64(entry, descriptor);
    } else if (kind == Paging::Kind::leaf) {
      if (create) throw std::logic_error("a block is mapped there already");
      return std::nullopt;
    }
    table = {paging_->address(descriptor, at)};
    bits = page_shift_ - 3;
  }
}

void DumpBuilder::map(VirtAddr va, PhysAddr pa, uint64_t size, bool blocks) {
  for (uint64_t done = 0; done < size;) {
    unsigned height = 0;
    for (unsigned h = 1; blocks && h < levels_; ++h) {
      const uint64_t block = uint64_t{1} << shift(h);
      if (!paging_->leaf_allowed(h) || ((va.value + done) | (pa.value + done)) % block != 0 ||
          size - done < block)
        break;
      height = h;
    }
    put_phys_u64(*entry_of(va + done, height, true), paging_->leaf(pa.value + done, height));
    done += uint64_t{1} << shift(height);
  }
}

void DumpBuilder::unmap(VirtAddr va) {
  for (unsigned height = 0; height < levels_; ++height) {
    std::optional<PhysAddr> entry = entry_of(va, height, false);
    if (!entry) continue;
    put_phys_u64(*entry, 0);
    return;
  }
}

PhysAddr DumpBuilder::phys(VirtAddr va) const {
  PhysAddr table = root_;
  unsigned bits = root_bits_;
  for (unsigned height = levels_; height-- > 0; bits = page_shift_ - 3) {
    const uint64_t index = (va.value >> shift(height)) & ((uint64_t{1} << bits) - 1);
    const uint64_t descriptor = phys_u64(table + index * 8);
    const Paging::Kind kind = paging_->kind(descriptor, height);
    if (kind == Paging::Kind::invalid) break;
    table = {paging_->address(descriptor, height)};
    if (kind == Paging::Kind::leaf) return table + (va.value & ((uint64_t{1} << shift(height)) - 1));
  }
  throw std::logic_error(fmt::format("synthetic machine: {:#x} is not mapped", va.value));
}

PhysAddr DumpBuilder::alloc_pages(uint64_t count) {
  auto [base, bytes] = options_.ram.front();
  next_phys_ = align_up(next_phys_, options_.page_size);
  const PhysAddr pa{next_phys_};
  next_phys_ += count * options_.page_size;
  if (next_phys_ > base + bytes) throw std::logic_error("synthetic machine: out of memory");
  return pa;
}

VirtAddr DumpBuilder::alloc(uint64_t size, uint64_t align) {
  heap_next_ = align_up(heap_next_, align);
  if (heap_next_ + size > heap_end_) {
    const uint64_t pages = std::max<uint64_t>((size + align) / options_.page_size + 1, 16);
    heap_next_ = align_up(linear(alloc_pages(pages)).value, align);
    heap_end_ = linear({next_phys_}).value;
  }
  const VirtAddr va{heap_next_};
  heap_next_ += size;
  return va;
}

VirtAddr DumpBuilder::image_alloc(uint64_t size, uint64_t align) {
  const VirtAddr va{align_up(next_data_, align)};
  next_data_ = va.value + size;
  if (next_data_ > image_end().value) throw std::logic_error("synthetic machine: kernel image full");
  return va;
}

VirtAddr DumpBuilder::vmalloc(uint64_t pages) {
  vmalloc_next_ += options_.page_size;  // guard
  const VirtAddr va{vmalloc_next_};
  for (uint64_t i = 0; i < pages; ++i) {
    // Every other page is skipped and wasted, so that no two neighbours are physically contiguous.
    const PhysAddr pa = alloc_pages(2);
    map(va + i * options_.page_size, pa, options_.page_size);
  }
  vmalloc_next_ += pages * options_.page_size;
  return va;
}

void DumpBuilder::put(VirtAddr va, Bytes bytes) {
  for (size_t done = 0; done < bytes.size();) {
    const uint64_t at = va.value + done;
    const size_t n = std::min<size_t>(bytes.size() - done, options_.page_size - at % options_.page_size);
    put_phys(phys({at}), bytes.subspan(done, n));
    done += n;
  }
}

void DumpBuilder::put_list(VirtAddr head, const std::vector<VirtAddr>& nodes) {
  VirtAddr previous = head;
  for (VirtAddr node : nodes) {
    put_u64(previous, node.value);
    put_u64(node + 8, previous.value);
    previous = node;
  }
  put_u64(previous, head.value);
  put_u64(head + 8, previous.value);
}

std::vector<uint8_t>& DumpBuilder::page_bytes(uint64_t pfn) {
  std::vector<uint8_t>& bytes = pages_[pfn];
  if (bytes.empty()) bytes.resize(options_.page_size);
  return bytes;
}

void DumpBuilder::put_phys(PhysAddr pa, Bytes bytes) {
  for (size_t done = 0; done < bytes.size();) {
    const uint64_t at = pa.value + done, within = at % options_.page_size;
    const size_t n = std::min<size_t>(bytes.size() - done, options_.page_size - within);
    std::memcpy(page_bytes(at >> page_shift_).data() + within, bytes.data() + done, n);
    done += n;
  }
}

void DumpBuilder::put_phys_u64(PhysAddr pa, uint64_t v) {
  const ul64 stored = v;
  std::array<uint8_t, 8> bytes;
  std::memcpy(bytes.data(), &stored, sizeof stored);
  put_phys(pa, bytes);
}

uint64_t DumpBuilder::phys_u64(PhysAddr pa) const {
  auto found = pages_.find(pa.value >> page_shift_);
  if (found == pages_.end()) return 0;
  return *load<ul64>(found->second, pa.value % options_.page_size);
}

std::vector<uint8_t> DumpBuilder::page(Pfn pfn) const {
  auto found = pages_.find(pfn.value);
  return found == pages_.end() ? std::vector<uint8_t>(options_.page_size) : found->second;
}

std::vector<PfnRange> DumpBuilder::ram() const {
  std::vector<PfnRange> ranges;
  for (auto [base, bytes] : options_.ram) ranges.push_back({pfn_of({base}), pfn_of({base + bytes})});
  std::sort(ranges.begin(), ranges.end());
  return ranges;
}

}  // namespace kdk::test
