#include "analyze/inspect/run_queues.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "analyze/inspect/object.h"
#include "core/base/error.h"
#include "core/kernel/percpu.h"

namespace kdk {
namespace {

constexpr unsigned most_depth = 64;  // of nested task groups
constexpr size_t most_queued = size_t{1} << 16;

// struct cgroup nests without limit; a cycle among damaged queues is noticed by the addresses seen.
class QueueReader {
 public:
  QueueReader(Objects& objects, RunQueue& out, Problems& problems)
      : objects_(objects), out_(out), problems_(problems) {}

  void read(const Object& rq) {
    out_.address = rq.address();
    out_.running = rq.number("nr_running");
    out_.clock_ns = rq.number("clock");
    out_.iowait = rq.number("nr_iowait");
    current_ = rq.number("curr").value_or(0);
    out_.idle = current_ != 0 && rq.number("idle") == current_;
    out_.throttled = rq.number("rt.rt_throttled").value_or(0) != 0;
    stop(rq);
    deadline(rq);
    if (const auto rt = rq.member("rt")) realtime(*rt, 0);
    if (const auto cfs = rq.member("cfs")) fair(*cfs, 0);
    // Linux commit f0e1a0643a59 ("sched_ext: Implement BPF extensible scheduler class") (in v6.12).
    if (const auto head = rq.place("scx.runnable_list")) extension(*head);
  }

  uint64_t current() const { return current_; }
  std::vector<QueuedTask> take() { return std::move(queued_); }
  std::vector<uint64_t> addresses() const {
    std::vector<uint64_t> all;
    for (const QueuedTask& task : queued_) all.push_back(task.owner.task.address);
    return all;
  }

 private:
  std::string what(std::string_view queue) const { return fmt::format("the {} of CPU {}", queue, out_.cpu); }

  // False for what runs, which is not waiting, and for what was added before.
  bool add(QueuedTask task, uint64_t address) {
    if (address == current_ || !seen_.insert(address).second) return false;
    if (queued_.size() == most_queued) {
      problems_.add(fmt::format("CPU {}: more than {} tasks", out_.cpu, most_queued));
      return false;
    }
    task.owner.task.address = address;
    queued_.push_back(std::move(task));
    return true;
  }

  // The CPU's own stopper, above all others (migration, hotplug): it is on no list.
  void stop(const Object& rq) {
    const auto stopper = rq.target("stop");
    if (!stopper || stopper->number("on_rq").value_or(0) != 1) return;
    QueuedTask task;
    task.scheduler = SchedulerClass::stop;
    add(std::move(task), stopper->address());
  }

  void deadline(const Object& rq) {
    const auto root = rq.place("dl.root.rb_root");
    if (!root) return;
    for (const Object& entity :
         objects_.tree(*root, "sched_dl_entity", "rb_node", what("deadline tasks"), problems_)) {
      // Linux commit 63ba8422f876 ("sched/deadline: Introduce deadline servers") (in v6.8): some entities
      // are no tasks, but run those of another class.
      if (entity.number("dl_server").value_or(0) != 0) continue;
      QueuedTask task;
      task.scheduler = SchedulerClass::deadline;
      task.deadline_ns = entity.number("deadline");
      add(std::move(task), objects_.container("task_struct", "dl", entity.at()).address());
    }
  }

  void realtime(const Object& rt, unsigned depth) {
    if (!enter(rt, depth)) return;
    const uint64_t lists = std::min<uint64_t>(rt.count("active.queue"), 128);
    for (uint64_t priority = 0; priority < lists; ++priority) {
      const auto head = rt.element("active.queue", priority);
      if (!head) continue;
      for (const Object& entity :
           objects_.list(head->at(), "sched_rt_entity", "run_list", what("real-time tasks"), problems_)) {
        // CONFIG_RT_GROUP_SCHED: an entity may stand for a group.
        if (const auto group = entity.target("my_q")) {
          realtime(*group, depth + 1);
          continue;
        }
        QueuedTask task;
        task.scheduler = SchedulerClass::realtime;
        task.priority = static_cast<int32_t>(priority);
        task.depth = depth;
        add(std::move(task), objects_.container("task_struct", "rt", entity.at()).address());
      }
    }
  }

  void fair(const Object& cfs, unsigned depth) {
    if (!enter(cfs, depth)) return;
    // Linux commit bfb068892d30 ("sched/fair: replace cfs_rq->rb_leftmost") (in v4.14).
    const auto root =
        cfs.has("tasks_timeline.rb_root") ? cfs.place("tasks_timeline.rb_root") : cfs.place("tasks_timeline");
    if (!root) return;
    std::vector<Object> entities =
        objects_.tree(*root, "sched_entity", "run_node", what("fair tasks"), problems_);
    // What runs is in no tree, but a group that runs has others that wait.
    if (const auto running = cfs.target("curr")) entities.insert(entities.begin(), *running);
    for (const Object& entity : entities) {
      if (const auto group = entity.target("my_q")) {
        fair(*group, depth + 1);
        continue;
      }
      QueuedTask task;
      task.vruntime_ns = entity.number("vruntime");
      // Linux commit 147f3efaa241 ("sched/fair: Implement an EEVDF-like scheduling policy") (in v6.6).
      task.deadline_ns = entity.number("deadline");
      // Linux commit 152e11f6df29 ("sched/fair: Implement delayed dequeue") (in v6.12).
      task.delayed = entity.number("sched_delayed").value_or(0) != 0;
      task.depth = depth;
      add(std::move(task), objects_.container("task_struct", "se", entity.at()).address());
    }
  }

  void extension(VirtAddr head) {
    for (const Object& task : objects_.list(head, "task_struct", "scx.runnable_node",
                                            what("tasks of the extensible class"), problems_)) {
      QueuedTask queued;
      queued.scheduler = SchedulerClass::extension;
      add(std::move(queued), task.address());
    }
  }

  bool enter(const Object& queue, unsigned depth) {
    if (depth <= most_depth && queues_.insert(queue.address()).second) return true;
    problems_.add(
        fmt::format("the groups of CPU {} lead to the queue at {:#x} twice", out_.cpu, queue.address()));
    return false;
  }

  Objects& objects_;
  RunQueue& out_;
  Problems& problems_;
  uint64_t current_ = 0;
  std::vector<QueuedTask> queued_;
  std::set<uint64_t> seen_, queues_;
};

}  // namespace

std::string_view to_string(SchedulerClass which) {
  switch (which) {
    case SchedulerClass::stop:
      return "stop";
    case SchedulerClass::deadline:
      return "deadline";
    case SchedulerClass::realtime:
      return "realtime";
    case SchedulerClass::fair:
      return "fair";
    case SchedulerClass::extension:
      return "ext";
  }
  return "fair";
}

RunQueues read_run_queues(TypedMemory& types, const KernelLog& log) {
  Objects objects(types);
  Kernel& kernel = types.kernel();
  RunQueues out;
  Problems problems;
  objects.require_symbol("runqueues");
  const auto online = cpu_mask(kernel, "__cpu_online_mask");
  for (const unsigned cpu : objects.cpus()) {
    RunQueue queue;
    queue.cpu = cpu;
    // After a panic only the CPU that it was on is still marked (arm64).
    queue.online = !online || std::ranges::find(*online, cpu) != online->end();
    const auto rq = objects.per_cpu("rq", "runqueues", cpu);
    if (!rq) {
      problems.add(fmt::format("the per-CPU memory of CPU {} is not known", cpu));
      continue;
    }
    QueueReader reader(objects, queue, problems);
    reader.read(*rq);
    std::vector<uint64_t> addresses = reader.addresses();
    addresses.push_back(reader.current());
    const auto tasks = read_task_set(kernel, addresses, log);
    queue.queued = reader.take();
    for (QueuedTask& task : queue.queued) {
      task.owner = tasks.at(task.owner.task.address);
      if (!task.owner.task.pid)
        problems.add(fmt::format("CPU {}: the task at {:#x} cannot be read", cpu, task.owner.task.address));
    }
    if (reader.current() != 0) queue.current = tasks.at(reader.current());
    out.cpus.push_back(std::move(queue));
  }
  out.clock = crash_clock(kernel, log);
  for (RunQueue& queue : out.cpus) {
    for (QueuedTask& task : queue.queued) {
      // CONFIG_SCHED_INFO: on the clock of the queue, 0 while it does not wait.
      const auto since =
          objects.at("task_struct", {task.owner.task.address}).number("sched_info.last_queued");
      if (out.clock && since.value_or(0) != 0 && *since <= out.clock->ns)
        task.queued_ns = out.clock->ns - *since;
    }
  }
  out.problems = problems.take();
  return out;
}

}  // namespace kdk
