// `mem`: tables of memory, and whose an address is.
#include "analyze/render/mem.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "analyze/render/json_parts.h"
#include "analyze/render/memory_parts.h"
#include "analyze/render/owner_parts.h"
#include "analyze/render/text_parts.h"

namespace kdk {
namespace {

std::string slab_rows(const SlabTable& table) {
  std::string out = fmt::format("{:<16}  {:>8} {:>10} {:>10} {:>8} {:>10}  {}\n", "CACHE", "OBJSIZE",
                                "IN USE", "OBJECTS", "SLABS", "MEMORY", "NAME");
  uint64_t pages = 0, used = 0;
  for (const SlabCache& cache : table.caches) {
    pages += cache.pages;
    used += cache.in_use * cache.stride_bytes;
    out += fmt::format("{:016x}  {:>8} {:>10} {:>10} {:>8} {:>10}  {}\n", cache.address, cache.object_bytes,
                       cache.in_use, cache.objects, cache.slabs, text::bytes(cache.pages * table.page_bytes),
                       cache.name);
  }
  out += fmt::format("{} caches, {} of memory, of it in use {}\n", table.caches.size(),
                     text::bytes(pages * table.page_bytes), text::bytes(used));
  if (table.unlisted_pages != 0)
    out += fmt::format("{} pages are slabs of caches that are on no list\n", table.unlisted_pages);
  return out;
}

std::string area_rows(const std::vector<MemoryAnswer::Area>& areas) {
  std::string out =
      fmt::format("{:<16}  {:<16} {:>10} {:>8}  {}\n", "START", "END", "SIZE", "PAGES", "CALLER");
  uint64_t bytes = 0;
  for (const MemoryAnswer::Area& item : areas) {
    bytes += item.area.end - item.area.start;
    out += fmt::format("{:016x}  {:016x} {:>10} {:>8}  {}\n", item.area.start, item.area.end,
                       text::bytes(item.area.end - item.area.start), item.area.pages,
                       item.caller.empty() ? "-" : item.caller);
  }
  return out + fmt::format("{} areas, {}\n", areas.size(), text::bytes(bytes));
}

std::string address_rows(const AddressOwner& item) {
  if (!item.error.empty()) return fmt::format("{}: {}\n", item.query, item.error);
  const Owner& owner = item.owner;
  std::string out = fmt::format("{:016x}  {}", owner.address, owner_phrase(owner));
  if (item.in_use) out += *item.in_use ? ", in use" : ", free";
  out += '\n';
  if (owner.size != 0) {
    out += fmt::format("  begins        {:016x}, {} bytes\n", owner.start, owner.size);
  }
  if (owner.object) {
    const std::string_view what = owner.kind == Owner::Kind::slab    ? "kmem_cache"
                                  : owner.kind == Owner::Kind::stack ? "task_struct"
                                                                     : "vm_struct";
    out += fmt::format("  {:<13} {:016x}\n", what, *owner.object);
  }
  if (owner.physical)
    out += fmt::format("  physical      {:016x}  (page {} in the dump)\n", *owner.physical, item.page_state);
  if (item.linear && *item.linear != owner.address)
    out += fmt::format("  linear map    {:016x}\n", *item.linear);
  if (owner.page) out += page_rows(*owner.page);
  return out;
}

}  // namespace

std::string to_text(const Answer<MemoryAnswer>& answer) {
  const MemoryAnswer& facts = answer.facts;
  std::string out;
  const auto part = [&](const std::string& rows) { out += (out.empty() ? "" : "\n") + rows; };
  if (facts.summary) part(text::memory(*facts.summary));
  if (facts.slabs) part(slab_rows(*facts.slabs));
  if (facts.areas) part(area_rows(*facts.areas));
  for (const AddressOwner& item : facts.addresses) part(address_rows(item));
  for (const std::string& problem : facts.problems) out += fmt::format("not known: {}\n", problem);
  return out;
}

std::string to_json_text(const Answer<MemoryAnswer>& answer) {
  using nlohmann::ordered_json;
  const MemoryAnswer& facts = answer.facts;
  ordered_json out = json::envelope("analyze-mem", answer.input, answer.limits);
  out["memory"] = facts.summary ? json::memory(*facts.summary) : ordered_json(nullptr);
  ordered_json slabs = nullptr;
  if (facts.slabs) {
    slabs = ordered_json::array();
    for (const SlabCache& cache : facts.slabs->caches) {
      slabs.push_back({{"name", cache.name},
                       {"kmem_cache", json::hex(cache.address)},
                       {"object_bytes", json::integer(cache.object_bytes)},
                       {"stride_bytes", json::integer(cache.stride_bytes)},
                       {"objects_in_use", json::integer(cache.in_use)},
                       {"objects", json::integer(cache.objects)},
                       {"slabs", json::integer(cache.slabs)},
                       {"memory_bytes", json::integer(cache.pages * facts.slabs->page_bytes)}});
    }
  }
  out["slabs"] = std::move(slabs);
  ordered_json areas = nullptr;
  if (facts.areas) {
    areas = ordered_json::array();
    for (const MemoryAnswer::Area& item : *facts.areas) {
      areas.push_back({{"start", json::hex(item.area.start)},
                       {"size_bytes", json::integer(item.area.end - item.area.start)},
                       {"pages", json::integer(item.area.pages)},
                       {"vm_struct", item.area.vm != 0 ? json::hex(item.area.vm) : ordered_json(nullptr)},
                       {"caller", json::text(item.caller)}});
    }
  }
  out["areas"] = std::move(areas);
  ordered_json addresses = ordered_json::array();
  for (const AddressOwner& item : facts.addresses) {
    const bool known = item.error.empty();
    addresses.push_back({{"query", item.query},
                         {"address", known ? json::hex(item.owner.address) : ordered_json(nullptr)},
                         {"owner", known ? owner_json(item.owner) : ordered_json(nullptr)},
                         {"in_use", item.in_use ? ordered_json(*item.in_use) : ordered_json(nullptr)},
                         {"physical_address", json::hex(item.owner.physical)},
                         {"linear_address", json::hex(item.linear)},
                         {"page_state", json::text(item.page_state)},
                         {"error", json::text(item.error)}});
  }
  out["addresses"] = std::move(addresses);
  out["problems"] = facts.problems;
  out["limits"] = json::limits(answer.limits);
  return json::dump(out);
}

}  // namespace kdk
