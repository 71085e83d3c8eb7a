// Who waits for whom, as text.
#include <fmt/format.h>

#include <algorithm>

#include "analyze/render/task_answers.h"
#include "analyze/render/text_parts.h"
#include "analyze/render/waits.h"

namespace kdk {
namespace {

constexpr size_t max_groups = 12, max_chains = 12;  // in the report's text; JSON has all

std::string task_name(const LockListing& listing, size_t index) {
  const Task& task = listing.processes.list.tasks[index];
  return fmt::format("{} {}", task.comm.empty() ? "?" : task.comm,
                     task.pid ? fmt::format("{}", *task.pid) : "?");
}

std::string lock_name(const Lock& lock) {
  std::string out = fmt::format("{} {:016x}", to_string(lock.kind), lock.address);
  return lock.name.empty() ? out : out + " " + lock.name;
}

std::string holder(const LockListing& listing, const Lock& lock) {
  if (lock.owner) {
    const Task& task = listing.processes.list.tasks[*lock.owner];
    return fmt::format("{}{}, {}", lock.by_readers ? "readers, the last " : "",
                       task_name(listing, *lock.owner), task_state_name(task.state));
  }
  if (lock.by_readers) return "readers";
  if (lock.owner_address != 0) return fmt::format("{:#018x}, which is no task", lock.owner_address);
  return lock.kind == LockKind::semaphore ? "not recorded" : "nobody: it is being handed over";
}

std::string chain_text(const LockListing& listing, const LockChain& chain) {
  std::string out;
  for (const LockChain::Step& step : chain.steps) {
    if (!out.empty()) out += ", held by ";
    out += fmt::format("{} waits for {}", task_name(listing, step.task),
                       lock_name(listing.table.locks[step.lock]));
  }
  if (chain.cycle) return out + ", held by " + task_name(listing, chain.steps.front().task);
  return out + ", held by " + holder(listing, listing.table.locks[chain.steps.back().lock]);
}

std::string lock_rows(const LockListing& listing, const Lock& lock) {
  std::string out = fmt::format("{}\n  held by  {}\n", lock_name(lock), holder(listing, lock));
  for (const LockWaiter& waiter : lock.waiters) {
    const auto& facts = listing.processes.facts[waiter.task];
    std::string line = fmt::format("  waits    {}", task_name(listing, waiter.task));
    if (waiter.write) line += *waiter.write ? ", to write" : ", to read";
    if (facts.since_run_ns) line += fmt::format(", {}", text::duration(*facts.since_run_ns));
    if (!waiter.function.empty()) line += ", in " + waiter.function;
    out += line + '\n';
  }
  return out;
}

std::string spin_cpu(const SpinCpu& cpu) {
  std::string out =
      fmt::format("CPU {} ({} {})", cpu.cpu ? fmt::format("{}", *cpu.cpu) : "?",
                  cpu.comm.empty() ? "?" : cpu.comm, cpu.pid ? fmt::format("{}", *cpu.pid) : "?");
  return cpu.function.empty() ? out : out + " in " + cpu.function;
}

std::string spin_rows(const SpinLock& lock) {
  std::string out = fmt::format("{} {:016x}{}{}\n", lock.reader_writer ? "rwlock" : "spinlock", lock.address,
                                lock.name.empty() ? "" : " ", lock.name);
  for (const SpinHolder& holder : lock.holders)
    out += fmt::format("  held by  {}, probably: {}\n", spin_cpu(holder.by),
                       text::holder_evidence(holder.evidence));
  if (lock.holders.empty()) out += "  held by  unknown\n";
  for (const SpinCpu& waiter : lock.waiters) out += fmt::format("  spins    {}\n", spin_cpu(waiter));
  return out;
}

}  // namespace

namespace text {

std::string_view holder_evidence(HolderEvidence evidence) {
  switch (evidence) {
    case HolderEvidence::address:
      return "its stack has the lock's address";
    case HolderEvidence::object:
      return "its stack has the address of the object that the lock is in";
    case HolderEvidence::code:
      return "a function on its stack uses the lock";
    case HolderEvidence::itself:
      return "no other CPU has it";
  }
  return "";
}

std::string findings(const std::vector<Finding>& findings) {
  if (findings.empty()) return {};
  std::string out = heading("FINDINGS", "most severe first");
  for (const Finding& finding : findings) {
    out += wrap(
        fmt::format("  {} {} ", finding.severity == "critical" ? "!" : "-", finding.id),
        fmt::format("{}{} [{}, {:.0f} %]", finding.title, finding.hint.empty() ? "" : "; " + finding.hint,
                    finding.severity, finding.confidence * 100),
        "           ");
  }
  return out;
}

std::string owners(const TaskStack& stack) {
  std::string out = fmt::format("{} task{}:", stack.owners.size(), stack.owners.size() == 1 ? "" : "s");
  for (const StackOwner& owner : stack.owners) {
    out += fmt::format("{} {} {} {}", &owner == &stack.owners.front() ? "" : ",", owner.task.state,
                       owner.task.pid ? fmt::format("{}", *owner.task.pid) : "?", owner.task.comm);
    if (owner.since_run_ns) out += fmt::format(" ({})", duration(*owner.since_run_ns));
  }
  return out;
}

std::string blocked(const TaskStacks& blocked) {
  if (blocked.stacks.empty()) return {};
  size_t count = 0;
  for (const TaskStack& stack : blocked.stacks) count += stack.owners.size();
  std::string out = heading("BLOCKED TASKS",
                            fmt::format("{} in state D, {} different stack{}; in brackets, since it ran last",
                                        count, blocked.stacks.size(), blocked.stacks.size() == 1 ? "" : "s"));
  for (size_t i = 0; i < std::min(blocked.stacks.size(), max_groups); ++i) {
    if (i > 0) out += '\n';
    out += wrap("", owners(blocked.stacks[i]), "  ") + task_stack_text(blocked.stacks[i], false);
  }
  if (blocked.stacks.size() > max_groups)
    out += fmt::format("  ... {} more stacks: bt --state D --group shows all\n",
                       blocked.stacks.size() - max_groups);
  return out;
}

std::string locks(const LockListing& listing) {
  const LockTable& table = listing.table;
  const std::vector<SpinLock>& spinning = listing.spinning.locks;
  if (table.locks.empty() && spinning.empty()) return {};
  std::string out =
      heading("LOCKS", fmt::format("{} that somebody waits for", table.locks.size() + spinning.size()));
  for (const SpinLock& lock : spinning) out += spin_rows(lock);
  for (const LockChain& cycle : table.cycles)
    out += wrap("  CYCLE  ", chain_text(listing, cycle), "         ");
  for (size_t i = 0; i < std::min(table.chains.size(), max_chains); ++i)
    out += wrap("  ", chain_text(listing, table.chains[i]), "    ");
  if (table.chains.size() > max_chains)
    out += fmt::format("  ... {} more: the command locks shows all\n", table.chains.size() - max_chains);
  return out;
}

}  // namespace text

std::string to_text(const Answer<LockListing>& answer) {
  const LockListing& listing = answer.facts;
  const LockTable& table = listing.table;
  if (!table.why_not.empty()) return {};
  std::string out;
  for (const LockChain& cycle : table.cycles)
    out += text::wrap("CYCLE  ", chain_text(listing, cycle), "       ") + '\n';
  for (const SpinLock& lock : listing.spinning.locks) out += spin_rows(lock) + '\n';
  for (const Lock& lock : table.locks) out += lock_rows(listing, lock) + '\n';
  return out.empty() ? "nobody waits for a mutex, rwsem, semaphore or spinlock\n"
                     : out.substr(0, out.size() - 1);
}

}  // namespace kdk
