#include "analyze/render/owner_parts.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>

#include "analyze/render/json_parts.h"

namespace kdk {

std::string page_rows(const PageFactsOf& page) {
  if (page.address == 0) return fmt::format("  page frame    {:#x}, which has no struct page\n", page.pfn);
  std::string out = fmt::format("  page frame    {:#x}, struct page {:016x}\n", page.pfn, page.address);
  if (!page.readable) return out + "                the struct page is not in the dump\n";
  out += fmt::format("  flags         {:016x} {}\n", page.flags, fmt::join(page.flag_names, " "));
  out += fmt::format("  refcount      {}\n", page.refcount);
  out += fmt::format("  mapcount word {:08x}\n", page.mapcount_word);
  out += fmt::format("  mapping       {:016x}\n", page.mapping);
  if (page.head != 0) out += fmt::format("  tail of       {:016x}\n", page.head);
  std::string what = page.slab ? "slab" : page.page_class;
  if (!what.empty()) {
    if (page.order != 0) what += fmt::format(", order {}", page.order);
    out += fmt::format("  class         {}\n", what);
  }
  return out;
}

nlohmann::ordered_json page_json(const PageFactsOf& page) {
  using nlohmann::ordered_json;
  ordered_json out;
  out["pfn"] = json::integer(page.pfn);
  out["struct_page"] = page.address != 0 ? json::hex(page.address) : ordered_json(nullptr);
  const bool known = page.readable;
  out["flags"] = known ? json::hex(page.flags) : ordered_json(nullptr);
  out["flag_names"] = page.flag_names;
  out["refcount"] = known ? ordered_json(page.refcount) : ordered_json(nullptr);
  out["mapcount_word"] = known ? ordered_json(page.mapcount_word) : ordered_json(nullptr);
  out["mapping"] = known ? json::hex(page.mapping) : ordered_json(nullptr);
  out["head"] = page.head != 0 ? json::hex(page.head) : ordered_json(nullptr);
  out["class"] = json::text(page.slab ? "slab" : page.page_class);
  out["order"] = page.page_class.empty() ? ordered_json(nullptr) : ordered_json(page.order);
  return out;
}

}  // namespace kdk
