#include "core/kernel/page_classes.h"

#include <fmt/format.h>

#include "core/base/error.h"

namespace kdk {
namespace {

constexpr std::array<std::string_view, page_class_count> class_names = {
    "kernel",    "free",    "cpu_free", "unaccepted", "cache",   "cache_private",
    "anonymous", "hugetlb", "poisoned", "offline",    "unknown",
};

uint64_t bit_mask(const std::optional<unsigned>& bit) {
  return bit && *bit < 64 ? uint64_t{1} << *bit : 0;
}

}  // namespace

std::string_view to_string(PageClass page_class) {
  return class_names[static_cast<size_t>(page_class)];
}

PageClassifier::PageClassifier(const PageMarkers& markers) : m_(markers), size_(markers.struct_size) {
  const auto check = [&](uint64_t offset, uint64_t size, const char* name) {
    if (!in_bounds(size_, offset, size)) {
      throw Error(Errc::format,
                  fmt::format("VMCOREINFO: offset {} of page.{} is outside struct page of {} bytes", offset,
                              name, size_));
    }
  };
  check(m_.flags, 8, "flags");
  check(m_.mapping, 8, "mapping");
  check(m_.mapcount, 4, "_mapcount");
  check(m_.private_, 8, "private");
  check(m_.compound_head, 8, "compound_head");
  check(m_.order_offset, 8, "compound_order");
  if (m_.dtor_offset) check(*m_.dtor_offset, 8, "compound_dtor");

  poison_mask_ = bit_mask(m_.hwpoison);
  head_mask_ = m_.head_mask.value_or(bit_mask(m_.head));
  lru_mask_ = bit_mask(m_.lru);
  private_mask_ = bit_mask(m_.private_bit);
  slab_mask_ = bit_mask(m_.slab_bit);
  const auto type = [&](const std::optional<uint32_t>& value) {
    return value ? uint64_t{*value & m_.type_mask} : ~uint64_t{0};
  };
  buddy_ = type(m_.buddy);
  unaccepted_ = type(m_.unaccepted);
  offline_ = type(m_.offline);
  slab_ = type(m_.slab);
  hugetlb_ = type(m_.hugetlb);
  // PG_swapcache shares its bit with others (PG_owner_priv_1) and means swap cache only together with
  // PG_swapbacked (include/linux/page-flags.h: PageSwapCache).
  if (m_.swapcache) swap_cache_mask_ = bit_mask(m_.swapcache) | bit_mask(m_.swapbacked);
}

bool PageClassifier::is_hugetlb(uint32_t word, const uint8_t* second) const {
  if (m_.hugetlb) return has_type(word, hugetlb_);
  if (second == nullptr) return false;
  if (m_.hugetlb_bit) return (load64(second + m_.flags) & bit_mask(m_.hugetlb_bit)) != 0;
  if (!m_.dtor_offset || !m_.hugetlb_dtor) return false;
  // The destructor field has the width of the order field beside it.
  const uint64_t word64 = load64(second + *m_.dtor_offset);
  switch (m_.order_encoding) {
    case PageMarkers::OrderEncoding::u8_in_second_page:
      return (word64 & 0xff) == *m_.hugetlb_dtor;
    case PageMarkers::OrderEncoding::u16_in_second_page:
      return (word64 & 0xffff) == *m_.hugetlb_dtor;
    default:
      return word64 == *m_.hugetlb_dtor;
  }
}

unsigned PageClassifier::compound_order(const uint8_t* second) const {
  uint64_t order = 0;
  switch (m_.order_encoding) {
    case PageMarkers::OrderEncoding::u8_in_second_page:
      order = second[m_.order_offset];
      break;
    case PageMarkers::OrderEncoding::u16_in_second_page:
      order = load64(second + m_.order_offset) & 0xffff;
      break;
    case PageMarkers::OrderEncoding::low_byte_of_second_flags:
      order = second[m_.flags];
      break;
    case PageMarkers::OrderEncoding::lru_prev:
      order = load64(second + m_.order_offset);
      break;
  }
  return order < 64 ? static_cast<unsigned>(order) : 0;
}

}  // namespace kdk
