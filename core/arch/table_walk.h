// The walk of a radix tree of page tables, as every architecture here has one: 8-byte little-endian entries,
// `index_bits` of the address per level, leaves at any height the architecture allows. An architecture's
// translator derives from TableTranslator and says what one entry means.
#pragma once

#include <unordered_set>

#include "core/arch/arch.h"

namespace kdk {

// The bits [high, low] set.
constexpr uint64_t bit_range(unsigned high, unsigned low) {
  return (~uint64_t{0} >> (63 - high)) & (~uint64_t{0} << low);
}
// -(2^n), the first address of a half-space of n bits.
constexpr uint64_t negative_power(unsigned n) {
  return ~uint64_t{0} << n;
}

// One word for one bit, or some, of a table entry.
struct EntryFlag {
  uint64_t mask = 0;
  uint64_t value = 0;  // of the masked bits
  std::string_view name;
};
// The names of those that hold.
std::vector<std::string_view> entry_flags(std::span<const EntryFlag> all, uint64_t raw);

class TableTranslator : public Translator {
 public:
  const VaLayout& layout() const override { return layout_; }
  Translation translate_in(PhysAddr root, VirtAddr va) noexcept override;
  bool walk_tables(const std::function<bool(const TableEntry&)>& visit) override;
  std::vector<Step> steps(std::optional<PhysAddr> root, VirtAddr va) override;

 protected:
  struct Shape {
    unsigned page_shift = 0;
    unsigned levels = 0;
    uint64_t root_mask = 0;  // of an index into the root table, which may be larger or smaller than a page

    unsigned index_bits() const { return page_shift - 3; }
    // `height` counts from the last level (pages), which is 0.
    unsigned shift(unsigned height) const { return page_shift + height * index_bits(); }
    uint64_t index_mask() const { return (uint64_t{1} << index_bits()) - 1; }
  };
  // One entry as the architecture reads it. A leaf's address need not be aligned to its size: low bits that
  // mean something else are cleared by the walk.
  struct Entry {
    enum class Kind : uint8_t { invalid, table, leaf };
    Kind kind = Kind::invalid;
    uint64_t address = 0;
  };

  explicit TableTranslator(PhysReader& memory) : memory_(memory) {}

  virtual Entry decode(uint64_t raw, unsigned height) const noexcept = 0;
  // Words for the bits of an entry that is not invalid.
  virtual std::vector<std::string_view> flags(uint64_t raw, unsigned height) const = 0;
  // An address without what it carries beside the address, and a root likewise.
  virtual uint64_t plain(uint64_t va) const noexcept { return va; }
  virtual PhysAddr plain_root(PhysAddr root) const noexcept { return root; }

  // The deriving constructor calls this before anything walks.
  void set_tables(Shape shape, PhysAddr root) {
    shape_ = shape;
    root_ = root;
  }
  const Shape& shape() const { return shape_; }
  PhysAddr root() const { return root_; }

  // What the tables say of an address in kernel space.
  Translation walk(uint64_t va) noexcept;

  PhysReader& memory_;
  VaLayout layout_;

 private:
  // A last-level table found by an earlier walk: `tag` is the address bits above what the table spans.
  struct CachedTable {
    uint64_t tag = no_tag;
    PhysAddr table;
  };
  static constexpr uint64_t no_tag = ~uint64_t{0};
  static constexpr size_t cached_tables = 64;

  // Down from `table`, whose index is what `mask` leaves; remembers the last-level table in `cached` if
  // given.
  Translation descend(uint64_t va, PhysAddr table, unsigned height, uint64_t mask,
                      CachedTable* cached) noexcept;
  bool walk_table(PhysAddr table, uint64_t base, unsigned height,
                  const std::function<bool(const TableEntry&)>& visit, std::unordered_set<uint64_t>& seen);

  Shape shape_;
  PhysAddr root_;
  std::array<CachedTable, cached_tables> cache_;
};

}  // namespace kdk
