#include "analyze/inspect/workqueues.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "analyze/inspect/object.h"
#include "analyze/inspect/types/walks.h"
#include "core/base/error.h"
#include "core/kernel/percpu.h"

namespace kdk {
namespace {

constexpr uint64_t default_threshold_seconds = 30;  // wq_watchdog_thresh
constexpr uint64_t second = 1'000'000'000;
constexpr uint64_t most_buckets = 1024;
constexpr size_t most_works = size_t{1} << 16;  // of one list
// enum work_bits: a queued work's data is its pool_workqueue and flags; WORK_STRUCT_PWQ says that it is.
constexpr uint64_t data_is_queue = 4, queue_flags = 0xff;

class Reader {
 public:
  Reader(TypedMemory& types, WorkQueues& out, Problems& problems)
      : objects_(types), kernel_(types.kernel()), out_(out), problems_(problems) {}

  void run() {
    read_thresholds();
    if (const auto cursor = kernel_.symbol("mayday_cursor_func")) cursor_ = cursor->value;
    const VirtAddr idr = objects_.require_symbol("worker_pool_idr");
    const auto root = objects_.at("idr", idr).place("idr_rt");
    if (!root) throw Error(Errc::missing, "no layout for idr.idr_rt");
    const Walk pools = walk_xarray(objects_.types(), *root);
    if (!pools.problem.empty()) problems_.add("the worker pools: " + pools.problem);
    for (const WalkItem& item : pools.items) pool(objects_.at("worker_pool", {item.value}));
    std::ranges::stable_sort(out_.pools, {}, &WorkerPool::id);
    if (const auto head = kernel_.symbol("workqueues")) {
      for (const Object& queue :
           objects_.list(*head, "workqueue_struct", "list", "the list of workqueues", problems_))
        workqueue(queue);
    } else {
      problems_.add("the workqueues are not listed: the symbol workqueues is not known");
    }
  }

  void name_tasks(const KernelLog& log) {
    const auto known = read_task_set(kernel_, {tasks_.begin(), tasks_.end()}, log);
    for (WorkerPool& pool : out_.pools) {
      for (BusyWorker& worker : pool.busy) name(worker.task, known);
    }
    for (WorkQueue& queue : out_.queues) name(queue.rescuer, known);
  }

 private:
  static void name(std::optional<StackOwner>& task, const std::map<uint64_t, StackOwner>& known) {
    if (task) task = known.at(task->task.address);
  }
  std::optional<StackOwner> task(const Object& worker) {
    const auto at = worker.pointer("task");
    if (!at) return std::nullopt;
    tasks_.insert(at->value);
    StackOwner owner;
    owner.task.address = at->value;
    return owner;
  }

  void read_thresholds() {
    const auto at = kernel_.symbol("wq_watchdog_thresh");
    const auto seconds = at ? kernel_.memory().u64(*at) : std::nullopt;
    if (seconds && *seconds != 0 && *seconds < 100'000) threshold_ns_ = *seconds * second;
  }

  QueuedWork work(const Object& work) {
    QueuedWork out;
    out.address = work.address();
    out.function = objects_.symbol_text(work.number("func").value_or(0));
    const uint64_t data = work.number("data").value_or(0);
    if ((data & data_is_queue) != 0)
      out.workqueue = queue_name(objects_.at("pool_workqueue", {data & ~queue_flags}));
    return out;
  }
  // Of struct pool_workqueue.
  static std::string queue_name(const Object& link) {
    const auto queue = link.target("wq");
    return queue ? queue->text("name") : std::string();
  }

  void pool(const Object& pool);
  BusyWorker worker(const Object& worker);
  void workqueue(const Object& queue);

  Objects objects_;
  Kernel& kernel_;
  WorkQueues& out_;
  Problems& problems_;
  uint64_t threshold_ns_ = default_threshold_seconds * second;
  uint64_t cursor_ = 0;
  std::set<uint64_t> tasks_;
};

BusyWorker Reader::worker(const Object& worker) {
  BusyWorker out;
  out.address = worker.address();
  out.task = task(worker);
  out.rescuer = worker.pointer("rescue_wq").has_value();
  // The work may be freed by its own function: what is known of it is in the worker.
  if (const auto current = worker.pointer("current_work")) {
    out.work.address = current->value;
    out.work.function = objects_.symbol_text(worker.number("current_func").value_or(0));
    if (const auto link = worker.target("current_pwq")) out.work.workqueue = queue_name(*link);
  }
  if (const auto head = worker.place("scheduled"))
    out.scheduled = objects_
                        .list(*head, "work_struct", "entry",
                              fmt::format("the works of the worker at {:#x}", worker.address()), problems_)
                        .size();
  return out;
}

void Reader::pool(const Object& pool) {
  WorkerPool out;
  out.address = pool.address();
  out.id = pool.signed_number("id").value_or(-1);
  const std::string what = fmt::format("pool {}", out.id);
  if (const auto cpu = pool.signed_number("cpu"); cpu && *cpu >= 0) out.cpu = static_cast<unsigned>(*cpu);
  if (const auto attributes = pool.target("attrs")) out.nice = attributes->signed_number("nice");
  // Linux commit 4cb1ef64609f ("workqueue: Implement BH workqueues to eventually replace tasklets") (in
  // v6.9): POOL_BH.
  if (const auto bit = kernel_.layout().enumerator("POOL_BH"))
    out.bh = (pool.number("flags").value_or(0) & static_cast<uint64_t>(*bit)) != 0;
  out.workers = pool.signed_number("nr_workers");
  out.idle_workers = pool.signed_number("nr_idle");
  const uint64_t buckets = std::min(pool.count("busy_hash"), most_buckets);
  for (uint64_t i = 0; i < buckets; ++i) {
    const auto bucket = pool.element("busy_hash", i);
    if (!bucket) continue;
    for (const Object& busy :
         objects_.hash_list(bucket->at(), "worker", "hentry", "the busy workers of " + what, problems_))
      out.busy.push_back(worker(busy));
  }
  if (const auto head = pool.place("worklist")) {
    for (const Object& pending :
         objects_.list(*head, "work_struct", "entry", "the works of " + what, problems_)) {
      if (out.pending.size() == most_works) {
        problems_.add(fmt::format("{}: more than {} works", what, most_works));
        break;
      }
      // A rescuer that goes through the list leaves a mark in it (pool_workqueue.mayday_cursor).
      const uint64_t function = pending.number("func").value_or(0);
      if (function != 0 && function != cursor_) out.pending.push_back(work(pending));
    }
  }
  // CONFIG_WQ_WATCHDOG. Linux commit 82607adcf9cd ("workqueue: implement lockup detector") (in v4.5).
  const auto forward = pool.number("watchdog_ts");
  if (forward && out_.clock.jiffies && !out.pending.empty()) {
    out.idle_since_ns = out_.clock.jiffies_ns(static_cast<int64_t>(*out_.clock.jiffies - *forward));
    out.stalled = out.idle_since_ns && *out.idle_since_ns > static_cast<int64_t>(threshold_ns_);
  }
  out_.pools.push_back(std::move(out));
}

void Reader::workqueue(const Object& queue) {
  WorkQueue out;
  out.address = queue.address();
  out.name = queue.text("name");
  out.flags = queue.number("flags");
  // Linux commit a045a272d887 ("workqueue: Move pwq->max_active to wq->max_active") (in v6.9).
  out.max_active = queue.signed_number("max_active");
  if (const auto rescuer = queue.target("rescuer")) out.rescuer = task(*rescuer);
  const auto head = queue.place("pwqs");
  if (head) {
    const std::string what = "the pools of the workqueue " + out.name;
    for (const Object& link : objects_.list(*head, "pool_workqueue", "pwqs_node", what, problems_)) {
      out.active += std::max<int64_t>(link.signed_number("nr_active").value_or(0), 0);
      if (!out.max_active) out.max_active = link.signed_number("max_active");
      // Linux commit f97a4a1a3f87 ("workqueue: Rename "delayed" (delayed by active management) to
      // "inactive"") (in v5.15).
      const auto held =
          link.has("inactive_works") ? link.place("inactive_works") : link.place("delayed_works");
      if (!held) continue;
      for (const Object& waiting :
           objects_.list(*held, "work_struct", "entry", "the inactive works of " + out.name, problems_)) {
        if (out.inactive.size() < most_works && waiting.number("func").value_or(0) != 0)
          out.inactive.push_back(work(waiting));
      }
    }
  }
  out_.queues.push_back(std::move(out));
}

}  // namespace

WorkQueues read_workqueues(TypedMemory& types, const KernelLog& log) {
  WorkQueues out;
  Problems problems;
  out.clock = read_kernel_clock(types.kernel());
  Reader reader(types, out, problems);
  reader.run();
  reader.name_tasks(log);
  out.problems = problems.take();
  return out;
}

}  // namespace kdk
