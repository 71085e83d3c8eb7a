// What marks a page on this kernel, read from VMCOREINFO. Each fact is looked for in its newest form first; a
// kernel is known by the keys it exports, never by its version. Source: kernel/vmcore_info.c
// (kernel/crash_core.c before v6.9, kernel/kexec_core.c before v4.13).
#include <fmt/format.h>

#include "core/kernel/pages.h"

namespace kdk {
namespace {

std::optional<unsigned> bit_number(const Vmcoreinfo& info, std::string_view name) {
  const std::optional<uint64_t> value = info.number(name);
  if (!value || *value > 63) return std::nullopt;
  return static_cast<unsigned>(*value);
}

// Exported as a signed or unsigned decimal of an int: 32 bits count.
std::optional<uint32_t> type_value(const Vmcoreinfo& info, std::string_view name) {
  const std::optional<uint64_t> value = info.number(fmt::format("PAGE_{}_MAPCOUNT_VALUE", name));
  return value ? std::optional(static_cast<uint32_t>(*value)) : std::nullopt;
}

uint64_t require_offset(const Vmcoreinfo& info, std::string_view member) {
  const std::string key = fmt::format("page.{}", member);
  if (std::optional<uint64_t> offset = info.offset(key)) return *offset;
  throw Error(Errc::missing, fmt::format("VMCOREINFO has no OFFSET({})", key));
}

// Offset inside struct page; what is outside would be read from a neighbour.
void check_inside(const PageMarkers& m, uint64_t offset, uint64_t size, std::string_view what) {
  if (in_bounds(m.struct_size, offset, size)) return;
  throw Error(Errc::format, fmt::format("VMCOREINFO puts {} at {} of a struct page of {} bytes", what, offset,
                                        m.struct_size));
}

void read_compound_order(const Vmcoreinfo& info, PageMarkers& m) {
  using Order = PageMarkers::OrderEncoding;
  const std::optional<uint64_t> folio_order = info.offset("folio._folio_order");
  const std::optional<uint64_t> page_order = info.offset("page.compound_order");
  if (folio_order) {
    // struct folio overlays consecutive struct pages; VMCOREINFO counts from the folio's start.
    m.order_encoding = Order::u8_in_second_page;
    m.order_offset = *folio_order - m.struct_size;
    if (std::optional<uint64_t> dtor = info.offset("folio._folio_dtor"))
      m.dtor_offset = *dtor - m.struct_size;
  } else if (page_order) {
    m.order_offset = *page_order;
    m.dtor_offset = info.offset("page.compound_dtor");
    // Neighbours: bytes since v4.16, wider before (16 bits are enough of them: little-endian, small values).
    const bool bytes = m.dtor_offset && *page_order - *m.dtor_offset == 1;
    m.order_encoding = bytes ? Order::u8_in_second_page : Order::u16_in_second_page;
  } else if (std::optional<uint64_t> destructor = info.symbol("free_huge_page")) {
    // Before v4.4: page[1].lru.next is the destructor's address, page[1].lru.prev the order.
    const uint64_t lru = require_offset(info, "lru");
    m.order_encoding = Order::lru_prev;
    m.order_offset = lru + 8;
    m.dtor_offset = lru;
    m.hugetlb_dtor = *destructor;
  } else {
    // v6.6 and later: folio._flags_1, the flags word of page[1].
    m.order_encoding = Order::low_byte_of_second_flags;
    m.order_offset = m.flags;
  }
  if (std::optional<uint64_t> dtor = info.number("HUGETLB_PAGE_DTOR")) m.hugetlb_dtor = *dtor;
  check_inside(m, m.order_offset, 1, "the compound order");
  if (m.dtor_offset) check_inside(m, *m.dtor_offset, 1, "the compound destructor");
}

}  // namespace

PageMarkers read_page_markers(const Vmcoreinfo& info) {
  PageMarkers m;
  const std::optional<uint64_t> size = info.size("page");
  if (!size) throw Error(Errc::missing, "VMCOREINFO has no SIZE(page)");
  // 32 to 128 bytes in practice; a page of 4 KiB holds them on every kernel.
  if (*size < 32 || *size > 4096)
    throw Error(Errc::format, fmt::format("VMCOREINFO gives struct page {} bytes", *size));
  m.struct_size = *size;
  m.flags = require_offset(info, "flags");
  m.refcount = require_offset(info, "_refcount");
  m.mapping = require_offset(info, "mapping");
  m.mapcount = require_offset(info, "_mapcount");
  m.private_ = require_offset(info, "private");
  // Linux commit d50569612c29 (in v7.1) renames it; bit 0 still marks a tail.
  const std::optional<uint64_t> info_word = info.offset("page.compound_info");
  m.compound_head = info_word ? *info_word : require_offset(info, "compound_head");
  check_inside(m, m.flags, 8, "page.flags");
  check_inside(m, m.refcount, 4, "page._refcount");
  check_inside(m, m.mapping, 8, "page.mapping");
  check_inside(m, m.mapcount, 4, "page._mapcount");
  check_inside(m, m.private_, 8, "page.private");
  check_inside(m, m.compound_head, 8, "page.compound_head");

  m.lru = bit_number(info, "PG_lru");
  m.private_bit = bit_number(info, "PG_private");
  m.swapcache = bit_number(info, "PG_swapcache");
  m.swapbacked = bit_number(info, "PG_swapbacked");
  m.hwpoison = bit_number(info, "PG_hwpoison");
  // Flag bit until v6.9; Linux commit 46df8e73a4a3 (in v6.10) makes it a page type.
  m.slab_bit = bit_number(info, "PG_slab");
  m.hugetlb_bit = bit_number(info, "PG_hugetlb");
  m.head = bit_number(info, "PG_head");
  m.head_mask = info.number("PG_head_mask");

  m.buddy = type_value(info, "BUDDY");
  m.offline = type_value(info, "OFFLINE");
  m.slab = type_value(info, "SLAB");
  m.hugetlb = type_value(info, "HUGETLB");
  m.unaccepted = type_value(info, "UNACCEPTED");
  m.table = type_value(info, "TABLE");
  // Linux commit 4ffca5a96678 (in v6.12): the type is the top byte. Before, types were single bits of the
  // inverted word, so that no value had 24 low bits of zero.
  if (m.buddy && (*m.buddy & 0x00ffffff) == 0) m.type_mask = 0xff000000;

  m.max_order = info.length("zone.free_area").value_or(0);
  if (m.max_order == 0) throw Error(Errc::missing, "VMCOREINFO has no LENGTH(zone.free_area)");
  if (m.max_order > 64)
    throw Error(Errc::format, fmt::format("VMCOREINFO has {} free lists in a zone", m.max_order));
  read_compound_order(info, m);
  return m;
}

}  // namespace kdk
