// Which tasks are shown, and in which order.
#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <utility>

#include "analyze/inspect/processes.h"

namespace kdk {

bool matches(const Task& task, const TaskFilter& filter) {
  if (!filter.states.empty() && filter.states.find(task.state) == std::string::npos) return false;
  if (filter.leaders && task.pid != task.tgid) return false;
  if (filter.user && task.kernel_thread) return false;
  if (filter.kernel && !task.kernel_thread) return false;
  if (!filter.pids.empty()) {
    const bool named = std::any_of(filter.pids.begin(), filter.pids.end(),
                                   [&](int32_t pid) { return task.pid == pid || task.tgid == pid; });
    if (!named) return false;
  }
  if (filter.names.empty()) return true;
  return std::any_of(filter.names.begin(), filter.names.end(),
                     [&](const std::string& name) { return task.comm.find(name) != std::string::npos; });
}

std::optional<TaskOrder> task_order(std::string_view word) {
  static constexpr std::array<std::pair<std::string_view, TaskOrder>, 8> words = {{
      {"list", TaskOrder::list},
      {"pid", TaskOrder::pid},
      {"rss", TaskOrder::rss},
      {"vsz", TaskOrder::vsz},
      {"last", TaskOrder::last_run},
      {"runtime", TaskOrder::runtime},
      {"cpu", TaskOrder::cpu},
      {"name", TaskOrder::name},
  }};
  for (const auto& [name, order] : words) {
    if (name == word) return order;
  }
  return std::nullopt;
}

std::vector<TaskRow> select_tasks(const ProcessTable& table, const TaskFilter& filter, TaskOrder order) {
  std::vector<TaskRow> rows;
  for (size_t i = 0; i < table.list.tasks.size(); ++i) {
    if (matches(table.list.tasks[i], filter)) rows.push_back({i, 0});
  }
  // Sorted by a number, the smallest first; what is unknown last.
  auto by = [&](auto&& key) {
    std::stable_sort(rows.begin(), rows.end(), [&](const TaskRow& a, const TaskRow& b) {
      const auto x = key(a.index), y = key(b.index);
      return x && y ? *x < *y : x.has_value() && !y.has_value();
    });
  };
  auto largest_first = [](std::optional<uint64_t> value) {
    return value ? std::optional(~*value) : std::nullopt;
  };
  const auto& tasks = table.list.tasks;
  const auto& facts = table.facts;
  switch (order) {
    case TaskOrder::list:
      break;
    case TaskOrder::pid:
      by([&](size_t i) { return tasks[i].pid; });
      break;
    case TaskOrder::rss:
      by([&](size_t i) { return largest_first(facts[i].rss_bytes); });
      break;
    case TaskOrder::vsz:
      by([&](size_t i) { return largest_first(facts[i].vsz_bytes); });
      break;
    case TaskOrder::last_run:
      by([&](size_t i) { return largest_first(facts[i].since_run_ns); });
      break;
    case TaskOrder::runtime:
      by([&](size_t i) { return largest_first(facts[i].runtime_ns); });
      break;
    case TaskOrder::cpu:
      by([&](size_t i) { return tasks[i].cpu; });
      break;
    case TaskOrder::name:
      std::stable_sort(rows.begin(), rows.end(), [&](const TaskRow& a, const TaskRow& b) {
        return tasks[a.index].comm < tasks[b.index].comm;
      });
      break;
  }
  return rows;
}

std::vector<TaskRow> task_tree(const ProcessTable& table, const TaskFilter& filter) {
  const auto& tasks = table.list.tasks;
  std::map<int32_t, size_t> leaders;               // by tgid
  std::map<int32_t, std::vector<size_t>> threads;  // by tgid, without the leader
  for (size_t i = 0; i < tasks.size(); ++i) {
    if (!tasks[i].tgid) continue;
    if (tasks[i].pid == tasks[i].tgid && leaders.emplace(*tasks[i].tgid, i).second) continue;
    threads[*tasks[i].tgid].push_back(i);
  }
  std::map<int32_t, std::vector<size_t>> children;  // leaders by the tgid of their parent
  std::vector<size_t> roots;
  for (size_t i = 0; i < tasks.size(); ++i) {
    const auto found = tasks[i].tgid ? leaders.find(*tasks[i].tgid) : leaders.end();
    const bool leader = found != leaders.end() && found->second == i;
    if (!leader && found != leaders.end()) continue;  // a thread, shown below its leader
    const bool has_parent =
        tasks[i].ppid && *tasks[i].ppid != tasks[i].tgid && leaders.contains(*tasks[i].ppid);
    if (leader && has_parent) {
      children[*tasks[i].ppid].push_back(i);
    } else {
      roots.push_back(i);
    }
  }
  // Depth first without recursion: a chain of parents is as long as the dump says. Parents that are each
  // other's children are reached from no root: they become roots in turn.
  std::vector<TaskRow> all;
  std::vector<bool> seen(tasks.size());
  auto walk = [&](size_t root) {
    std::vector<TaskRow> pending{{root, 0}};
    while (!pending.empty()) {
      const TaskRow row = pending.back();
      pending.pop_back();
      if (seen[row.index]) continue;
      seen[row.index] = true;
      all.push_back(row);
      const Task& task = tasks[row.index];
      const auto found = task.tgid ? leaders.find(*task.tgid) : leaders.end();
      if (found == leaders.end() || found->second != row.index) continue;
      const auto& below = children[*task.tgid];
      for (auto child = below.rbegin(); child != below.rend(); ++child)
        pending.push_back({*child, row.depth + 1});
      const auto& own = threads[*task.tgid];
      for (auto thread = own.rbegin(); thread != own.rend(); ++thread)
        pending.push_back({*thread, row.depth + 1});
    }
  };
  for (size_t root : roots) walk(root);
  for (size_t i = 0; i < tasks.size(); ++i) {
    if (!seen[i]) walk(i);
  }
  // Keep what matches, and the path to it: rows are in depth-first order, so a row's ancestors are the last
  // rows of each smaller depth before it.
  std::vector<TaskRow> rows;
  std::vector<bool> keep(all.size());
  std::vector<size_t> path;
  for (size_t i = 0; i < all.size(); ++i) {
    path.resize(all[i].depth);
    path.push_back(i);
    if (!matches(tasks[all[i].index], filter)) continue;
    for (size_t ancestor = path.size(); ancestor-- > 0 && !keep[path[ancestor]];) keep[path[ancestor]] = true;
  }
  for (size_t i = 0; i < all.size(); ++i) {
    if (keep[i]) rows.push_back(all[i]);
  }
  return rows;
}

}  // namespace kdk
