// Which frame an engineer wants to see first: not the machinery of a panic, nor the check that noticed the
// damage, but who did it.
//
// A trace is read from inside outwards, in this order: the panic and how it came about ("messengers"); what
// the CPU was doing (an exception frame), or who called panic(); the kernel's own checks there ("watchmen",
// such as
// __list_add_valid): then whoever they were asked by.
#include <algorithm>
#include <array>
#include <charconv>

#include "analyze/triage/crash_signature.h"
#include "analyze/triage/report.h"
#include "analyze/triage/watchmen.h"

namespace kdk {
namespace {

using Frames = std::vector<Frame>;

// Between panic() and whoever was the reason: how a warning, a taint or a lost stack becomes a panic.
// Sources: kernel/panic.c, lib/bug.c, mm/kasan/report.c, arch/arm64/kernel/{traps,entry-common}.c,
// arch/x86/kernel/traps.c.
constexpr auto messengers = std::to_array<std::string_view>({
    "__bad_stack",
    "__report_bad_irq",
    "__schedule_bug",
    "__warn",
    "__warn_printk",
    "add_taint",
    "bad_stack",
    "bug_handler",
    "check_panic_on_warn",
    "die",
    "end_report",
    "handle_bad_stack",
    "handle_stack_overflow",
    "nmi_panic",
    "oops_end",
    "oops_exit",
    "panic",
    "panic_bad_stack",
    "report_bug",
    "vpanic",
    "warn_slowpath_fmt",
    "warn_slowpath_null",
});

// Checks that find what another function did, and primitives in which others wait or spin. Sources:
// lib/list_debug.c, lib/refcount.c, mm/{slub,slab_common,usercopy,page_alloc,kfence/,kasan/}, lib/ubsan.c,
// lib/string_helpers.c, kernel/locking/, kernel/sched/core.c, kernel/smp.c, kernel/time/timer.c.
constexpr auto watchmen = std::to_array<std::string_view>({
    "___cache_free",
    "___slab_alloc",
    "__arch_copy_from_user",
    "__arch_copy_to_user",
    "__check_heap_object",
    "__check_object_size",
    "__csd_lock_wait",
    "__fortify_panic",
    "__fortify_report",
    "__free_pages",
    "__free_pages_ok",
    "__kmem_cache_alloc_node",
    "__kmem_cache_free",
    "__list_add_valid",
    "__list_add_valid_or_report",
    "__list_del_entry_valid",
    "__list_del_entry_valid_or_report",
    "__schedule",
    "__slab_alloc",
    "__slab_err",
    "__slab_free",
    "__stack_chk_fail",
    "_copy_from_user",
    "_copy_to_user",
    "alloc_debug_processing",
    "alloc_single_from_partial",
    "bad_page",
    "bad_page_report",
    "cache_from_obj",
    "check_bytes_and_report",
    "check_heap_object",
    "check_object",
    "check_slab",
    "check_slab_allocation",
    "copy_overflow",
    "csd_lock_wait",
    "do_slab_free",
    "fortify_panic",
    "free_debug_processing",
    "free_pages",
    "free_pages_prepare",
    "free_page_is_bad",
    "free_page_is_bad_report",
    "free_pcp_prepare",
    "free_to_partial_list",
    "free_unref_page",
    "free_unref_page_prepare",
    "free_frozen_pages",
    "get_any_partial",
    "get_partial",
    "get_partial_node",
    "kfree",
    "kfree_sensitive",
    "kvfree",
    "msleep",
    "native_queued_spin_lock_slowpath",
    "object_err",
    "on_freelist",
    "osq_lock",
    "print_report",
    "queued_read_lock_slowpath",
    "queued_spin_lock_slowpath",
    "queued_write_lock_slowpath",
    "refcount_warn_saturate",
    "rep_movs_alternative",
    "rep_stos_alternative",
    "schedule",
    "schedule_debug",
    "schedule_preempt_disabled",
    "schedule_timeout",
    "schedule_timeout_uninterruptible",
    "slab_bug",
    "slab_err",
    "slab_free",
    "smp_call_function",
    "smp_call_function_any",
    "smp_call_function_many",
    "smp_call_function_many_cond",
    "smp_call_function_single",
    "usercopy_abort",
    "virt_spin_lock",
});
// Where a task waits: the way from a lock or a completion down into the scheduler. Sources: kernel/locking/,
// kernel/sched/.
constexpr auto waits = std::to_array<std::string_view>({
    "__down_common",
    "__down_read",
    "__down_write",
    "__mutex_lock",
    "__mutex_lock_slowpath",
    "__switch_to",
    "__switch_to_asm",
    "__wait_for_common",
    "bit_wait",
    "context_switch",
    "do_wait_for_common",
    "down",
    "down_read",
    "down_write",
    "io_schedule",
    "mutex_lock",
    "mutex_lock_io",
    "mutex_lock_killable",
    "out_of_line_wait_on_bit",
    "rwsem_down_read_slowpath",
    "rwsem_down_write_slowpath",
    "schedule_timeout_killable",
    "wait_for_common",
    "wait_for_completion",
    "wait_for_completion_io",
    "wait_for_completion_killable",
    "wait_for_completion_state",
    "wait_for_completion_timeout",
});
constexpr auto watchmen_prefixes = std::to_array<std::string_view>({
    "__asan_",
    "__hwasan_",
    "__kasan_",
    "__kfence_",
    "__kmalloc",
    "__ubsan_handle_",
    "_raw_read_lock",
    "_raw_spin_lock",
    "_raw_write_lock",
    "do_raw_spin_lock",
    "kasan_",
    "kfence_",
    "kmalloc_",
    "kmem_cache_alloc",
    "kmem_cache_free",
    "ubsan_",
});

// What C has for strings and memory, in assembly or not: it does as it is told. Sources: lib/string.c,
// arch/arm64/lib/, arch/x86/lib/ ("memcpy_orig", "memset_erms").
constexpr auto primitives = std::to_array<std::string_view>(
    {"memchr", "memcmp", "memcpy", "memmove", "memset", "sized_strscpy", "strcat", "strchr", "strcmp",
     "strcpy", "strlcpy", "strlen", "strncat", "strncmp", "strncpy", "strnlen", "strrchr", "strscpy"});

template <size_t N>
bool listed(const std::array<std::string_view, N>& names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

bool is_primitive(std::string_view name) {
  for (std::string_view prefix : {"__pi_", "__"}) {
    if (name.starts_with(prefix)) name.remove_prefix(prefix.size());
  }
  for (std::string_view suffix : {"_generic", "_orig", "_erms"}) {
    if (name.ends_with(suffix)) name.remove_suffix(suffix.size());
  }
  return listed(primitives, name);
}

// In the kernel itself: a module may call a function of its own what it likes.
bool is_messenger(const Frame& frame) {
  return frame.module.empty() && listed(messengers, common_name(frame.symbol));
}

bool is_watchman(const Frame& frame) {
  return frame.module.empty() && kdk::is_watchman(frame.symbol);
}

bool is_wait(const Frame& frame) {
  return frame.module.empty() && (is_watchman(frame) || listed(waits, common_name(frame.symbol)));
}

bool boundary(const Frame& frame) {
  return frame.kind == FrameKind::exception || frame.kind == FrameKind::bad_call;
}

// Somebody noticed what the interrupted code did not do.
bool about_interrupted(std::string_view name) {
  static constexpr auto names = std::to_array<std::string_view>(
      {"soft_lockup", "hard_lockup", "rcu_stall", "watchdog_pretimeout", "watchdog_nmi"});
  return listed(names, name);
}

// The first frame outside of panic(), 0 when the CPU was not in it. A CPU that waits in it for ever takes
// interrupts: they are inside of it. What fails in it, fails by its own: then the panic is outside of that.
size_t behind_panic(const Frames& frames) {
  static constexpr auto ends =
      std::to_array<std::string_view>({"die", "oops_end", "crash_kexec", "__crash_kexec"});
  bool ended = false;
  for (size_t i = 0; i < frames.size(); ++i) {
    if (ended && boundary(frames[i])) return 0;
    if (!frames[i].module.empty()) continue;
    const std::string name = common_name(frames[i].symbol);
    if (name == "panic" || name == "vpanic") return i + 1;
    ended = ended || listed(ends, name);
  }
  return 0;
}

// The way into the handler of what an instruction did, not of an interrupt. Sources:
// arch/arm64/kernel/entry.S, arch/x86/include/asm/idtentry.h.
bool synchronous_entry(std::string_view name) {
  if (name == "asm_exc_nmi" || name == "asm_exc_machine_check") return false;
  return name == "el1h_64_sync" || name == "el1t_64_sync" || name == "el1_sync" ||
         name.starts_with("asm_exc_");
}

// What was called there cannot be executed, whatever name its data has.
bool is_no_code(const Frames& frames, size_t at) {
  return at + 1 < frames.size() && frames[at + 1].kind == FrameKind::bad_call;
}

// `at` or the nearest frame further out that no check stands in, in the same context. The link register
// counts: of a leaf such as memcpy() it is all there is, and the unwinder takes it for a caller only where
// that calls this very function.
const Frame* asked_by(const Frames& frames, size_t at) {
  for (size_t i = at; i < frames.size() && (i == at || frames[i].kind != FrameKind::exception); ++i) {
    if (!frames[i].symbol.empty() && !is_watchman(frames[i]) && !is_no_code(frames, i)) return &frames[i];
  }
  return &frames[at];
}

// `direct`: who called panic() counts, if it was not the handler of what an instruction did.
Culprit find(const Frames& frames, bool direct) {
  const size_t start = behind_panic(frames);
  size_t caller = start;
  while (caller < frames.size() && !boundary(frames[caller]) && is_messenger(frames[caller])) ++caller;
  size_t hit = caller;
  while (hit < frames.size() && !boundary(frames[hit])) ++hit;
  const bool handler = hit < frames.size() && hit > 0 && synchronous_entry(frames[hit - 1].symbol);
  size_t at = direct && start != 0 && !handler ? caller : hit;
  if (at == frames.size()) at = caller;
  if (at == frames.size() || (start == 0 && !boundary(frames[at]))) return {};
  const Frame* by = asked_by(frames, at);
  return {by, by == &frames[at] ? nullptr : &frames[at], nullptr};
}

// What a task did when a watchdog found that its CPU did not schedule: the interrupts on top of it come and
// go.
Culprit of_task(const Frames& frames) {
  for (size_t i = frames.size(); i > behind_panic(frames); --i) {
    if (frames[i - 1].kind != FrameKind::exception) continue;
    const Frame* by = asked_by(frames, i - 1);
    return {by, by == &frames[i - 1] ? nullptr : &frames[i - 1], nullptr};
  }
  return find(frames, false);
}

// "Watchdog detected hard LOCKUP on cpu 3": another CPU may have noticed (kernel/watchdog_buddy.c).
std::optional<unsigned> locked_up_cpu(const CrashClass& crash_class) {
  constexpr std::string_view mark = "hard LOCKUP on cpu ";
  for (const LogEvidence& evidence : crash_class.evidence) {
    const size_t at = evidence.text.find(mark);
    if (at == std::string::npos) continue;
    unsigned cpu = 0;
    const char* digits = evidence.text.data() + at + mark.size();
    if (std::from_chars(digits, evidence.text.data() + evidence.text.size(), cpu).ec == std::errc{})
      return cpu;
  }
  return std::nullopt;
}

bool is_idle(const Backtrace& trace) {
  return std::ranges::any_of(trace.frames, [](const Frame& frame) {
    const std::string name = common_name(frame.symbol);
    return name == "do_idle" || name == "cpu_startup_entry";
  });
}

// "rcu_sched detected stalls on CPUs/tasks": who noticed it did nothing wrong (kernel/rcu/tree_stall.h,
// print_other_cpu_stall). Which CPUs are meant is in lines that are no evidence of the class; an idle one
// is not among them. nullptr as well when several are busy: any of them could be it.
const CpuState* stalled_cpu(const Crash& crash, const CpuState& noticed) {
  const bool by_another = std::ranges::any_of(crash.crash_class.evidence, [](const LogEvidence& evidence) {
    return evidence.text.find("detected stalls on CPUs/tasks") != std::string::npos;
  });
  if (!by_another) return nullptr;
  const CpuState* busy = nullptr;
  for (const CpuState& cpu : crash.cpus) {
    if (cpu.cpu == noticed.cpu || is_idle(cpu.backtrace)) continue;
    if (busy != nullptr) return nullptr;
    busy = &cpu;
  }
  return busy != nullptr && !busy->backtrace.frames.empty() ? busy : nullptr;
}

// "INFO: task NAME:PID blocked for more than 120 seconds." (kernel/hung_task.c, check_hung_task); the first
// that it wrote about had been blocked longest when it looked. A name may hold anything, so the pid is what
// is before the words.
std::optional<int32_t> hung_pid(const CrashClass& crash_class) {
  for (const LogEvidence& evidence : crash_class.evidence) {
    if (evidence.text.find("INFO: task ") == std::string::npos) continue;
    const size_t end = evidence.text.find(" blocked for more than");
    const size_t colon = end == std::string::npos ? end : evidence.text.rfind(':', end);
    if (colon == std::string::npos) continue;
    int32_t pid = 0;
    const auto [last, error] =
        std::from_chars(evidence.text.data() + colon + 1, evidence.text.data() + end, pid);
    if (error == std::errc{} && last == evidence.text.data() + end) return pid;
  }
  return std::nullopt;
}

}  // namespace

bool is_watchman(std::string_view symbol) {
  const std::string name = common_name(symbol);
  return listed(watchmen, name) || is_primitive(name) ||
         std::ranges::any_of(watchmen_prefixes,
                             [&](std::string_view prefix) { return name.starts_with(prefix); });
}

namespace {

// The task whose stack the frame is on, when that is another CPU's than the one that crashed.
Culprit with_task(const Report& report, Culprit who) {
  if (who.frame == nullptr || !report.tasks) return who;
  for (const CpuState& cpu : report.crash->cpus) {
    const Frames& frames = cpu.backtrace.frames;
    const bool here = std::ranges::any_of(frames, [&](const Frame& frame) { return &frame == who.frame; });
    if (!here || cpu.crashed || !cpu.task) continue;
    const auto task = std::ranges::find(report.tasks->tasks, *cpu.task, &Task::address);
    if (task != report.tasks->tasks.end()) who.task = &*task;
  }
  return who;
}

}  // namespace

Culprit culprit(const Report& report) {
  if (!report.crash) return {};
  const std::optional<int32_t> hung =
      report.crash->crash_class.name == "hung_task" ? hung_pid(report.crash->crash_class) : std::nullopt;
  if (!hung || !report.blocked) return with_task(report, culprit(*report.crash));
  for (const TaskStack& stack : report.blocked->stacks) {
    const auto owner =
        std::ranges::find_if(stack.owners, [&](const StackOwner& o) { return o.task.pid == hung; });
    const auto waits_in = std::ranges::find_if_not(stack.trace.frames, is_wait);
    if (owner == stack.owners.end() || waits_in == stack.trace.frames.end()) continue;
    const Frame* inner = waits_in == stack.trace.frames.begin() ? nullptr : &*std::prev(waits_in);
    return {&*waits_in, inner, &owner->task};
  }
  return culprit(*report.crash);
}

Culprit culprit(const Crash& crash) {
  const CpuState* cpu = crashing_cpu(crash);
  if (crash.crash_class.name == "hard_lockup") {
    const std::optional<unsigned> locked = locked_up_cpu(crash.crash_class);
    const auto other =
        std::ranges::find_if(crash.cpus, [&](const CpuState& c) { return locked && c.cpu == locked; });
    if (other != crash.cpus.end() && &*other != cpu) {
      if (other->backtrace.frames.empty()) return {};
      Culprit found = find(other->backtrace.frames, false);
      // It took no interrupt: what it does is what it did.
      return found.frame != nullptr ? found : Culprit{asked_by(other->backtrace.frames, 0), nullptr};
    }
  }
  if (cpu == nullptr) return {};
  if (crash.crash_class.name == "rcu_stall") {
    const CpuState* stalled = stalled_cpu(crash, *cpu);
    if (stalled != nullptr) return of_task(stalled->backtrace.frames);
  }
  if (crash.crash_class.name == "soft_lockup" || crash.crash_class.name == "rcu_stall")
    return of_task(cpu->backtrace.frames);
  return find(cpu->backtrace.frames, !crash.fault && !about_interrupted(crash.crash_class.name));
}

Culprit culprit(const Backtrace& trace) {
  return find(trace.frames, false);
}

}  // namespace kdk
