// Facts per task, each column looked up once and read where the kernel has it.
// Source: include/linux/sched.h, include/linux/mm_types.h, kernel/sched/sched.h.
#include "analyze/inspect/processes.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>

#include "core/kernel/percpu.h"

namespace kdk {
namespace {

constexpr uint64_t max_counters = 16;              // NR_MM_COUNTERS is 4
constexpr uint64_t max_pages = uint64_t{1} << 44;  // of a process: more is a counter that was overwritten

// enum of include/linux/mm_types_task.h; the same since Linux commit eca56ff906bd ("mm, shmem: add internal
// shmem resident memory accounting") (in v4.5).
struct MemoryCounters {
  std::array<int64_t, max_counters> pages{};
  bool known = false;
};

class Reader {
 public:
  Reader(Kernel& kernel, ProcessTable& table)
      : kernel_(kernel), memory_(kernel.memory()), layout_(kernel.layout()), table_(table) {
    find_columns();
  }

  void run() {
    for (const Task& task : table_.list.tasks) table_.facts.push_back(facts(task));
    add_cached_counts();
    for (ProcessFacts& facts : table_.facts) set_memory(facts);
  }

 private:
  void find_columns();
  ProcessFacts facts(const Task& task);
  MemoryCounters read_counters(VirtAddr mm);
  void add_cached_counts();
  void set_memory(ProcessFacts& facts);

  std::optional<uint64_t> u64(VirtAddr task, std::optional<uint64_t> offset) {
    return offset ? memory_.u64(task + *offset) : std::nullopt;
  }
  std::optional<int32_t> s32(VirtAddr task, std::optional<uint64_t> offset) {
    const auto value = offset ? memory_.u32(task + *offset) : std::nullopt;
    return value ? std::optional(static_cast<int32_t>(*value)) : std::nullopt;
  }
  void absent(std::string_view what, std::string_view member) {
    table_.missing.push_back(fmt::format("{}: no layout for {}", what, member));
  }

  Kernel& kernel_;
  KernelMemory& memory_;
  const Layout& layout_;
  ProcessTable& table_;

  std::optional<uint64_t> mm_, total_vm_, last_run_, start_, runtime_, prio_, static_prio_, policy_, nvcsw_,
      nivcsw_;
  // mm_struct.rss_stat
  std::optional<uint64_t> rss_, counter_stride_, counter_count_, counter_cpus_;
  std::optional<Layout::Field> cached_;  // task_struct.rss_stat.count
  uint64_t counters_ = 0;
  uint64_t file_ = 0, anon_ = 1, swap_ = 2, shmem_ = 3;
  std::vector<uint64_t> cpu_offsets_;
  std::map<uint64_t, std::pair<MemoryCounters, std::optional<uint64_t>>> mms_;  // counters and total_vm
};

void Reader::find_columns() {
  mm_ = layout_.offset("task_struct", "mm");
  total_vm_ = layout_.offset("mm_struct", "total_vm");
  // CONFIG_SCHED_INFO: when it was last put on a CPU. Without it, when the fair class last counted its time.
  if ((last_run_ = layout_.offset("task_struct", "sched_info.last_arrival"))) {
    table_.last_run_source = "sched_info.last_arrival";
  } else if ((last_run_ = layout_.offset("task_struct", "se.exec_start"))) {
    table_.last_run_source = "se.exec_start";
  } else {
    absent("last run", "task_struct.sched_info.last_arrival and task_struct.se.exec_start");
  }
  // Linux commit cf25e24db61c ("time: Rename tsk->real_start_time to ->start_boottime") (in v5.5)
  if (auto start = layout_.first_field("task_struct", {"start_boottime", "real_start_time"}))
    start_ = start->offset;
  runtime_ = layout_.offset("task_struct", "se.sum_exec_runtime");
  prio_ = layout_.offset("task_struct", "prio");
  static_prio_ = layout_.offset("task_struct", "static_prio");
  policy_ = layout_.offset("task_struct", "policy");
  nvcsw_ = layout_.offset("task_struct", "nvcsw");
  nivcsw_ = layout_.offset("task_struct", "nivcsw");
  if (!mm_ || !total_vm_) absent("VSZ", "task_struct.mm and mm_struct.total_vm");

  auto index = [&](std::string_view name, uint64_t& value) {
    if (auto found = layout_.enumerator(name); found && *found >= 0 && *found < int64_t{max_counters})
      value = static_cast<uint64_t>(*found);
  };
  index("MM_FILEPAGES", file_);
  index("MM_ANONPAGES", anon_);
  index("MM_SWAPENTS", swap_);
  index("MM_SHMEMPAGES", shmem_);

  // Linux commit f1a7941243c1 ("mm: convert mm's rss stats into percpu_counter") (in v6.2): an array of
  // percpu_counter. Before, an array of longs, and each task kept what it had not added yet (task_rss_stat).
  if (auto longs = layout_.field("mm_struct", "rss_stat.count")) {
    rss_ = longs->offset;
    counters_ = layout_.array_length("mm_struct", "rss_stat.count").value_or(longs->size / 8);
    counter_stride_ = 8;
    counter_count_ = 0;
    cached_ = layout_.field("task_struct", "rss_stat.count");
  } else if (auto counters = layout_.offset("mm_struct", "rss_stat")) {
    rss_ = counters;
    counters_ = layout_.array_length("mm_struct", "rss_stat").value_or(0);
    counter_stride_ = layout_.size_of("percpu_counter");
    counter_count_ = layout_.offset("percpu_counter", "count");
    counter_cpus_ = layout_.offset("percpu_counter", "counters");  // absent without CONFIG_SMP
    for (unsigned cpu : cpu_mask(kernel_, "__cpu_possible_mask").value_or(std::vector<unsigned>{})) {
      if (auto offset = per_cpu_offset(kernel_, cpu)) cpu_offsets_.push_back(*offset);
    }
    if (counter_cpus_ && cpu_offsets_.empty())
      table_.missing.push_back(
          "RSS: without what the CPUs counted last, as their per-CPU memory is not known");
  }
  counters_ = std::min(counters_, max_counters);
  if (!mm_ || !rss_ || !counter_stride_ || !counter_count_ || counters_ == 0)
    absent("RSS", "task_struct.mm and mm_struct.rss_stat");
}

MemoryCounters Reader::read_counters(VirtAddr mm) {
  MemoryCounters out;
  if (!rss_ || !counter_stride_ || !counter_count_ || counters_ == 0) return out;
  for (uint64_t i = 0; i < counters_; ++i) {
    const VirtAddr counter = mm + *rss_ + i * *counter_stride_;
    const auto count = memory_.u64(counter + *counter_count_);
    if (!count) return {};
    uint64_t sum = *count;
    const auto cpus = counter_cpus_ ? memory_.pointer(counter + *counter_cpus_) : std::nullopt;
    for (uint64_t offset : cpu_offsets_) {
      if (!cpus || cpus->value == 0) break;
      const auto part = memory_.u32(*cpus + offset);  // s32
      sum += static_cast<uint64_t>(int64_t{static_cast<int32_t>(part.value_or(0))});
    }
    out.pages[i] = static_cast<int64_t>(sum);
  }
  out.known = true;
  return out;
}

ProcessFacts Reader::facts(const Task& task) {
  const VirtAddr at{task.address};
  ProcessFacts out;
  out.mm = u64(at, mm_);
  if (out.mm && *out.mm != 0 && !mms_.contains(*out.mm)) {
    const VirtAddr mm{*out.mm};
    mms_.emplace(*out.mm, std::pair(read_counters(mm), u64(mm, total_vm_)));
  }
  out.last_run_ns = u64(at, last_run_);
  if (out.last_run_ns == 0) out.last_run_ns.reset();  // it never ran, or the class does not count it
  if (task.on_cpu.value_or(false)) {
    out.since_run_ns = 0;
  } else if (out.last_run_ns && table_.clock) {
    // Clocks of two CPUs may differ by some microseconds.
    const uint64_t now = table_.clock->ns;
    if (now >= *out.last_run_ns)
      out.since_run_ns = now - *out.last_run_ns;
    else if (*out.last_run_ns - now < 10'000'000)
      out.since_run_ns = 0;
  }
  out.start_ns = u64(at, start_);
  out.runtime_ns = u64(at, runtime_);
  out.priority = s32(at, prio_);
  // include/linux/sched/prio.h: PRIO_TO_NICE().
  if (auto prio = s32(at, static_prio_); prio && *prio >= 100 && *prio < 140) out.nice = *prio - 120;
  // include/uapi/linux/sched.h. Linux commit f0e1a0643a59 ("sched_ext: Implement BPF extensible scheduler
  // class") (in v6.12) added the last.
  constexpr std::array<std::string_view, 8> policies = {"other", "fifo", "rr",       "batch",
                                                        "",      "idle", "deadline", "ext"};
  if (auto policy = s32(at, policy_); policy && *policy >= 0 && *policy < int32_t{policies.size()})
    out.policy = policies[static_cast<size_t>(*policy)];
  out.voluntary_switches = u64(at, nvcsw_);
  out.involuntary_switches = u64(at, nivcsw_);
  return out;
}

void Reader::add_cached_counts() {
  if (!cached_) return;
  for (size_t i = 0; i < table_.facts.size(); ++i) {
    const auto mm = table_.facts[i].mm;
    const auto found = mm ? mms_.find(*mm) : mms_.end();
    if (found == mms_.end() || !found->second.first.known) continue;
    for (uint64_t n = 0; n < counters_; ++n) {
      const auto part = memory_.u32(VirtAddr{table_.list.tasks[i].address} + cached_->offset + n * 4);
      found->second.first.pages[n] += static_cast<int32_t>(part.value_or(0));
    }
  }
}

void Reader::set_memory(ProcessFacts& facts) {
  const auto found = facts.mm ? mms_.find(*facts.mm) : mms_.end();
  if (found == mms_.end()) return;
  const uint64_t page = memory_.page_size();
  const auto& [counters, total_vm] = found->second;
  // The kernel's own rule for what a counter may show: not below zero (get_mm_counter()).
  auto bytes = [&](int64_t pages) -> std::optional<uint64_t> {
    const auto count = static_cast<uint64_t>(std::max<int64_t>(pages, 0));
    return count < max_pages ? std::optional(count * page) : std::nullopt;
  };
  if (counters.known) {
    std::optional<uint64_t> rss = 0;
    for (uint64_t i : {file_, anon_, shmem_}) {
      const auto part = i < counters_ ? bytes(counters.pages[i]) : std::optional<uint64_t>(0);
      rss = rss && part ? std::optional(*rss + *part) : std::nullopt;
    }
    facts.rss_bytes = rss;
    if (swap_ < counters_) facts.swap_bytes = bytes(counters.pages[swap_]);
  }
  if (total_vm && *total_vm < max_pages) facts.vsz_bytes = *total_vm * page;
}

}  // namespace

std::optional<CrashClock> crash_clock(Kernel& kernel, const KernelLog& log) {
  std::optional<CrashClock> newest;
  auto offer = [&](uint64_t ns, std::string source) {
    if (!newest || ns > newest->ns) newest = CrashClock{ns, std::move(source)};
  };
  if (const auto offset = kernel.layout().offset("rq", "clock")) {
    for (unsigned cpu : cpu_mask(kernel, "__cpu_possible_mask").value_or(std::vector<unsigned>{})) {
      const auto rq = per_cpu_address(kernel, "runqueues", cpu);
      const auto ns = rq ? kernel.memory().u64(*rq + *offset) : std::nullopt;
      if (ns && *ns != 0) offer(*ns, fmt::format("run queue of CPU {}", cpu));
    }
  }
  // Records are stamped by local_clock(), the same clock.
  if (!log.records.empty()) offer(log.records.back().time_ns, "log");
  return newest;
}

ProcessTable complete_processes(Kernel& kernel, TaskList list, const KernelLog& log) {
  ProcessTable table;
  table.list = std::move(list);
  table.clock = crash_clock(kernel, log);
  Reader(kernel, table).run();
  return table;
}

ProcessTable read_processes(Kernel& kernel, const KernelLog& log) {
  return complete_processes(kernel, read_tasks(kernel), log);
}

}  // namespace kdk
