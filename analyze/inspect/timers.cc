#include "analyze/inspect/timers.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "analyze/inspect/object.h"
#include "core/base/error.h"
#include "core/kernel/percpu.h"

namespace kdk {
namespace {

constexpr size_t most_timers = size_t{1} << 18;  // of one CPU
// Linux commit 500462a9de65 ("timers: Switch to a non-cascading wheel") (in v4.8): levels of 64 buckets, each
// with an eighth of the resolution of the one before. A timer may run that much later than it says.
constexpr uint64_t buckets_of_level = 64;
constexpr unsigned level_shift = 3, most_levels = 9;
// Ticks of two CPUs are not at the same moment, and the last ones before a crash may be lost.
constexpr int64_t tolerance_ticks = 3;

class Reader {
 public:
  Reader(TypedMemory& types, Timers& out, Problems& problems)
      : objects_(types), kernel_(types.kernel()), out_(out), problems_(problems) {
    const auto function = [&](std::string_view name) {
      const auto at = kernel_.symbol(name);
      return at ? at->value : 0;
    };
    delayed_work_ = function("delayed_work_timer_fn");
    process_timeout_ = function("process_timeout");
    hrtimer_wakeup_ = function("hrtimer_wakeup");
    soft_bases_ = kernel_.layout().enumerator("HRTIMER_BASE_MONOTONIC_SOFT");
  }

  void read(CpuTimers& cpu) {
    wheel(cpu);
    high_resolution(cpu);
    std::ranges::stable_sort(cpu.timers, {},
                             [](const PendingTimer& timer) { return timer.due_ns.value_or(INT64_MAX); });
  }
  bool found_any() const { return found_; }

  // Tasks that timers are to wake up, told by the timer's address.
  void name_tasks(const KernelLog& log) {
    std::vector<uint64_t> addresses;
    for (const auto& [timer, task] : tasks_) addresses.push_back(task);
    const auto known = read_task_set(kernel_, addresses, log);
    for (CpuTimers& cpu : out_.cpus) {
      for (PendingTimer& timer : cpu.timers) {
        const auto found = tasks_.find(timer.address);
        if (found != tasks_.end()) timer.task = known.at(found->second);
      }
    }
  }

 private:
  void wheel(CpuTimers& cpu);
  void wheel_base(CpuTimers& cpu, const Object& base, std::string_view name);
  void high_resolution(CpuTimers& cpu);
  void clock_base(CpuTimers& cpu, const Object& base, uint64_t index);
  std::string_view wheel_name(uint64_t index, uint64_t count) const;
  bool room(const CpuTimers& cpu) {
    if (cpu.timers.size() < most_timers) return true;
    problems_.add(fmt::format("CPU {}: more than {} timers", cpu.cpu, most_timers));
    return false;
  }

  Objects objects_;
  Kernel& kernel_;
  Timers& out_;
  Problems& problems_;
  uint64_t delayed_work_ = 0, process_timeout_ = 0, hrtimer_wakeup_ = 0;
  std::optional<int64_t> soft_bases_;
  std::map<uint64_t, uint64_t> tasks_;
  bool found_ = false;
};

// Linux commit 83a665dc99a7 ("timers: Keep the pinned timers separate from the others") (in v6.9): three,
// with CONFIG_NO_HZ_COMMON. Before that two; without it one.
std::string_view Reader::wheel_name(uint64_t index, uint64_t count) const {
  if (count >= 3) return index == 0 ? "local" : index == 1 ? "global" : "deferrable";
  return index == 0 ? "standard" : "deferrable";
}

void Reader::wheel(CpuTimers& cpu) {
  const auto first = per_cpu_address(kernel_, "timer_bases", cpu.cpu);
  const auto size = kernel_.layout().size_of("timer_base");
  if (!first || !size || *size == 0) return;
  // BTF describes per-CPU variables: how many bases there are is in the type of this one.
  uint64_t count = 1;
  const Btf* btf = objects_.types().types();
  if (const auto variable = btf->variable("timer_bases")) {
    const auto type = btf->type(*variable);
    if (type && type->kind == Btf::Type::Kind::array) count = std::min<uint64_t>(type->count, 8);
  }
  for (uint64_t i = 0; i < count; ++i)
    wheel_base(cpu, objects_.at("timer_base", *first + i * *size), wheel_name(i, count));
}

void Reader::wheel_base(CpuTimers& cpu, const Object& base, std::string_view name) {
  const uint64_t buckets = std::min<uint64_t>(base.count("vectors"), most_levels * buckets_of_level);
  const auto vectors = base.place("vectors");
  if (buckets == 0 || !vectors) return;
  found_ = true;
  const bool deferrable = name == "deferrable";
  const auto jiffies = out_.clock.jiffies;
  if (const auto running = base.target("running_timer"))
    cpu.running = objects_.symbol_text(running->number("function").value_or(0));
  std::vector<ul64> heads(buckets);
  auto bytes = std::as_writable_bytes(std::span(heads));
  if (!objects_.memory().read(*vectors, {reinterpret_cast<uint8_t*>(bytes.data()), bytes.size()})) {
    problems_.add(fmt::format("the {} timer wheel of CPU {} cannot be read", name, cpu.cpu));
    return;
  }
  for (uint64_t bucket = 0; bucket < buckets; ++bucket) {
    if (heads[bucket] == 0) continue;
    for (const Object& timer : objects_.hash_list(
             *vectors + bucket * 8, "timer_list", "entry",
             fmt::format("bucket {} of the {} timer wheel of CPU {}", bucket, name, cpu.cpu), problems_)) {
      if (!room(cpu)) return;
      PendingTimer item;
      item.address = timer.address();
      item.base = name;
      item.expires = timer.number("expires");
      item.function_address = timer.number("function").value_or(0);
      item.function = objects_.symbol_text(item.function_address);
      if (jiffies && item.expires) {
        const auto ticks = static_cast<int64_t>(*item.expires - *jiffies);
        item.due_ns = out_.clock.jiffies_ns(ticks);
        const auto granularity = int64_t{1} << (bucket / buckets_of_level * level_shift);
        // An idle CPU is not woken up for a deferrable timer.
        item.overdue = !deferrable && ticks < -(granularity + tolerance_ticks);
      }
      if (item.function_address != 0 && item.function_address == delayed_work_) {
        const auto work = objects_.container("delayed_work", "timer", timer.at()).number("work.func");
        if (work) item.work = objects_.symbol_text(*work);
      }
      if (item.function_address != 0 && item.function_address == process_timeout_ &&
          objects_.has_type("process_timer")) {
        if (const auto task = objects_.container("process_timer", "timer", timer.at()).pointer("task"))
          tasks_[item.address] = task->value;
      }
      cpu.timers.push_back(std::move(item));
    }
  }
}

void Reader::high_resolution(CpuTimers& cpu) {
  const auto base = objects_.per_cpu("hrtimer_cpu_base", "hrtimer_bases", cpu.cpu);
  if (!base) return;
  const uint64_t count = std::min<uint64_t>(base->count("clock_base"), 16);
  for (uint64_t i = 0; i < count; ++i) {
    if (const auto clock = base->element("clock_base", i)) clock_base(cpu, *clock, i);
  }
}

void Reader::clock_base(CpuTimers& cpu, const Object& base, uint64_t index) {
  // Linux commit 511885d7061e ("lib/timerqueue: Rely on rbtree semantics for next timer") (in v5.4).
  auto root = base.place("active.rb_root.rb_root");
  if (!root) root = base.place("active.head");
  if (!root) return;
  found_ = true;
  const auto clock = base.number("clockid").value_or(~uint64_t{0});
  // include/uapi/linux/time.h
  std::string name = clock == 0    ? "realtime"
                     : clock == 1  ? "monotonic"
                     : clock == 7  ? "boottime"
                     : clock == 11 ? "tai"
                                   : fmt::format("clock {}", index);
  // The same clocks again, for timers that softirq runs (HRTIMER_BASE_*_SOFT, since v4.16).
  if (soft_bases_ && static_cast<int64_t>(index) >= *soft_bases_) name += " soft";
  const auto offset = base.number("offset");
  for (const Object& timer : objects_.tree(
           *root, "hrtimer", "node.node", fmt::format("the {} timers of CPU {}", name, cpu.cpu), problems_)) {
    if (!room(cpu)) return;
    PendingTimer item;
    item.address = timer.address();
    item.high_resolution = true;
    item.base = name;
    item.expires = timer.number("node.expires");
    item.function_address = timer.number("function").value_or(0);
    item.function = objects_.symbol_text(item.function_address);
    if (out_.clock.monotonic_ns && item.expires && offset) {
      // KTIME_MAX stands for never.
      if (*item.expires < INT64_MAX)
        item.due_ns = static_cast<int64_t>(*item.expires - *offset - *out_.clock.monotonic_ns);
      item.overdue =
          item.due_ns &&
          *item.due_ns < -tolerance_ticks * static_cast<int64_t>(out_.clock.tick_ns.value_or(10'000'000));
    }
    if (item.function_address != 0 && item.function_address == hrtimer_wakeup_) {
      if (const auto task = objects_.container("hrtimer_sleeper", "timer", timer.at()).pointer("task"))
        tasks_[item.address] = task->value;
    }
    cpu.timers.push_back(std::move(item));
  }
}

}  // namespace

Timers read_timers(TypedMemory& types, const KernelLog& log) {
  Timers out;
  Problems problems;
  Objects objects(types);
  if (types.types() == nullptr) throw Error(Errc::missing, "the dump has no types (BTF)");
  out.clock = read_kernel_clock(types.kernel());
  Reader reader(types, out, problems);
  const auto online = cpu_mask(types.kernel(), "__cpu_online_mask");
  for (const unsigned cpu : objects.cpus()) {
    CpuTimers& item = out.cpus.emplace_back();
    item.cpu = cpu;
    item.online = !online || std::ranges::find(*online, cpu) != online->end();
    reader.read(item);
  }
  if (!reader.found_any())
    throw Error(Errc::missing,
                "neither timer_bases nor hrtimer_bases can be read: no symbols, or no layouts");
  reader.name_tasks(log);
  out.problems = problems.take();
  return out;
}

}  // namespace kdk
