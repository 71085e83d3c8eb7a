// arm64 kernel virtual -> physical.
//
// The page tables are the truth: swapper_pg_dir is found with the image offset (VA - kimage_voffset, exact
// for the whole kernel image) and every address is walked from there. The linear map's arithmetic is used in
// one case only, when a table page is not in the dump. So nothing rests on which of the kernel's several
// layouts this one has; only the geometry of the root must be known, and it comes from VMCOREINFO:
//   NUMBER(VA_BITS)        the build's maximum; it decides where the linear map starts
//   NUMBER(TCR_EL1_T1SZ)   64 - the size in use: a VA_BITS=52 kernel runs with 48 (16K pages: 47) on older
//   CPUs
// 4K and 16K builds with VA_BITS=52 (LPA2) have one level less when they fall back, with the root table
// walked as the next level's table. 64K builds keep the 1024-entry root and point TTBR1 at its last part, so
// the index there is masked with the build's size. Sources:
// arch/arm64/include/asm/{memory,pgtable,pgtable-hwdef}.h, arch/arm64/kernel/pi/map_kernel.c
// (early_map_kernel), arch/arm64/include/asm/assembler.h (offset_ttbr1), arch/arm64/kernel/vmcore_info.c;
// descriptors: Arm ARM, D8 "The AArch64 Virtual Memory System Architecture".
#include "core/arch/arm64_translate.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "core/arch/table_walk.h"

namespace kdk {
namespace {

constexpr uint64_t top_byte = uint64_t{0xff} << 56;
constexpr uint64_t kernel_half = uint64_t{1} << 55;
// CONFIG_ILLEGAL_POINTER_VALUE: list poison. Clearing its "PAC" would turn it into a linear-map address.
constexpr uint64_t poison_top = 0xdead;

// How a table descriptor stores the output address.
enum class OutputAddress : uint8_t {
  pa48,  // [47:page_shift]
  lpa,   // 64K pages: [47:16], and [15:12] are PA[51:48] (zero without FEAT_LPA)
  lpa2,  // 4K and 16K pages with TCR_EL1.DS: [49:page_shift], and [9:8] are PA[51:50]
};

struct Geometry {
  unsigned page_shift = 0;
  unsigned va_bits = 0;        // in use
  unsigned build_va_bits = 0;  // CONFIG_ARM64_VA_BITS
  unsigned levels = 0;
  uint64_t root_mask = 0;
  OutputAddress output = OutputAddress::pa48;

  unsigned index_bits() const { return page_shift - 3; }
  // `height` 0 is the last level (pages).
  unsigned shift(unsigned height) const { return page_shift + height * index_bits(); }
  // Blocks: 4K pages at level 2 and 1 (LPA2: 0), 16K at 2 (LPA2: 1), 64K at 2 (LPA: 1).
  bool block_allowed(unsigned height) const {
    switch (output) {
      case OutputAddress::pa48:
        return height == 1 || (height == 2 && page_shift == 12);
      case OutputAddress::lpa:
        return height <= 2;
      case OutputAddress::lpa2:
        return height <= (page_shift == 12 ? 3u : 2u);
    }
    return false;
  }
  uint64_t address(uint64_t descriptor) const {
    switch (output) {
      case OutputAddress::pa48:
        return descriptor & bit_range(47, page_shift);
      case OutputAddress::lpa:
        return (descriptor & bit_range(47, page_shift)) | (descriptor & bit_range(15, 12)) << 36;
      case OutputAddress::lpa2:
        return (descriptor & bit_range(49, page_shift)) | (descriptor & bit_range(9, 8)) << 42;
    }
    return 0;
  }
};

// Descriptor bits: Arm ARM D8.3, and those that the kernel keeps for itself, arch/arm64/include/asm/
// pgtable-prot.h. Bits [9:8] are part of the address with LPA2, so shareability is not shown. PTE_WRITE is
// the DBM bit; read-only and DBM together are what a clean writable page has.
constexpr EntryFlag bit(unsigned n, std::string_view name) {
  return {uint64_t{1} << n, uint64_t{1} << n, name};
}
constexpr std::array leaf_flags = {
    bit(6, "user"),     bit(7, "read-only"), bit(10, "accessed"), bit(11, "not-global"),
    bit(50, "guarded"), bit(51, "write"),    bit(52, "contig"),   bit(53, "pxn"),
    bit(54, "uxn"),     bit(55, "dirty"),    bit(56, "special"),
};
constexpr std::array table_flags = {
    bit(59, "pxn-table"),       bit(60, "uxn-table"),        bit(61, "no-user-table"),
    bit(62, "read-only-table"), bit(63, "non-secure-table"),
};
// MAIR_EL1 index, which the kernel chooses (asm/memory.h: MT_NORMAL and others): the number is what is known.
constexpr EntryFlag attribute(uint64_t n, std::string_view name) {
  return {uint64_t{7} << 2, n << 2, name};
}
constexpr std::array attributes = {
    attribute(0, "attr-0"), attribute(1, "attr-1"), attribute(2, "attr-2"), attribute(3, "attr-3"),
    attribute(4, "attr-4"), attribute(5, "attr-5"), attribute(6, "attr-6"), attribute(7, "attr-7"),
};

unsigned level_count(unsigned va_bits, unsigned page_shift) {
  return (va_bits - 4) / (page_shift - 3);
}

unsigned require_va_bits(uint64_t value, std::string_view key) {
  if (value < 36 || value > 52) {
    throw Error(Errc::format,
                fmt::format("VMCOREINFO {} gives {} virtual address bits; arm64 has 36 to 52", key, value));
  }
  return static_cast<unsigned>(value);
}

Geometry read_geometry(const Vmcoreinfo& info, uint32_t page_size) {
  if (page_size != 4096 && page_size != 16384 && page_size != 65536) {
    throw Error(Errc::unsupported,
                fmt::format("arm64 has no {}-byte pages (4096, 16384 or 65536)", page_size));
  }
  Geometry g;
  g.page_shift = static_cast<unsigned>(std::countr_zero(page_size));
  std::optional<uint64_t> build = info.number("VA_BITS");
  // Linux commit bbdbc11804ff ("arm64/crash_core: Export TCR_EL1.T1SZ in vmcoreinfo") (in v5.9); the
  // lower-case name is that of distribution kernels that took an earlier posting of it.
  std::optional<uint64_t> t1sz = info.number("TCR_EL1_T1SZ");
  if (!t1sz) t1sz = info.number("tcr_el1_t1sz");
  if (!build && !t1sz) throw Error(Errc::missing, "VMCOREINFO has no NUMBER(VA_BITS)");
  if (t1sz) g.va_bits = require_va_bits(64 - *t1sz, "NUMBER(TCR_EL1_T1SZ)");
  g.build_va_bits = build ? require_va_bits(*build, "NUMBER(VA_BITS)") : g.va_bits;
  if (!t1sz) {
    g.va_bits = g.build_va_bits;
    // v5.4 to v5.8 can run 52-bit builds (64K pages) on 48-bit CPUs without saying so; an early allocation in
    // the linear map tells: it starts in the upper half of the 52-bit range then. The walk is the same for
    // both.
    if (g.build_va_bits == 52 && (info.symbol("mem_section").value_or(0) & (uint64_t{1} << 51)) != 0)
      g.va_bits = 48;
  }
  if (g.va_bits > g.build_va_bits) {
    throw Error(Errc::format,
                fmt::format("VMCOREINFO says {} virtual address bits in use on a kernel built for {}",
                            g.va_bits, g.build_va_bits));
  }
  g.levels = level_count(g.va_bits, g.page_shift);
  // Same number of levels: the root table is the build's and TTBR1 points into it. Fewer: it is a table of
  // its own.
  unsigned root_bits = level_count(g.build_va_bits, g.page_shift) == g.levels ? g.build_va_bits : g.va_bits;
  g.root_mask = (uint64_t{1} << (root_bits - g.shift(g.levels - 1))) - 1;
  // TCR_EL1.DS is set exactly when a 4K or 16K kernel runs with 52 bits (arch/arm64/mm/proc.S, __cpu_setup).
  if (g.page_shift == 16) {
    g.output = OutputAddress::lpa;
  } else if (g.va_bits > 48) {
    g.output = OutputAddress::lpa2;
  }
  return g;
}

class Arm64Translator final : public TableTranslator {
 public:
  Arm64Translator(const Vmcoreinfo& info, uint32_t page_size, PhysReader& memory)
      : TableTranslator(memory), geometry_(read_geometry(info, page_size)) {
    layout_.va_bits = geometry_.va_bits;
    layout_.page_shift = geometry_.page_shift;
    layout_.pa_bits = geometry_.output == OutputAddress::pa48 ? 48 : 52;
    layout_.kernel_start = negative_power(geometry_.va_bits);
    layout_.image_offset = info.require_number("kimage_voffset");
    layout_.signature_mask = info.number("KERNELPACMASK").value_or(0);
    set_tables({geometry_.page_shift, geometry_.levels, geometry_.root_mask},
               {info.require_symbol("swapper_pg_dir") - layout_.image_offset});
    find_image(info);
    find_linear_map(info);
  }

  Translation translate(VirtAddr tagged) noexcept override {
    if (tagged.value >> 48 == poison_top) return {Translation::Status::not_kernel, {}, 0};
    uint64_t va = arm64_strip(tagged.value, layout_.signature_mask);
    if (va < layout_.kernel_start) return {Translation::Status::not_kernel, {}, 0};
    Translation found = walk(va);
    if (found.status == Translation::Status::table_unavailable) found = without_tables(va);
    return found;
  }

 private:
  Entry decode(uint64_t raw, unsigned height) const noexcept override {
    const bool valid = (raw & 1) != 0, table_bit = (raw & 2) != 0;
    if (!valid) return {};
    const uint64_t address = geometry_.address(raw);
    // At the last level bit 1 says "page", and its absence is reserved.
    if (height == 0) return {table_bit ? Entry::Kind::leaf : Entry::Kind::invalid, address};
    if (table_bit) return {Entry::Kind::table, address};
    return {geometry_.block_allowed(height) ? Entry::Kind::leaf : Entry::Kind::invalid, address};
  }

  std::vector<std::string_view> flags(uint64_t raw, unsigned height) const override {
    if (decode(raw, height).kind == Entry::Kind::table) return entry_flags(table_flags, raw);
    std::vector<std::string_view> found = entry_flags(leaf_flags, raw);
    for (std::string_view name : entry_flags(attributes, raw)) found.push_back(name);
    return found;
  }

  uint64_t plain(uint64_t va) const noexcept override { return arm64_strip(va, layout_.signature_mask); }

  // The best that is exactly known when a table page is not in the dump.
  Translation without_tables(uint64_t va) const noexcept {
    const uint64_t page = uint64_t{1} << geometry_.page_shift;
    const uint64_t rest = page - (va & (page - 1));
    if (va - image_begin_ < image_size_)
      return {Translation::Status::mapped, {va - layout_.image_offset}, rest};
    if (va - layout_.page_offset < linear_size_) {
      uint64_t pa = va - layout_.page_offset + layout_.phys_offset;
      if (pa >> layout_.pa_bits == 0) return {Translation::Status::mapped, {pa}, rest};
    }
    return {Translation::Status::table_unavailable, {}, 0};
  }

  // The part of the kernel image that VMCOREINFO proves to be there: from _stext to the highest symbol it
  // names.
  void find_image(const Vmcoreinfo& info) {
    std::optional<uint64_t> stext = info.symbol("_stext");
    if (!stext) return;
    constexpr uint64_t largest_image = uint64_t{512} << 20;
    uint64_t last = *stext;
    for (std::string_view name :
         {"swapper_pg_dir", "init_uts_ns", "node_online_map", "kallsyms_names", "kallsyms_offsets",
          "kallsyms_token_index", "prb", "log_buf_len", "clear_seq", "printk_rb_static"}) {
      uint64_t address = info.symbol(name).value_or(0);
      if (address - *stext < largest_image) last = std::max(last, address);
    }
    const uint64_t page = uint64_t{1} << geometry_.page_shift;
    image_begin_ = align_down(*stext, page);
    image_size_ = align_down(last, page) + page - image_begin_;
  }

  // Where the linear map starts. Until v5.3 it was the upper half of the kernel's range; commit 14c127c957c1
  // ("arm64: mm: Flip kernel VA space") (in v5.4) moved it to the lower half. When a 52-bit build runs with
  // fewer bits, PHYS_OFFSET counted from the smaller range's start until v5.10, and counts from the build's
  // since. So each is tried on the one linear address that is always mapped, the alias of swapper_pg_dir.
  void find_linear_map(const Vmcoreinfo& info) {
    std::optional<uint64_t> phys_offset = info.number("PHYS_OFFSET");
    if (!phys_offset) return;
    layout_.phys_offset = *phys_offset;
    const uint64_t build = negative_power(geometry_.build_va_bits), used = negative_power(geometry_.va_bits);
    const uint64_t upper_half = negative_power(geometry_.build_va_bits - 1);
    const bool flipped = is_flipped(info);
    std::optional<uint64_t> chosen;
    for (uint64_t candidate : {flipped ? build : upper_half, build, used, upper_half}) {
      const uint64_t alias = root().value - layout_.phys_offset + candidate;
      if (alias < layout_.kernel_start) continue;
      if (!chosen) chosen = candidate;  // the likely one, should no table be readable
      const Translation t = walk(alias);
      if (t && t.pa == root()) {
        chosen = candidate;
        break;
      }
    }
    if (!chosen) return;
    layout_.page_offset = *chosen;
    // Up to PAGE_END, the middle of the smallest range this build can run with (VA_BITS_MIN).
    unsigned smallest = geometry_.build_va_bits;
    if (smallest > 48) smallest = geometry_.page_shift == 14 ? 47 : 48;
    linear_size_ = (*chosen == upper_half ? 0 : negative_power(smallest - 1)) - *chosen;
  }

  // The image lies above the middle of the range in the flipped layout, below it (in vmalloc space) before.
  bool is_flipped(const Vmcoreinfo& info) const {
    unsigned smallest = std::min(geometry_.build_va_bits, 48u);
    return info.symbol("_stext").value_or(~uint64_t{0}) > negative_power(smallest - 1);
  }

  Geometry geometry_;
  uint64_t image_begin_ = 0, image_size_ = 0;
  uint64_t linear_size_ = 0;
};

}  // namespace

uint64_t arm64_strip(uint64_t address, uint64_t pac_mask) {
  if ((address & kernel_half) != 0) return address | top_byte | pac_mask;
  return address & ~(top_byte | kernel_half | pac_mask);
}

std::unique_ptr<Translator> make_arm64_translator(const Vmcoreinfo& info, uint32_t page_size,
                                                  PhysReader& memory) {
  return std::make_unique<Arm64Translator>(info, page_size, memory);
}

}  // namespace kdk
