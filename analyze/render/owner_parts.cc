#include "analyze/render/owner_parts.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "analyze/render/json_parts.h"

namespace kdk {

std::string page_rows(const PageFactsOf& page) {
  if (page.address == 0) return fmt::format("  page frame    {:#x}, which has no struct page\n", page.pfn);
  std::string out = fmt::format("  page frame    {:#x}, struct page {:016x}\n", page.pfn, page.address);
  if (!page.readable) return out + "                the struct page is not in the dump\n";
  out += fmt::format("  flags         {:016x}", page.flags);
  for (const std::string& name : page.flag_names) out += " " + name;
  out += '\n';
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

std::string owner_phrase(const Owner& owner) {
  const uint64_t into = owner.address - owner.start;
  const auto place = [&](const std::string& name) {
    std::string out = into != 0 ? fmt::format("{}+{:#x}", name, into) : name;
    if (!owner.module.empty()) out += fmt::format(" [{}]", owner.module);
    return out;
  };
  const std::string page = !owner.page || owner.page->page_class.empty()
                               ? std::string()
                               : fmt::format(", {} page", owner.page->page_class);
  switch (owner.kind) {
    case Owner::Kind::symbol:
      return place(owner.name);
    case Owner::Kind::slab:
      return fmt::format("[{}] object {:016x}+{:#x}", owner.name, owner.start, into);
    case Owner::Kind::stack:
      if (owner.pid) return fmt::format("stack of {} (pid {}) +{:#x}", owner.name, *owner.pid, into);
      return fmt::format("{} stack of CPU {} +{:#x}", owner.name, owner.cpu.value_or(0), into);
    case Owner::Kind::per_cpu:
      return fmt::format("per-CPU {} of CPU {}",
                         owner.name.empty() ? fmt::format("area+{:#x}", into) : place(owner.name),
                         owner.cpu.value_or(0));
    case Owner::Kind::vmalloc:
      return fmt::format("vmalloc area {:016x}+{:#x}{}", owner.start, into,
                         owner.name.empty() ? "" : " of " + owner.name);
    case Owner::Kind::struct_page:
      return "struct page";
    case Owner::Kind::linear:
      return "linear map" + page;
    case Owner::Kind::not_kernel:
      return "not a kernel address";
    case Owner::Kind::unmapped:
      return "not mapped";
    case Owner::Kind::unknown:
      break;
  }
  return "owner unknown" + page;
}

nlohmann::ordered_json owner_json(const Owner& owner) {
  using nlohmann::ordered_json;
  const bool placed = owner.start != 0 || owner.size != 0;
  ordered_json out;
  out["kind"] = to_string(owner.kind);
  out["name"] = json::text(owner.name);
  out["module"] = json::text(owner.module);
  out["start"] = placed ? json::hex(owner.start) : ordered_json(nullptr);
  out["offset"] = placed ? json::integer(owner.address - owner.start) : ordered_json(nullptr);
  out["size_bytes"] = owner.size != 0 ? json::integer(owner.size) : ordered_json(nullptr);
  out["pid"] = owner.pid ? ordered_json(*owner.pid) : ordered_json(nullptr);
  out["cpu"] = owner.cpu ? ordered_json(*owner.cpu) : ordered_json(nullptr);
  out["object"] = json::hex(owner.object);
  out["page"] = owner.page ? page_json(*owner.page) : ordered_json(nullptr);
  return out;
}

}  // namespace kdk
