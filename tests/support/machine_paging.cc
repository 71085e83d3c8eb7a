// Sources: Arm ARM, D8 "The AArch64 Virtual Memory System Architecture",
// arch/arm64/include/asm/pgtable-hwdef.h; Intel SDM volume 3, chapter 4,
// arch/x86/include/asm/pgtable_types.h.
#include "tests/support/machine_paging.h"

#include "tests/support/dump_builder.h"

namespace kdk::test {
namespace {

uint64_t field(uint64_t v, unsigned high, unsigned low) {
  return (v >> low) & ((uint64_t{2} << (high - low)) - 1);
}

class Arm64Paging final : public Paging {
 public:
  explicit Arm64Paging(const MachineOptions& options)
      : page_size_(options.page_size),
        lpa_(options.page_size == 65536 && options.lpa),
        lpa2_(options.page_size != 65536 && options.va_bits == 52) {}

  uint64_t table(uint64_t pa) const override { return encode(pa) | 3 | uint64_t{1} << 59; }  // PXNTable
  uint64_t leaf(uint64_t pa, unsigned height) const override {
    // What a v6.12 kernel sets on data: UXN, PXN, dirty, accessed, write-back memory.
    constexpr uint64_t attributes = uint64_t{1} << 54 | uint64_t{1} << 53 | uint64_t{1} << 51 | 1u << 10;
    // Inner shareable: bits [9:8], which LPA2 uses for the address.
    const uint64_t shareable = lpa2_ ? 0 : uint64_t{3} << 8;
    return encode(pa) | (height == 0 ? 3 : 1) | attributes | shareable;
  }
  Kind kind(uint64_t entry, unsigned height) const override {
    if ((entry & 1) == 0) return Kind::invalid;
    return height == 0 || (entry & 2) == 0 ? Kind::leaf : Kind::table;
  }
  uint64_t address(uint64_t entry, unsigned) const override {
    const uint64_t page_mask = page_size_ - 1;
    if (lpa2_) return (entry & ~page_mask & ((uint64_t{1} << 50) - 1)) | field(entry, 9, 8) << 50;
    const uint64_t low = entry & ~page_mask & ((uint64_t{1} << 48) - 1);
    return lpa_ ? low | field(entry, 15, 12) << 48 : low;
  }
  bool leaf_allowed(unsigned height) const override {
    if (page_size_ == 4096) return height <= (lpa2_ ? 3u : 2u);
    if (page_size_ == 16384) return height <= (lpa2_ ? 2u : 1u);
    return height <= (lpa_ ? 2u : 1u);
  }

 private:
  uint64_t encode(uint64_t pa) const {
    const uint64_t page_mask = page_size_ - 1;
    if (lpa2_) return (pa & ~page_mask & ((uint64_t{1} << 50) - 1)) | field(pa, 51, 50) << 8;
    const uint64_t low = pa & ~page_mask & ((uint64_t{1} << 48) - 1);
    return lpa_ ? low | field(pa, 51, 48) << 12 : low;
  }

  uint64_t page_size_;
  bool lpa_, lpa2_;
};

class X86_64Paging final : public Paging {
 public:
  explicit X86_64Paging(const X86_64Options& options) : encrypted_(options.sme_mask) {}

  // Present, writable, accessed, dirty.
  uint64_t table(uint64_t pa) const override { return pa | encrypted_ | 0x63; }
  uint64_t leaf(uint64_t pa, unsigned height) const override {
    // And global, not executable; the four bits at 59 are the protection key. On a large page bit 7 says so,
    // and bit 12 is part of its cache type, not of its address.
    const uint64_t large = height == 0 ? 0 : uint64_t{1} << 7 | uint64_t{1} << 12;
    return pa | encrypted_ | 0x163 | uint64_t{0xf8} << 56 | large;
  }
  Kind kind(uint64_t entry, unsigned height) const override {
    if ((entry & 1) == 0) return Kind::invalid;
    return height == 0 || (entry >> 7 & 1) != 0 ? Kind::leaf : Kind::table;
  }
  uint64_t address(uint64_t entry, unsigned height) const override {
    const unsigned low = height == 0 || kind(entry, height) == Kind::table ? 12 : 12 + 9 * height;
    return field(entry & ~encrypted_, 51, low) << low;
  }
  bool leaf_allowed(unsigned height) const override { return height <= 2; }

 private:
  uint64_t encrypted_;
};

}  // namespace

std::unique_ptr<Paging> make_paging(const MachineOptions& options) {
  if (options.x86_64) return std::make_unique<X86_64Paging>(*options.x86_64);
  return std::make_unique<Arm64Paging>(options);
}

}  // namespace kdk::test
