// `mount`: text and JSON (schemas/analyze-mount.schema.json).
#include <fmt/format.h>

#include <algorithm>

#include <nlohmann/json.hpp>

#include "analyze/render/files.h"
#include "analyze/render/json_parts.h"
#include "analyze/render/net.h"
#include "analyze/render/object_parts.h"
#include "analyze/render/task_answers.h"

namespace kdk {

using nlohmann::ordered_json;

std::string to_text(const Answer<MountAnswer>& answer) {
  const Mounts& facts = answer.facts.facts;
  std::string out = fmt::format("{:<16}  {:>4} {:>8}  {:<12} {}\n", "MOUNT", "ID", "DEVICE", "TYPE",
                                "TARGET, SOURCE, OPTIONS");
  constexpr unsigned max_indent = 20;
  for (const Mount& mount : facts.mounts) {
    out += fmt::format(
        "{:016x}  {:>4} {:>8}  {:<12} {}{}  {}{}  {}\n", mount.address,
        mount.id ? fmt::format("{}", *mount.id) : "?",
        mount.major ? fmt::format("{}:{}", *mount.major, mount.minor.value_or(0)) : "?",
        mount.type.empty() ? "?" : mount.type,
        std::string(size_t{2} * std::min(mount.depth, max_indent), ' '),
        mount.target.empty() ? "?" : mount.target, mount.source.empty() ? "none" : mount.source,
        mount.root.empty() || mount.root == "/" ? "" : fmt::format("[{}]", mount.root), mount.options);
  }
  out += fmt::format("{} mounts of {}\n", facts.mounts.size(),
                     facts.task ? text::owner_name(*facts.task) : std::string("the first namespace"));
  return out;
}

std::string to_json_text(const Answer<MountAnswer>& answer) {
  const Mounts& facts = answer.facts.facts;
  ordered_json out = json::envelope("analyze-mount", answer.input, answer.limits);
  out["evidence"] = json::evidence(answer.evidence);
  out["namespace"] = json::hex(facts.name_space);
  out["task"] = facts.task ? json::stack_owner(*facts.task) : ordered_json(nullptr);
  ordered_json mounts = ordered_json::array();
  for (const Mount& mount : facts.mounts) {
    ordered_json item;
    item["address"] = json::hex(mount.address);
    item["id"] = mount.id ? ordered_json(*mount.id) : ordered_json(nullptr);
    item["parent_id"] = mount.parent ? ordered_json(*mount.parent) : ordered_json(nullptr);
    item["depth"] = mount.depth;
    item["device"] = mount.major && mount.minor
                         ? ordered_json{{"major", *mount.major}, {"minor", *mount.minor}}
                         : ordered_json(nullptr);
    item["source"] = json::text(mount.source);
    item["type"] = json::text(mount.type);
    item["target"] = json::text(mount.target);
    item["root"] = json::text(mount.root);
    item["options"] = json::text(mount.options);
    item["super_block"] = json::hex(mount.super_block);
    mounts.push_back(std::move(item));
  }
  out["mounts"] = std::move(mounts);
  out["redaction"] = json::redaction(answer.facts.redaction);
  out["limits"] = json::limits(answer.limits);
  return json::dump(out);
}

}  // namespace kdk
