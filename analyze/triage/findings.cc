#include "analyze/triage/findings.h"

#include <fmt/format.h>

#include <map>

#include "analyze/triage/memory_history.h"
#include "analyze/triage/report.h"
#include "analyze/triage/stalls.h"

namespace kdk {
namespace {

constexpr uint64_t second = 1'000'000'000;
// Uninterruptible for longer than this is worth a line; the kernel itself complains after 120 s
// (sysctl hung_task_timeout_secs).
constexpr uint64_t long_wait = 10 * second, hung = 120 * second;
constexpr size_t many_waiters = 3;

std::string who(const Task& task) {
  return fmt::format("{} {}", task.comm.empty() ? "?" : task.comm, task.pid.value_or(-1));
}

std::string seconds(uint64_t ns) {
  return fmt::format("{} s", ns / second);
}

std::string lock_title(const Lock& lock) {
  std::string out = fmt::format("{} {:#x}", to_string(lock.kind), lock.address);
  return lock.name.empty() ? out : out + fmt::format(" ({})", lock.name);
}

class Finder {
 public:
  explicit Finder(const Report& report) : report_(report) {}

  std::vector<Finding> run() {
    if (report_.locks && report_.locks->table.why_not.empty()) locks(*report_.locks);
    if (report_.locks) spinning(report_.locks->spinning);
    if (report_.blocked) blocked(*report_.blocked);
    if (report_.crash) silent_cpus(*report_.crash);
    if (report_.log) {
      for (Finding& finding : find_memory_history(*report_.log)) found_.push_back(std::move(finding));
    }
    rank(found_);
    return std::move(found_);
  }

 private:
  void locks(const LockListing& listing) {
    const auto& tasks = listing.processes.list.tasks;
    const LockTable& table = listing.table;
    for (size_t i = 0; i < table.cycles.size(); ++i) {
      const LockChain& cycle = table.cycles[i];
      std::string path;
      bool readers = false;
      for (const LockChain::Step& step : cycle.steps) {
        const Lock& lock = table.locks[step.lock];
        readers = readers || lock.by_readers;
        path += fmt::format("{}{} waits for {}", path.empty() ? "" : ", held by ", who(tasks[step.task]),
                            lock_title(lock));
      }
      path += fmt::format(", held by {}", who(tasks[cycle.steps.front().task]));
      // Of several readers the lock names only the one that came last.
      found_.push_back({"KD0001",
                        "lock_cycle",
                        "critical",
                        readers ? 0.6 : 0.98,
                        fmt::format("{} tasks wait for each other: {}", cycle.steps.size(), path),
                        {fmt::format("/locks/cycles/{}", i)},
                        "none of them can go on; compare the order in which their stacks take the locks"});
      if (cycle.steps.size() == 1) found_.back().title = fmt::format("A task waits for itself: {}", path);
    }
    for (size_t i = 0; i < table.locks.size(); ++i) {
      const Lock& lock = table.locks[i];
      if (lock.owner_address != 0 && !lock.owner && !lock.by_readers) {
        found_.push_back(
            {"KD0002",
             "lock_owner_gone",
             "critical",
             0.9,
             fmt::format("{} task{} wait for {}, whose owner {:#x} is no task any more", lock.waiters.size(),
                         lock.waiters.size() == 1 ? "" : "s", lock_title(lock), lock.owner_address),
             {fmt::format("/locks/items/{}", i)},
             "a task ended with the lock held, or the lock was overwritten"});
      }
    }
    // What everybody waits for in the end.
    std::map<size_t, std::pair<size_t, size_t>> holders;  // task -> how many wait, first chain
    for (size_t i = 0; i < table.chains.size(); ++i) {
      if (!table.chains[i].holder) continue;
      auto [place, fresh] = holders.try_emplace(*table.chains[i].holder, 0, i);
      ++place->second.first;
    }
    for (const auto& [task, count] : holders) {
      if (count.first < many_waiters) continue;
      const Task& holder = tasks[task];
      found_.push_back({"KD0003",
                        "lock_convoy",
                        "warning",
                        0.8,
                        fmt::format("{} tasks wait for locks of {}, which is {} itself", count.first,
                                    who(holder), task_state_name(holder.state)),
                        {fmt::format("/locks/chains/{}", count.second)},
                        "look at the stack of that task: bt with its pid"});
    }
  }

  static std::string spin_cpu(const SpinCpu& cpu) {
    return fmt::format("CPU {} ({} {})", cpu.cpu ? fmt::format("{}", *cpu.cpu) : "?",
                       cpu.comm.empty() ? "?" : cpu.comm, cpu.pid.value_or(-1));
  }
  static std::string spin_title(const SpinLock& lock) {
    std::string out = fmt::format("{} {:#x}", lock.reader_writer ? "rwlock" : "spinlock", lock.address);
    return lock.name.empty() ? out : out + fmt::format(" ({})", lock.name);
  }

  void spinning(const SpinLocks& all) {
    std::vector<bool> told(all.locks.size());
    for (size_t i = 0; i < all.cycles.size(); ++i) {
      std::string path;
      for (const size_t lock : all.cycles[i]) {
        told[lock] = true;
        path += fmt::format("{}{} spins on {}", path.empty() ? "" : ", probably held by ",
                            spin_cpu(all.locks[lock].waiters.front()), spin_title(all.locks[lock]));
      }
      path +=
          fmt::format(", probably held by {}", spin_cpu(all.locks[all.cycles[i].front()].waiters.front()));
      found_.push_back({"KD0010",
                        "spinlock_cycle",
                        "critical",
                        0.9,
                        fmt::format("{} CPUs wait for each other: {}", all.cycles[i].size(), path),
                        {fmt::format("/locks/spinning/cycles/{}", i)},
                        "none of them can go on; compare the order in which their stacks take the locks"});
    }
    // At any moment a CPU may wait for another one for microseconds: it matters where the crash is about CPUs
    // that are stuck.
    const std::string crash = report_.crash ? report_.crash->crash_class.name : "";
    const bool stuck =
        crash == "soft_lockup" || crash == "hard_lockup" || crash == "rcu_stall" || crash == "watchdog_nmi";
    for (size_t i = 0; i < all.locks.size(); ++i) {
      const SpinLock& lock = all.locks[i];
      if (told[i]) continue;
      std::string title = lock.waiters.size() == 1
                              ? fmt::format("{} spins on {}", spin_cpu(lock.waiters[0]), spin_title(lock))
                              : fmt::format("{} CPUs spin on {}", lock.waiters.size(), spin_title(lock));
      if (lock.waiters.size() == 1 && !lock.waiters[0].function.empty())
        title += " in " + lock.waiters[0].function;
      std::string_view hint = "its state says that it is taken, not by whom";
      double confidence = 0.8;
      if (!lock.holders.empty()) {
        const SpinHolder& holder = lock.holders.front();
        if (holder.evidence == HolderEvidence::itself) {
          title += ", which it probably has already";
          hint = "no other CPU has it: taken twice, or never let go; look at the whole stack of this CPU";
          confidence = 0.7;
        } else {
          title += ", probably held by " + spin_cpu(holder.by);
          if (!holder.by.function.empty()) title += " in " + holder.by.function;
          hint = "look at the stack of that CPU: bt -a";
          confidence = holder.evidence == HolderEvidence::address ? 0.9 : 0.7;
        }
      }
      found_.push_back({"KD0011",
                        "spinlock_wait",
                        stuck ? "critical" : "info",
                        confidence,
                        title,
                        {fmt::format("/locks/spinning/items/{}", i)},
                        std::string(hint)});
    }
  }

  void blocked(const TaskStacks& blocked) {
    for (size_t i = 0; i < blocked.stacks.size(); ++i) {
      const TaskStack& stack = blocked.stacks[i];
      const uint64_t longest = stack.owners.front().since_run_ns.value_or(0);
      if (longest < long_wait) continue;
      const std::string longest_one =
          fmt::format("{}, for {}", who(stack.owners.front().task), seconds(longest));
      found_.push_back({"KD0004",
                        "blocked_tasks",
                        longest >= hung ? "warning" : "info",
                        0.9,
                        stack.owners.size() == 1
                            ? "A task is uninterruptible: " + longest_one
                            : fmt::format("{} tasks are uninterruptible with the same stack, the longest, {}",
                                          stack.owners.size(), longest_one),
                        {fmt::format("/blocked/{}", i)},
                        ""});
    }
  }

  void silent_cpus(const Crash& crash) {
    for (size_t i = 0; i < crash.cpus.size(); ++i) {
      if (crash.cpus[i].answered) continue;
      found_.push_back(
          {"KD0005",
           "silent_cpu",
           "critical",
           0.8,
           fmt::format("CPU {} was online and left no registers: it did not answer when it was stopped",
                       crash.cpus[i].cpu ? fmt::format("{}", *crash.cpus[i].cpu) : "?"),
           {fmt::format("/crash/cpus/{}", i)},
           "it was stuck with interrupts off, or in firmware"});
    }
  }

  const Report& report_;
  std::vector<Finding> found_;
};

}  // namespace

std::vector<Finding> find_problems(const Report& report) {
  return Finder(report).run();
}

}  // namespace kdk
