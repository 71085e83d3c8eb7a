// The graph of who waits for whom: a task waits for one lock, a lock has one owner.
#include <algorithm>
#include <map>
#include <set>

#include "analyze/inspect/locks.h"

namespace kdk {

void find_chains(LockTable& table) {
  std::map<size_t, size_t> waits_for;  // task -> lock
  for (size_t i = 0; i < table.locks.size(); ++i) {
    for (const LockWaiter& waiter : table.locks[i].waiters) waits_for.emplace(waiter.task, i);
  }
  // A reader that came last is only one of those that may have it: no proof of a cycle, but a lead.
  std::set<size_t> in_cycles, waited_for;
  for (const auto& [task, lock] : waits_for) {
    if (table.locks[lock].owner) waited_for.insert(*table.locks[lock].owner);
  }
  auto follow = [&](size_t first) {
    LockChain chain;
    std::map<size_t, size_t> place;  // task -> step
    std::optional<size_t> task = first;
    while (task && waits_for.contains(*task) && !place.contains(*task)) {
      place[*task] = chain.steps.size();
      chain.steps.push_back({*task, waits_for[*task]});
      task = table.locks[chain.steps.back().lock].owner;
    }
    if (task && place.contains(*task)) {
      // The part that leads into the circle belongs to no cycle.
      chain.steps.erase(chain.steps.begin(), chain.steps.begin() + static_cast<std::ptrdiff_t>(place[*task]));
      chain.cycle = true;
    } else {
      chain.holder = task;
    }
    return chain;
  };
  for (const auto& [task, lock] : waits_for) {
    if (in_cycles.contains(task)) continue;
    LockChain chain = follow(task);
    if (chain.cycle) {
      if (in_cycles.contains(chain.steps.front().task)) continue;
      for (const LockChain::Step& step : chain.steps) in_cycles.insert(step.task);
      table.cycles.push_back(std::move(chain));
    } else if (!waited_for.contains(task)) {
      table.chains.push_back(std::move(chain));
    }
  }
  std::stable_sort(table.chains.begin(), table.chains.end(),
                   [](const LockChain& a, const LockChain& b) { return a.steps.size() > b.steps.size(); });
}

}  // namespace kdk
