// Who waits for whom, as JSON (schemas/analyze-common.schema.json, locks and task_stack).
#include <nlohmann/json.hpp>

#include "analyze/render/json_parts.h"
#include "analyze/render/task_answers.h"
#include "analyze/render/waits.h"

namespace kdk {

using nlohmann::ordered_json;

namespace json {
namespace {

ordered_json task(const LockListing& listing, size_t index) {
  return stack_owner({listing.processes.list.tasks[index], listing.processes.facts[index].since_run_ns});
}

ordered_json lock(const LockListing& listing, const Lock& lock) {
  ordered_json waiters = ordered_json::array();
  for (const LockWaiter& waiter : lock.waiters) {
    waiters.push_back({{"task", task(listing, waiter.task)},
                       {"address", hex(waiter.address)},
                       {"write", waiter.write ? ordered_json(*waiter.write) : ordered_json(nullptr)},
                       {"function", text(waiter.function)}});
  }
  ordered_json out;
  out["address"] = hex(lock.address);
  out["kind"] = to_string(lock.kind);
  out["name"] = text(lock.name);
  out["owner"] = lock.owner ? task(listing, *lock.owner) : ordered_json(nullptr);
  out["owner_address"] = lock.owner_address != 0 ? hex(lock.owner_address) : ordered_json(nullptr);
  out["by_readers"] = lock.by_readers;
  out["waiters"] = std::move(waiters);
  return out;
}

ordered_json chain(const LockListing& listing, const LockChain& chain) {
  ordered_json steps = ordered_json::array();
  for (const LockChain::Step& step : chain.steps) {
    steps.push_back(
        {{"task", task(listing, step.task)}, {"lock", hex(listing.table.locks[step.lock].address)}});
  }
  return {{"steps", std::move(steps)},
          {"holder", chain.holder ? task(listing, *chain.holder) : ordered_json(nullptr)}};
}

ordered_json chains(const LockListing& listing, const std::vector<LockChain>& all) {
  ordered_json out = ordered_json::array();
  for (const LockChain& one : all) out.push_back(chain(listing, one));
  return out;
}

ordered_json spin_cpu(const SpinCpu& cpu) {
  return {{"cpu", cpu.cpu ? ordered_json(*cpu.cpu) : ordered_json(nullptr)},
          {"comm", text(cpu.comm)},
          {"pid", cpu.pid ? ordered_json(*cpu.pid) : ordered_json(nullptr)},
          {"function", text(cpu.function)}};
}

ordered_json spin_lock(const SpinLock& lock) {
  ordered_json waiters = ordered_json::array(), holders = ordered_json::array();
  for (const SpinCpu& waiter : lock.waiters) waiters.push_back(spin_cpu(waiter));
  for (const SpinHolder& holder : lock.holders) {
    holders.push_back(spin_cpu(holder.by));
    holders.back()["evidence"] = to_string(holder.evidence);
  }
  return {{"address", hex(lock.address)},  {"kind", lock.reader_writer ? "rwlock" : "spinlock"},
          {"name", text(lock.name)},       {"value", lock.value},
          {"waiters", std::move(waiters)}, {"probable_holders", std::move(holders)}};
}

ordered_json spinning(const SpinLocks& all) {
  ordered_json items = ordered_json::array(), cycles = ordered_json::array();
  for (const SpinLock& lock : all.locks) items.push_back(spin_lock(lock));
  for (const std::vector<size_t>& cycle : all.cycles) {
    cycles.push_back(ordered_json::array());
    for (const size_t lock : cycle) cycles.back().push_back(hex(all.locks[lock].address));
  }
  return {{"items", std::move(items)}, {"cycles", std::move(cycles)}};
}

}  // namespace

ordered_json locks(const LockListing& listing) {
  ordered_json items = ordered_json::array();
  for (const Lock& one : listing.table.locks) items.push_back(lock(listing, one));
  ordered_json out;
  out["items"] = std::move(items);
  out["cycles"] = chains(listing, listing.table.cycles);
  out["chains"] = chains(listing, listing.table.chains);
  out["spinning"] = spinning(listing.spinning);
  return out;
}

ordered_json blocked(const TaskStacks& blocked) {
  ordered_json out = ordered_json::array();
  for (const TaskStack& stack : blocked.stacks) out.push_back(task_stack(stack, blocked.arch));
  return out;
}

ordered_json findings(const std::vector<Finding>& findings) {
  ordered_json out = ordered_json::array();
  for (const Finding& finding : findings) {
    out.push_back({{"id", finding.id},
                   {"name", finding.name},
                   {"severity", finding.severity},
                   {"confidence", finding.confidence},
                   {"title", finding.title},
                   {"evidence", finding.evidence},
                   {"hint", text(finding.hint)}});
  }
  return out;
}

}  // namespace json

std::string to_json_text(const Answer<LockListing>& answer) {
  ordered_json out = json::envelope("analyze-locks", answer.input, answer.limits);
  out["evidence"] = json::evidence(answer.evidence);
  const bool known = answer.facts.table.why_not.empty();
  out["locks"] = known ? json::locks(answer.facts) : ordered_json(nullptr);
  out["limits"] = json::limits(answer.limits);
  return json::dump(out);
}

}  // namespace kdk
