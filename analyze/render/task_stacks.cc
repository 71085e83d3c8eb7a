// `bt` for tasks: text and JSON (schemas/analyze-bt-tasks.schema.json).
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "analyze/render/json_parts.h"
#include "analyze/render/task_answers.h"
#include "analyze/render/text_parts.h"
#include "analyze/render/waits.h"

namespace kdk {
namespace {

using nlohmann::ordered_json;

template <typename T>
std::string number(const std::optional<T>& value) {
  return value ? fmt::format("{}", *value) : "?";
}

std::string owner_title(const StackOwner& owner) {
  const Task& task = owner.task;
  const std::string name = task.comm.empty() ? "?" : task.comm;
  std::string out =
      fmt::format("PID {} {}, {} ({})", number(task.pid), task.kernel_thread ? "[" + name + "]" : name,
                  task.state, task_state_name(task.state));
  if (task.cpu) out += fmt::format(", {} CPU {}", task.on_cpu.value_or(false) ? "on" : "last on", *task.cpu);
  if (owner.since_run_ns && !task.on_cpu.value_or(false))
    out += fmt::format(", ran {} ago", text::duration(*owner.since_run_ns));
  return out;
}

}  // namespace

std::string task_stack_text(const TaskStack& stack, bool addresses) {
  if (!stack.why_not.empty()) return fmt::format("  no stack: {}\n", stack.why_not);
  return text::backtrace(stack.trace, addresses, stack.variables ? &*stack.variables : nullptr);
}

std::string to_text(const Answer<TaskStacks>& answer) {
  const TaskStacks& facts = answer.facts;
  std::string out;
  for (const TaskStack& stack : facts.stacks) {
    if (!out.empty()) out += '\n';
    out +=
        facts.grouped ? text::wrap("", text::owners(stack), "  ") : owner_title(stack.owners.front()) + '\n';
    out += task_stack_text(stack, !facts.grouped);
  }
  for (const std::string& word : facts.not_found) out += word + ": no such task\n";
  return out;
}

namespace json {

ordered_json stack_owner(const StackOwner& owner) {
  const Task& task = owner.task;
  ordered_json out;
  out["pid"] = task.pid ? ordered_json(*task.pid) : ordered_json(nullptr);
  out["tgid"] = task.tgid ? ordered_json(*task.tgid) : ordered_json(nullptr);
  out["comm"] = text(task.comm);
  out["state"] = std::string(1, task.state);
  out["cpu"] = integer(task.cpu);
  out["on_cpu"] = task.on_cpu ? ordered_json(*task.on_cpu) : ordered_json(nullptr);
  out["kernel_thread"] = task.kernel_thread;
  out["address"] = hex(task.address);
  out["since_run_us"] = owner.since_run_ns ? integer(*owner.since_run_ns / 1000) : ordered_json(nullptr);
  return out;
}

ordered_json task_stack(const TaskStack& stack, const Arch* arch) {
  ordered_json owners = ordered_json::array();
  for (const StackOwner& owner : stack.owners) owners.push_back(stack_owner(owner));
  ordered_json out;
  out["tasks"] = std::move(owners);
  const bool known = stack.why_not.empty() && arch != nullptr;
  out["backtrace"] = known ? to_json(stack.trace, *arch) : ordered_json(nullptr);
  out["why_not"] = text(stack.why_not);
  if (stack.variables) out["variables"] = variables(*stack.variables);
  return out;
}

}  // namespace json

std::string to_json_text(const Answer<TaskStacks>& answer) {
  ordered_json out = json::envelope("analyze-bt-tasks", answer.input, answer.limits);
  out["evidence"] = json::evidence(answer.evidence);
  out["grouped"] = answer.facts.grouped;
  out["complete"] = answer.facts.complete;
  ordered_json stacks = ordered_json::array();
  for (const TaskStack& stack : answer.facts.stacks)
    stacks.push_back(json::task_stack(stack, answer.facts.arch));
  out["stacks"] = std::move(stacks);
  out["not_found"] = answer.facts.not_found;
  out["limits"] = json::limits(answer.limits);
  return json::dump(out);
}

}  // namespace kdk
