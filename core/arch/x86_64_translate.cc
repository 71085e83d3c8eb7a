// x86-64 kernel virtual -> physical.
//
// The page tables are the truth, as on arm64: init_top_pgt is found in the image mapping (VA -
// __START_KERNEL_map + phys_base, exact for the whole kernel image wherever KASLR put it) and every address
// is walked from there. PAGE_OFFSET is randomised too and is in no VMCOREINFO: it is read off the tables,
// from the lowest mapping of kernel space, and believed when it leads back to init_top_pgt. Arithmetic is
// used in one case only, when a table page is not in the dump.
//   SYMBOL(init_top_pgt)        the root; init_level4_pgt before v4.13
//   NUMBER(phys_base)           physical address of __START_KERNEL_map, modulo 2^64: can be "negative"
//   NUMBER(pgtable_l5_enabled)  5 levels and 57-bit addresses; absent before v4.17 and 0 mean 4 and 48
//   NUMBER(sme_mask)            the bit of every entry that says "encrypted", not part of the address
// The tables of user processes are not looked at: with page table isolation or without, init_top_pgt has the
// whole kernel half. Sources: arch/x86/kernel/vmcore_info_64.c, arch/x86/mm/{init_64,kaslr}.c,
// arch/x86/include/asm/{page_64_types,pgtable_types,pgtable_64_types}.h; entries: Intel SDM volume 3, 4.5.
#include "core/arch/x86_64_translate.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "core/arch/table_walk.h"

namespace kdk {
namespace {

constexpr unsigned page_shift = 12;
constexpr uint64_t page_size_4k = uint64_t{1} << page_shift;

constexpr uint64_t entry_present = 1;
constexpr uint64_t entry_large = uint64_t{1} << 7;  // PSE, at heights 1 (2 MiB) and 2 (1 GiB)
constexpr unsigned pa_bits = 52;

// Where the image is linked; the same since the port exists. KASLR moves the image inside the 1 GiB
// (KERNEL_IMAGE_SIZE) that follows.
constexpr uint64_t start_kernel_map = 0xffffffff80000000;
constexpr uint64_t largest_image = uint64_t{1} << 30;

// Entry bits: Intel SDM volume 3, tables 5-15 to 5-20; bits 9 to 11, 57 and 58 are the kernel's
// (arch/x86/include/asm/pgtable_types.h); what the last two mean has changed, so they are only numbered.
constexpr EntryFlag bit(unsigned n, std::string_view name) {
  return {uint64_t{1} << n, uint64_t{1} << n, name};
}
constexpr std::array common_flags = {
    bit(0, "present"),       bit(1, "write"),    bit(2, "user"),        bit(3, "write-through"),
    bit(4, "cache-disable"), bit(5, "accessed"), bit(63, "no-execute"),
};
constexpr std::array leaf_flags = {
    bit(6, "dirty"),       bit(8, "global"), bit(9, "special"), bit(10, "uffd-wp"),
    bit(11, "soft-dirty"), bit(57, "sw-57"), bit(58, "sw-58"),
};
constexpr std::array large_flags = {bit(7, "large"), bit(12, "pat")};
constexpr std::array page_flags = {bit(7, "pat")};

class X86_64Translator final : public TableTranslator {
 public:
  X86_64Translator(const Vmcoreinfo& info, uint32_t page_size, PhysReader& memory) : TableTranslator(memory) {
    if (page_size != page_size_4k) {
      throw Error(Errc::unsupported, fmt::format("x86-64 has no {}-byte pages, only 4096", page_size));
    }
    read_sme_mask(info);
    const unsigned levels = info.number("pgtable_l5_enabled").value_or(0) != 0 ? 5 : 4;
    Shape shape{.page_shift = page_shift, .levels = levels, .root_mask = 0};
    shape.root_mask = shape.index_mask();
    layout_.va_bits = shape.shift(levels);
    layout_.pa_bits = pa_bits;
    layout_.page_shift = page_shift;
    layout_.kernel_start = negative_power(layout_.va_bits - 1);
    layout_.image_offset = start_kernel_map - info.require_number("phys_base");
    set_tables(shape, {root_symbol(info) - layout_.image_offset});
    find_image(info);
    find_linear_map();
  }

  Translation translate(VirtAddr va) noexcept override {
    if (va.value < layout_.kernel_start) return {Translation::Status::not_kernel, {}, 0};
    Translation found = walk(va.value);
    if (found.status == Translation::Status::table_unavailable) found = without_tables(va.value);
    return found;
  }

  Translation translate_in(PhysAddr cr3, VirtAddr va) noexcept override {
    const PhysAddr top{cr3.value & address_mask_};
    const Translation found = TableTranslator::translate_in(top, va);
    // With page table isolation user mode runs on the second of two root tables, which lacks the kernel
    // (arch/x86/include/asm/pgtable.h kernel_to_user_pgdp()).
    if (found || (top.value & page_size_4k) == 0) return found;
    return TableTranslator::translate_in(top - page_size_4k, va);
  }

 private:
  Entry decode(uint64_t raw, unsigned height) const noexcept override {
    if ((raw & entry_present) == 0) return {};
    const uint64_t address = raw & address_mask_;
    if (height == 0) return {Entry::Kind::leaf, address};
    if ((raw & entry_large) == 0) return {Entry::Kind::table, address};
    // Reserved above 1 GiB.
    return {height <= 2 ? Entry::Kind::leaf : Entry::Kind::invalid, address};
  }

  std::vector<std::string_view> flags(uint64_t raw, unsigned height) const override {
    std::vector<std::string_view> found = entry_flags(common_flags, raw);
    const auto add = [&](std::span<const EntryFlag> more) {
      for (std::string_view name : entry_flags(more, raw)) found.push_back(name);
    };
    if (decode(raw, height).kind == Entry::Kind::leaf) {
      add(leaf_flags);
      add(height == 0 ? std::span<const EntryFlag>(page_flags) : std::span<const EntryFlag>(large_flags));
    }
    return found;
  }

  PhysAddr plain_root(PhysAddr root) const noexcept override { return {root.value & address_mask_}; }

  void read_sme_mask(const Vmcoreinfo& info) {
    const uint64_t mask = info.number("sme_mask").value_or(0);
    if (mask == 0) return;
    if (!is_power_of_two(mask) || (mask & bit_range(pa_bits - 1, 32)) == 0) {
      throw Error(
          Errc::format,
          fmt::format("VMCOREINFO NUMBER(sme_mask) is {:#x}; it should be one bit of 32 to 51", mask));
    }
    address_mask_ &= ~mask;
  }

  static uint64_t root_symbol(const Vmcoreinfo& info) {
    for (std::string_view name : {"init_top_pgt", "init_level4_pgt", "swapper_pg_dir"}) {
      if (std::optional<uint64_t> address = info.symbol(name)) return *address;
    }
    return info.require_symbol("init_top_pgt");
  }

  // The best that is exactly known when a table page is not in the dump.
  Translation without_tables(uint64_t va) const noexcept {
    const uint64_t rest = page_size_4k - (va & (page_size_4k - 1));
    if (va - image_begin_ < image_size_)
      return {Translation::Status::mapped, {va - layout_.image_offset}, rest};
    // Where the linear map ends is not known here; but it maps RAM, and vmalloc space does not follow at
    // once.
    const uint64_t pa = va - layout_.page_offset;
    uint8_t byte = 0;
    if (layout_.page_offset != 0 && va >= layout_.page_offset && pa >> pa_bits == 0 &&
        memory_.read_phys({pa}, {&byte, 1})) {
      return {Translation::Status::mapped, {pa}, rest};
    }
    return {Translation::Status::table_unavailable, {}, 0};
  }

  // The part of the kernel image that VMCOREINFO proves to be there: from _stext to the highest symbol it
  // names.
  void find_image(const Vmcoreinfo& info) {
    std::optional<uint64_t> stext = info.symbol("_stext");
    if (!stext) return;
    uint64_t last = *stext;
    for (std::string_view name :
         {"init_top_pgt", "init_uts_ns", "node_online_map", "kallsyms_names", "kallsyms_offsets",
          "kallsyms_token_index", "prb", "log_buf_len", "clear_seq", "printk_rb_static"}) {
      uint64_t address = info.symbol(name).value_or(0);
      if (address - *stext < largest_image) last = std::max(last, address);
    }
    image_begin_ = align_down(*stext, page_size_4k);
    image_size_ = align_down(last, page_size_4k) + page_size_4k - image_begin_;
  }

  // The linear map is the lowest thing mapped in kernel space (Documentation/arch/x86/x86_64/mm.rst; KASLR
  // keeps the order), starts at a 1 GiB boundary (arch/x86/mm/kaslr.c) and has physical address 0 there.
  void find_linear_map() {
    constexpr uint64_t unit = uint64_t{1} << 30;
    constexpr unsigned most_entries = 4096;  // the first one is right unless the tables are damaged
    unsigned seen = 0;
    uint64_t last = 0;
    bool found = false;
    walk_tables([&](const TableEntry& entry) {
      if (found || ++seen > most_entries) return false;
      if (entry.table) return true;
      const uint64_t candidate = entry.va.value - entry.pa.value;
      if (candidate == last || candidate % unit != 0 || candidate < layout_.kernel_start) return true;
      last = candidate;
      const Translation alias = walk(candidate + root().value);
      found = alias && alias.pa == root();
      if (found) layout_.page_offset = candidate;
      return true;
    });
  }

  uint64_t address_mask_ = bit_range(pa_bits - 1, page_shift);
  uint64_t image_begin_ = 0, image_size_ = 0;
};

}  // namespace

std::unique_ptr<Translator> make_x86_64_translator(const Vmcoreinfo& info, uint32_t page_size,
                                                   PhysReader& memory) {
  return std::make_unique<X86_64Translator>(info, page_size, memory);
}

}  // namespace kdk
