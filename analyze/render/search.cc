// `search`: one line for each place.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "analyze/render/addresses.h"
#include "analyze/render/json_parts.h"
#include "analyze/render/owner_parts.h"

namespace kdk {

std::string to_text(const Answer<SearchResult>& answer) {
  const SearchResult& result = answer.facts;
  std::string out;
  const bool several = result.request.patterns.size() > 1;
  for (const SearchHit& hit : result.hits) {
    out += fmt::format("{:016x}  ", hit.used_as.value_or(0));
    if (several) out += fmt::format("{}  ", result.request.patterns[hit.pattern].query);
    // Bits that do not count are of interest in what is there.
    const SearchPattern& pattern = result.request.patterns[hit.pattern];
    if (pattern.unit == 8 && pattern.mask != ~uint64_t{0}) out += fmt::format("{:016x}  ", hit.value);
    out += fmt::format("physical {:x}  {}\n", hit.physical, owner_phrase(hit.owner));
  }
  out += fmt::format("{} found", result.total);
  if (result.total > result.hits.size()) out += fmt::format(", the first {} are shown", result.hits.size());
  out += fmt::format("; {} pages searched", result.pages_searched);
  if (result.pages_absent != 0) out += fmt::format(", {} not in the dump", result.pages_absent);
  if (result.pages_unreadable != 0) out += fmt::format(", {} unreadable", result.pages_unreadable);
  return out + '\n';
}

std::string to_json_text(const Answer<SearchResult>& answer) {
  using nlohmann::ordered_json;
  const SearchResult& result = answer.facts;
  ordered_json out = json::envelope("analyze-search", answer.input, answer.limits);
  ordered_json patterns = ordered_json::array();
  for (const SearchPattern& p : result.request.patterns) {
    patterns.push_back({{"query", p.query},
                        {"unit_bytes", p.unit != 0 ? ordered_json(p.unit) : ordered_json(nullptr)},
                        {"value", p.unit != 0 ? json::hex(p.value) : ordered_json(nullptr)},
                        {"mask", p.unit != 0 ? json::hex(p.mask) : ordered_json(nullptr)}});
  }
  out["patterns"] = std::move(patterns);
  out["where"] = result.request.stacks ? "stacks" : "memory";
  out["found"] = json::integer(result.total);
  out["pages_searched"] = json::integer(result.pages_searched);
  out["pages_absent"] = json::integer(result.pages_absent);
  out["pages_unreadable"] = json::integer(result.pages_unreadable);
  ordered_json hits = ordered_json::array();
  for (const SearchHit& hit : result.hits) {
    hits.push_back({{"pattern", hit.pattern},
                    {"physical_address", json::hex(hit.physical)},
                    {"linear_address", json::hex(hit.linear)},
                    {"address", json::hex(hit.used_as)},
                    {"value", json::hex(hit.value)},
                    {"owner", owner_json(hit.owner)}});
  }
  out["hits"] = std::move(hits);
  out["limits"] = json::limits(answer.limits);
  return json::dump(out);
}

}  // namespace kdk
