#include "analyze/inspect/task_stacks.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>

#include "core/base/log.h"

namespace kdk {
namespace {

constexpr size_t comm_length = 15;  // TASK_COMM_LEN without the end

// What makes two stacks the same: every frame and how the walk ended.
std::string key_of(const TaskStack& stack) {
  std::string key = stack.why_not + '\n' + stack.trace.end;
  for (const Frame& frame : stack.trace.frames)
    key += fmt::format("\n{:x} {}", frame.pc, static_cast<int>(frame.kind));
  return key;
}

template <typename T>
std::optional<T> parse(std::string_view text, int base) {
  T value{};
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

bool any_on_cpu(const ProcessTable& table, const std::vector<TaskRow>& rows) {
  return std::any_of(rows.begin(), rows.end(),
                     [&](const TaskRow& row) { return table.list.tasks[row.index].on_cpu.value_or(false); });
}

TaskStacks walk_tasks(Kernel& kernel, const ProcessTable& table, const std::vector<TaskRow>& rows,
                      const Crash* crash, const UnwindAids& aids, bool grouped) {
  TaskStacks out;
  out.grouped = grouped;
  out.complete = table.list.complete;
  out.arch = &kernel.memory().arch();
  std::map<std::string, size_t> known;  // by key_of()
  for (const TaskRow& row : rows) {
    const Task& task = table.list.tasks[row.index];
    const StackOwner owner{task, table.facts[row.index].since_run_ns};
    TaskStack stack{trace_task(kernel, task, crash, aids)};
    if (grouped) {
      auto [found, fresh] = known.try_emplace(key_of(stack), out.stacks.size());
      if (!fresh) {
        out.stacks[found->second].owners.push_back(owner);
        continue;
      }
    }
    stack.owners.push_back(owner);
    out.stacks.push_back(std::move(stack));
  }
  if (!grouped) return out;
  for (TaskStack& stack : out.stacks) {
    std::stable_sort(stack.owners.begin(), stack.owners.end(), [](const StackOwner& a, const StackOwner& b) {
      return a.since_run_ns.value_or(0) > b.since_run_ns.value_or(0);
    });
  }
  std::stable_sort(out.stacks.begin(), out.stacks.end(),
                   [](const TaskStack& a, const TaskStack& b) { return a.owners.size() > b.owners.size(); });
  return out;
}

std::vector<TaskRow> find_tasks(const ProcessTable& table, const std::vector<std::string>& words,
                                std::vector<std::string>& not_found) {
  std::vector<TaskRow> rows;
  std::vector<bool> taken(table.list.tasks.size());
  for (const std::string& word : words) {
    const auto pid = parse<int32_t>(word, 10);
    const auto address =
        word.starts_with("0x") ? parse<uint64_t>(std::string_view(word).substr(2), 16) : std::nullopt;
    const std::string comm = escape_untrusted(word.substr(0, comm_length));
    bool found = false;
    for (size_t i = 0; i < table.list.tasks.size(); ++i) {
      const Task& task = table.list.tasks[i];
      if (!(pid && task.pid == pid) && !(address && task.address == *address) && task.comm != comm) continue;
      found = true;
      if (!taken[i]) rows.push_back({i, 0});
      taken[i] = true;
    }
    if (!found) not_found.push_back(escape_untrusted(word));
  }
  return rows;
}

}  // namespace kdk
