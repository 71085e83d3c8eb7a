#include "loader/purgatory/identity_map.h"

#include <fmt/format.h>

#include <bit>

#include "core/base/bytes.h"

namespace kdk::purgatory {
namespace {

constexpr unsigned address_bits = 48;
constexpr uint64_t valid = 1;
constexpr uint64_t table_or_page = 2;  // a table above the last level, a page in it; a block without
// Attribute 0 of MAIR, inner shareable, accessed, writable at the exception level that uses it.
constexpr uint64_t normal_memory = uint64_t{3} << 8 | uint64_t{1} << 10;

class Builder {
 public:
  Builder(const Range& memory, uint64_t page_size, uint64_t at)
      : memory_(memory), page_size_(page_size), at_(at), page_bits_(std::countr_zero(page_size)) {}

  std::vector<uint8_t> build() {
    // Each level resolves page_bits - 3 bits, the root what is left.
    unsigned shift = page_bits_;
    while (shift + page_bits_ - 3 < address_bits) shift += page_bits_ - 3;
    fill(add_table(), 0, shift);
    return std::move(bytes_);
  }

 private:
  // The offset of a new, empty table.
  uint64_t add_table() {
    uint64_t offset = bytes_.size();
    bytes_.resize(offset + page_size_);
    return offset;
  }

  // Fills the table whose first entry translates `base`; an entry covers 1 << shift bytes.
  void fill(uint64_t table, uint64_t base, unsigned shift) {
    uint64_t entry_size = uint64_t{1} << shift;
    uint64_t first = memory_.start > base ? (memory_.start - base) >> shift : 0;
    for (uint64_t i = first; i < page_size_ / 8; ++i) {
      Range part{base + (i << shift), entry_size};
      if (part.start >= memory_.end()) break;
      if (shift == page_bits_) {
        store(bytes_, table + 8 * i, ul64(part.start | normal_memory | table_or_page | valid));
      } else if (memory_.contains(part) && has_blocks(shift)) {
        store(bytes_, table + 8 * i, ul64(part.start | normal_memory | valid));
      } else {
        uint64_t next = add_table();
        store(bytes_, table + 8 * i, ul64((at_ + next) | table_or_page | valid));
        fill(next, part.start, shift - (page_bits_ - 3));
      }
    }
  }

  // Without LPA2 a 4K granule has blocks of 2 MiB and 1 GiB, 16K of 32 MiB, 64K of 512 MiB.
  bool has_blocks(unsigned shift) const {
    unsigned last_but_one = page_bits_ + page_bits_ - 3;
    return shift == last_but_one || (page_bits_ == 12 && shift == 30);
  }

  Range memory_;
  uint64_t page_size_;
  uint64_t at_;
  unsigned page_bits_;
  std::vector<uint8_t> bytes_;
};

}  // namespace

std::optional<uint64_t> translation_granule(uint64_t page_size) {
  switch (page_size) {
    case 4 << 10:
      return uint64_t{0} << 14;
    case 16 << 10:
      return uint64_t{2} << 14;
    case 64 << 10:
      return uint64_t{1} << 14;
    default:
      return std::nullopt;
  }
}

std::vector<uint8_t> make_identity_map(const Range& memory, uint64_t page_size, uint64_t at) {
  if (!translation_granule(page_size) || memory.start % page_size != 0 || memory.size % page_size != 0 ||
      at % page_size != 0 || memory.size == 0 || memory.end() > identity_map_limit) {
    throw Error(Errc::unsupported,
                fmt::format("{} cannot be mapped with pages of {} bytes", to_string(memory), page_size));
  }
  return Builder(memory, page_size, at).build();
}

}  // namespace kdk::purgatory
