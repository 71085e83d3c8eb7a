// The report as JSON (schemas/report.schema.json).
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "analyze/render/activity.h"
#include "analyze/render/json_parts.h"
#include "analyze/render/memory_parts.h"
#include "analyze/render/render.h"
#include "analyze/render/waits.h"
#include "analyze/triage/function_name.h"

namespace kdk {
namespace {

using json::hex;
using json::integer;
using json::text;
using nlohmann::ordered_json;

ordered_json signed_integer(std::optional<int32_t> value) {
  return value ? ordered_json(*value) : ordered_json(nullptr);
}

ordered_json faulting_code(const FaultingCode& code) {
  std::string bytes;
  for (uint8_t byte : code.bytes) bytes += fmt::format("{:02x}", byte);
  ordered_json operands = ordered_json::array();
  for (const FaultingCode::Operand& each : code.operands)
    operands.push_back({{"register", each.name}, {"value", hex(each.value)}});
  return {{"address", hex(code.address)},
          {"bytes", bytes},
          {"text", code.text},
          {"known", code.known},
          {"leads_to", text(code.comment)},
          {"operands", std::move(operands)},
          {"memory_address", hex(code.memory)}};
}

ordered_json summary(const Report& report) {
  ordered_json out;
  const Culprit who = culprit(report);
  const Frame* frame = who.frame;
  out["panic_message"] = report.crash ? text(report.crash->panic_message) : ordered_json(nullptr);
  out["class"] = report.crash ? text(report.crash->crash_class.name) : ordered_json(nullptr);
  out["title"] = report.crash ? text(report.crash->crash_class.title) : ordered_json(nullptr);
  out["function"] = frame != nullptr ? text(source_name(frame->symbol)) : ordered_json(nullptr);
  out["module"] = frame != nullptr ? text(frame->module) : ordered_json(nullptr);
  out["file"] = frame != nullptr ? text(frame->file) : ordered_json(nullptr);
  out["line"] = frame != nullptr && frame->line != 0 ? ordered_json(frame->line) : ordered_json(nullptr);
  out["noticed_by"] = nullptr;
  if (who.noticed_by != nullptr) {
    out["noticed_by"] =
        who.noticed_by->symbol.empty() ? hex(who.noticed_by->pc) : text(who.noticed_by->symbol);
  }
  // Whose doing it was: the task that hung, else the one that the crashing CPU ran.
  out["task"] = {{"comm", nullptr}, {"pid", nullptr}};
  if (who.task != nullptr) {
    out["task"] = {{"comm", text(who.task->comm)}, {"pid", signed_integer(who.task->pid)}};
  } else if (report.crash) {
    out["task"] = {{"comm", text(report.crash->comm)}, {"pid", signed_integer(report.crash->pid)}};
  }
  return out;
}

ordered_json signatures(const Signatures& found) {
  auto one = [](const Signature& signature) -> ordered_json {
    return {{"sha256", signature.sha256}, {"text", signature.text}};
  };
  return {{"family", one(found.family)}, {"exact", one(found.exact)}};
}

ordered_json tasks(const TaskList& list) {
  ordered_json states = ordered_json::object();
  ordered_json items = ordered_json::array();
  for (const Task& task : list.tasks) {
    ordered_json& count = states[std::string(1, task.state)];
    count = count.is_null() ? 1 : count.get<uint64_t>() + 1;
    ordered_json item;
    item["pid"] = signed_integer(task.pid);
    item["tgid"] = signed_integer(task.tgid);
    item["ppid"] = signed_integer(task.ppid);
    item["comm"] = text(task.comm);
    item["state"] = std::string(1, task.state);
    item["state_bits"] = hex(task.state_bits);
    item["cpu"] = integer(task.cpu);
    item["on_cpu"] = task.on_cpu ? ordered_json(*task.on_cpu) : ordered_json(nullptr);
    item["kernel_thread"] = task.kernel_thread;
    item["address"] = hex(task.address);
    items.push_back(std::move(item));
  }
  ordered_json out;
  out["complete"] = list.complete;
  out["source"] = list.heuristic ? "heuristic" : "init_task";
  out["count"] = list.tasks.size();
  out["processes"] = list.processes;
  out["states"] = std::move(states);
  out["items"] = std::move(items);
  return out;
}

ordered_json modules(const ModulesFacts& facts) {
  ordered_json items = ordered_json::array();
  for (const Module& module : facts.list.modules) {
    ordered_json ranges = ordered_json::array();
    for (const Module::Range& range : module.ranges) {
      ranges.push_back(
          {{"kind", range.kind}, {"base", hex(range.base)}, {"size_bytes", integer(range.size)}});
    }
    bool walked = facts.source == "modules";
    ordered_json item;
    item["name"] = module.name;
    item["size_bytes"] = walked ? integer(module.size_bytes) : ordered_json(nullptr);
    item["state"] = text(module.state);
    item["taint_mask"] = walked ? hex(module.taints) : ordered_json(nullptr);
    item["taint_letters"] = module.taint_letters;
    item["build_id"] = text(module.build_id);
    item["srcversion"] = text(module.srcversion);
    item["version"] = text(module.version);
    item["address"] = walked ? hex(module.address) : ordered_json(nullptr);
    item["ranges"] = std::move(ranges);
    items.push_back(std::move(item));
  }
  ordered_json out;
  out["source"] = facts.source;
  out["count"] = items.size();
  out["items"] = std::move(items);
  return out;
}

ordered_json log(const LogFacts& facts) {
  ordered_json tail = ordered_json::array();
  for (const LogRecord& record : facts.tail) tail.push_back(json::log_record(record));
  ordered_json out;
  out["source"] = text(facts.source);
  out["total_records"] = facts.total_records;
  out["gap_after"] = facts.gap_after ? ordered_json(*facts.gap_after) : ordered_json(nullptr);
  out["tail"] = std::move(tail);
  out["problems"] = facts.problems;
  return out;
}

}  // namespace

std::string to_json_text(const Report& report) {
  ordered_json out = json::envelope("report", report.input, report.limits);
  out["summary"] = summary(report);
  out["findings"] = json::findings(report.findings);
  out["evidence"] = json::evidence(report.evidence);
  out["identity"] = json::identity(report.identity);
  bool named = report.crash && report.arch != nullptr;
  out["crash"] = named ? to_json(*report.crash, *report.arch) : ordered_json(nullptr);
  out["code"] = report.code ? faulting_code(*report.code) : ordered_json(nullptr);
  out["signatures"] = report.signatures ? signatures(*report.signatures) : ordered_json(nullptr);
  out["log"] = report.log ? log(*report.log) : ordered_json(nullptr);
  bool listed = report.tasks && report.tasks->why_not.empty();
  out["tasks"] = listed ? tasks(*report.tasks) : ordered_json(nullptr);
  out["blocked"] = report.blocked ? json::blocked(*report.blocked) : ordered_json(nullptr);
  bool locks_known = report.locks && report.locks->table.why_not.empty();
  out["locks"] = locks_known ? json::locks(*report.locks) : ordered_json(nullptr);
  out["activity"] = report.activity ? json::activity(*report.activity) : ordered_json(nullptr);
  bool modules_known = report.modules && !report.modules->source.empty();
  out["modules"] = modules_known ? modules(*report.modules) : ordered_json(nullptr);
  out["memory"] = report.memory ? json::memory(*report.memory) : ordered_json(nullptr);
  out["limits"] = json::limits(report.limits);
  ordered_json counts = ordered_json::object();
  for (const auto& [kind, count] : report.redaction.counts) counts[kind] = integer(count);
  out["redaction"] = {{"level", to_string(report.redaction.level)}, {"counts", std::move(counts)}};
  ordered_json timing = ordered_json::array();
  for (const Phase& phase : report.timing) {
    timing.push_back({{"phase", phase.name}, {"us", integer(phase.microseconds)}});
  }
  out["timing"] = std::move(timing);
  return json::dump(out);
}

}  // namespace kdk
