// First-level failure class from the log alone, by a table: what the kernel prints for each kind of failure,
// and how much that says. The panic line decides when it names a cause of its own ("softlockup: hung tasks");
// when it only says that something went wrong before ("Fatal exception"), the most specific report shortly
// before it decides. Everything that matched stays as evidence.
//
// Texts: kernel/panic.c, kernel/exit.c, kernel/watchdog.c, kernel/hung_task.c, kernel/rcu/tree_stall.h,
// mm/oom_kill.c, lib/list_debug.c, lib/refcount.c, mm/slub.c, mm/kasan/report.c,
// arch/arm64/{mm/fault.c,kernel/traps.c}, arch/x86/{mm/fault.c,kernel/traps.c}.
#include "core/diagnose/classify.h"

#include <algorithm>
#include <span>

#include "core/base/log.h"
#include "core/diagnose/crash.h"
#include "core/diagnose/log_trace.h"

namespace kdk {
namespace {

// How much a match says about the cause.
enum class Weight : uint8_t {
  report,   // the kernel went on: evidence only
  generic,  // something fatal happened, not what
  fault,    // what the CPU refused to do
  cause,    // a check that names the damage (list corruption, KASAN, stack overflow)
  operator_made,
};

struct Rule {
  std::string_view name;
  Weight weight;
  std::string_view text;        // contained in the line
  std::string_view also = {};   // and this, when not empty
  std::string_view title = {};  // when that of the class would say too little, or something else
};

// Matched against every line of the kernel except the panic line. First match wins per line: special before
// general.
constexpr Rule line_rules[] = {
    {"sysrq_crash", Weight::operator_made, "sysrq: Trigger a crash"},
    {"sysrq_crash", Weight::operator_made, "SysRq : Trigger a crash"},

    {"list_corruption", Weight::cause, "list_add corruption"},
    {"list_corruption", Weight::cause, "list_del corruption"},
    {"list_corruption", Weight::cause, "list_add double add"},
    {"refcount", Weight::cause, "refcount_t: "},
    {"bad_page", Weight::cause, "BUG: Bad page "},
    {"double_free", Weight::cause, "BUG: KASAN: double-free"},
    {"mte_tag_fault", Weight::cause, "BUG: KASAN: invalid-access"},
    {"kasan",
     Weight::cause,
     "BUG: KASAN: invalid-free",
     {},
     "Memory freed that is none to free, found by KASAN"},
    {"kasan", Weight::cause, "BUG: KASAN: ", "use-after-free", "Use of freed memory found by KASAN"},
    {"kasan", Weight::cause, "BUG: KASAN: ", "out-of-bounds", "Access outside of an object found by KASAN"},
    // What has no shadow (mm/kasan/report_generic.c, get_wild_bug_type).
    {"null_deref", Weight::cause, "BUG: KASAN: null-ptr-deref"},
    {"bad_paging", Weight::cause, "BUG: KASAN: user-memory-access", {}, forbidden::user_access},
    {"bad_paging", Weight::cause, "BUG: KASAN: wild-memory-access"},
    {"kasan", Weight::cause, "BUG: KASAN: "},
    {"kfence",
     Weight::cause,
     "BUG: KFENCE: invalid free",
     {},
     "Memory freed that is none to free, or was freed before, found by KFENCE"},
    {"kfence", Weight::cause, "BUG: KFENCE: ", "use-after-free", "Use of freed memory found by KFENCE"},
    {"kfence", Weight::cause, "BUG: KFENCE: ", "out-of-bounds",
     "Access outside of an object found by KFENCE"},
    {"kfence", Weight::cause, "BUG: KFENCE: "},
    {"kcsan", Weight::cause, "BUG: KCSAN: "},
    {"kmsan", Weight::cause, "BUG: KMSAN: "},
    {"kasan", Weight::cause, "Internal error: Oops - KASAN"},
    // Behind a general protection fault: the shadow of the address that was meant is not canonical.
    {"null_deref", Weight::cause, "KASAN: null-ptr-deref in range"},
    {"bad_paging", Weight::cause, "KASAN: ", "-memory-access in range"},
    {"ubsan", Weight::cause, "UBSAN: "},
    {"double_free", Weight::cause, "BUG ", "Object already free"},
    // Of a slab of a cache that is watched (free_debug_processing).
    {"double_free", Weight::cause, "BUG ", " allocated objects but "},
    {"slab_corruption", Weight::cause, "Poison overwritten"},
    {"slab_corruption", Weight::cause, "Redzone overwritten"},
    {"slab_corruption", Weight::cause, "padding overwritten"},
    {"slab_corruption", Weight::cause, "Freepointer corrupt"},
    {"slab_corruption", Weight::cause, "Freechain corrupt"},
    {"slab_corruption", Weight::cause, "Freelist Pointer check fails"},
    {"slab_corruption", Weight::cause, "BUG ",
     " (Tainted: "},  // "BUG cache (taint): what", mm/slub.c (slab_bug)
    {"slab_corruption", Weight::cause, "BUG ", " (Not tainted): "},
    // Its free list: an object freed twice in a row, or overwritten after it was freed
    // (SLAB_FREELIST_HARDENED). A kernel built outside of its source has a path before that.
    {"slab_corruption", Weight::cause, "kernel BUG at ", "mm/slub.c:"},
    // Freed to another cache than it is of, or no slab object at all (cache_from_obj).
    {"slab_corruption", Weight::cause, "Wrong slab cache. "},
    {"slab_corruption", Weight::cause, "Object is not a Slab page"},
    {"usercopy", Weight::cause, "usercopy: Kernel memory "},
    // "... in strcpy"; newer kernels: "strcpy: ...: 20 byte write of buffer size 10" (fortify_panic).
    {"fortify", Weight::cause, "detected buffer overflow"},
    {"fortify", Weight::cause, "detected field-spanning write"},
    {"stack_overflow", Weight::cause, "Insufficient stack space to handle exception"},
    {"stack_overflow", Weight::cause, "kernel stack overflow"},
    {"stack_overflow", Weight::cause, "stack guard page was hit"},
    {"stack_overflow", Weight::cause, "Thread overran stack, or stack corrupted"},
    {"cfi", Weight::cause, "Missing ENDBR: "},
    {"cfi", Weight::cause, "CFI failure at"},
    {"cfi", Weight::cause, "Internal error: Oops - CFI"},
    {"bti", Weight::cause, "Internal error: Oops - BTI"},
    {"fpac", Weight::cause, "Internal error: Oops - FPAC"},
    {"gcs", Weight::cause, "Internal error: Oops - GCS"},
    {"spinlock", Weight::cause, "BUG: spinlock "},
    {"sea", Weight::cause, "synchronous external abort"},
    {"sea", Weight::cause, "synchronous parity or ECC error"},
    {"serror", Weight::cause, "SError Interrupt on CPU"},
    {"mce", Weight::cause, "Fatal hardware error"},

    {"null_deref", Weight::fault, "Unable to handle kernel NULL pointer dereference"},
    {"null_deref", Weight::fault, "BUG: kernel NULL pointer dereference"},
    {"null_deref", Weight::fault, "BUG: unable to handle kernel NULL pointer dereference"},
    // What the page tables do not allow (arch/arm64/mm/fault.c, __do_kernel_fault and do_page_fault).
    {"bad_paging",
     Weight::fault,
     "Unable to handle kernel access to user memory",
     {},
     forbidden::user_access},
    {"bad_paging",
     Weight::fault,
     "Unable to handle kernel execution of user memory",
     {},
     forbidden::user_execution},
    {"bad_paging",
     Weight::fault,
     "Unable to handle kernel execute from non-executable memory",
     {},
     forbidden::data_execution},
    {"bad_paging",
     Weight::fault,
     "Unable to handle kernel write to read-only memory",
     {},
     forbidden::read_only_write},
    // Before the address (arch/x86/mm/fault.c, show_fault_oops). The first may be of user memory: the address
    // and the error code decide (forbidden_access()).
    {"bad_paging",
     Weight::fault,
     "kernel tried to execute NX-protected page",
     {},
     "Execution of memory that holds no code"},
    {"bad_paging", Weight::fault, "unable to execute userspace code (SMEP?)", {}, forbidden::user_execution},
    {"bad_paging", Weight::fault, "Unable to handle kernel "},
    {"bad_paging", Weight::fault, "BUG: unable to handle page fault"},
    {"bad_paging", Weight::fault, "BUG: unable to handle kernel paging request"},
    {"bad_paging", Weight::fault, "Bad pagetable: "},
    {"bug_on", Weight::fault, "kernel BUG at "},
    {"bug_on", Weight::fault, "Internal error: Oops - BUG"},
    // Of a program the kernel says "general protection fault ip:".
    {"gpf", Weight::fault, "general protection fault: "},
    {"gpf", Weight::fault, "general protection fault, "},
    {"double_fault", Weight::fault, "double fault: "},
    {"divide", Weight::fault, "divide error: "},
    {"invalid_op", Weight::fault, "invalid opcode: "},
    {"invalid_op", Weight::fault, "Internal error: Oops - Undefined instruction"},
    {"invalid_op", Weight::fault, "Internal error: Oops - BRK"},
    {"alignment", Weight::fault, "SP/PC alignment exception"},
    {"alignment", Weight::fault, "alignment check: "},

    {"oops", Weight::generic, "Internal error: "},
    {"oops", Weight::generic, "Oops: "},

    {"soft_lockup", Weight::report, "BUG: soft lockup"},
    {"hard_lockup", Weight::report, "hard LOCKUP on cpu"},
    {"rcu_stall", Weight::report, "self-detected stall on CPU"},
    {"rcu_stall", Weight::report, "detected stalls on CPUs/tasks"},
    {"hung_task", Weight::report, "INFO: task ", "blocked for more than"},
    {"mce", Weight::report, "[Hardware Error]: "},
    {"watchdog_nmi", Weight::report, "Uhhuh. NMI received"},
    {"watchdog_nmi", Weight::report, "NMI: PCI system error"},
    {"watchdog_nmi", Weight::report, "NMI: IOCK error"},
    {"oom_panic", Weight::report, "Out of memory: Killed process"},
    {"warning", Weight::report, "WARNING: CPU: "},
    {"atomic_sleep", Weight::report, "BUG: scheduling while atomic"},
    {"atomic_sleep", Weight::report, "BUG: sleeping function called from invalid context"},
    {"warning", Weight::report, "WARNING: possible circular locking dependency detected"},
};

// Matched against the text behind "Kernel panic - not syncing: ". Weight::generic ones give way to a report
// before.
constexpr Rule panic_rules[] = {
    {"sysrq_crash", Weight::operator_made, "sysrq triggered crash"},
    {"hung_task", Weight::cause, "hung_task: blocked tasks"},
    {"soft_lockup", Weight::cause, "softlockup: hung tasks"},
    {"hard_lockup", Weight::cause, "Hard LOCKUP"},
    {"hard_lockup", Weight::cause, "hard LOCKUP"},
    {"rcu_stall", Weight::cause, "RCU Stall"},
    {"watchdog_pretimeout", Weight::cause, "watchdog pretimeout event"},
    {"watchdog_pretimeout", Weight::cause, "Watchdog Timeout"},
    {"watchdog_pretimeout", Weight::cause, "Watchdog Timer expired"},
    {"watchdog_nmi", Weight::cause, "NMI: Not continuing"},
    {"watchdog_nmi", Weight::cause, "NMI IOCK error: Not continuing"},
    {"watchdog_nmi", Weight::cause, "An NMI occurred"},
    {"stack_protector", Weight::cause, "stack-protector: Kernel stack is corrupted"},
    {"stack_overflow", Weight::cause, "kernel stack overflow"},
    {"stack_overflow", Weight::cause, "stack guard hit"},
    {"stack_overflow", Weight::cause, "corrupted stack end detected"},
    {"serror", Weight::cause, "Asynchronous SError Interrupt"},
    {"mce", Weight::cause, "machine check"},
    {"mce", Weight::cause, "Machine check"},
    {"mce", Weight::cause, "Fatal hardware error"},
    {"mce", Weight::cause, "broadcast exception handler"},
    {"mce", Weight::cause, "Memory failure on page"},
    {"oom_panic", Weight::cause, "Out of memory: ", "panic_on_oom"},
    {"oom_panic", Weight::cause, "System is deadlocked on memory"},
    {"no_root", Weight::cause, "Unable to mount root fs"},
    {"no_root", Weight::cause, "No working init found"},
    {"no_root", Weight::cause, "Requested init "},
    // The report before says which kind.
    {"kasan", Weight::generic, "KASAN: panic_on_warn set"},
    {"kasan", Weight::generic, "kasan.fault=panic"},
    {"kfence", Weight::generic, "KFENCE: panic_on_warn set"},
    {"kcsan", Weight::generic, "KCSAN: panic_on_warn set"},
    {"ubsan", Weight::generic, "UBSAN: panic_on_warn set"},
    {"atomic_sleep", Weight::cause, "scheduling while atomic"},
    {"warn_panic", Weight::generic, "panic_on_warn set"},
    {"warn_panic", Weight::generic, "system warned too often"},
    // A killed init or an oops limit is the end of a chain that a report before it begins.
    {"init_died", Weight::generic, "Attempted to kill init!"},
    {"oops", Weight::generic, "Oopsed too often"},
    {"oops", Weight::generic, "Attempted to kill the idle task"},
    {"oops", Weight::generic, "Aiee, killing interrupt handler"},
    {"oops", Weight::generic, "Fatal exception"},
    {"oops", Weight::generic, "Unhandled exception"},
    {"oops", Weight::generic, "bad mode"},
};

constexpr std::pair<std::string_view, std::string_view> titles[] = {
    {"sysrq_crash", "Crash made on purpose through sysrq"},
    {"list_corruption", "A linked list of the kernel was found corrupted"},
    {"refcount", "A reference count went wrong (use after free, leak or overflow)"},
    {"bad_page", "A page was found in a state it must not be in"},
    {"double_free", "Memory was freed twice"},
    {"mte_tag_fault", "Memory access with the wrong tag (MTE)"},
    {"kasan", "Invalid memory access found by KASAN"},
    {"kfence", "Invalid memory access found by KFENCE"},
    {"kcsan", "Data race found by KCSAN"},
    {"kmsan", "Use of uninitialised memory found by KMSAN"},
    {"ubsan", "Undefined behaviour found by UBSAN"},
    {"slab_corruption", "Slab objects were found overwritten, freed twice or freed to the wrong cache"},
    {"usercopy", "A copy to or from user space ran over a kernel object"},
    {"fortify", "A string or memory function would have run over its buffer (FORTIFY_SOURCE)"},
    {"stack_overflow", "Kernel stack overflow"},
    {"stack_protector", "Stack canary overwritten (stack-protector)"},
    {"cfi", "Indirect call to a function of the wrong type (CFI)"},
    {"bti", "Branch to a place that is no branch target (BTI)"},
    {"fpac", "Pointer authentication failed"},
    {"gcs", "Return address does not match the guarded control stack (GCS)"},
    {"spinlock", "A spin lock was misused"},
    {"atomic_sleep", "A function that sleeps was called where it must not sleep"},
    {"sea", "Synchronous external abort: the hardware failed an access"},
    {"serror", "SError: asynchronous hardware error"},
    {"mce", "Hardware error (machine check or GHES)"},
    {"null_deref", "NULL pointer dereference in the kernel"},
    {"bad_paging", "Access to a kernel address that does not allow it"},
    {"bug_on", "BUG() or BUG_ON() was hit"},
    {"gpf", "General protection fault"},
    {"double_fault", "Double fault"},
    {"divide", "Division by zero or overflow"},
    {"invalid_op", "Instruction that cannot be executed"},
    {"alignment", "Misaligned access or stack pointer"},
    {"oops", "The kernel oopsed"},
    {"soft_lockup", "A CPU was stuck in the kernel without scheduling (soft lockup)"},
    {"hard_lockup", "A CPU was stuck with interrupts off (hard lockup)"},
    {"rcu_stall", "RCU stall: a CPU or task did not pass a quiescent state"},
    {"hung_task", "A task was blocked for too long (hung task)"},
    {"watchdog_pretimeout", "The watchdog ran out"},
    {"watchdog_nmi", "Non-maskable interrupt (watchdog, button or hardware)"},
    {"oom_panic", "Out of memory, and set to panic on it"},
    {"no_root", "The root file system or init could not be started"},
    {"init_died", "The init process died"},
    {"warn_panic", "A warning, and set to panic on it"},
    {"panic", "The kernel called panic()"},
    {"no_panic", "No panic or oops in the log: a dump of a live system, or the log is lost"},
};

// A report this long before the panic still belongs to it: a slow console takes seconds to print one.
constexpr uint64_t same_episode_ns = 20'000'000'000;
constexpr size_t max_evidence = 64;

bool matches(const Rule& rule, std::string_view line) {
  return line.find(rule.text) != std::string_view::npos &&
         (rule.also.empty() || line.find(rule.also) != std::string_view::npos);
}

const Rule* first_match(std::span<const Rule> rules, std::string_view line) {
  auto found =
      std::find_if(rules.begin(), rules.end(), [&](const Rule& rule) { return matches(rule, line); });
  return found == rules.end() ? nullptr : &*found;
}

struct Match {
  const Rule* rule;
  size_t record;
  std::string_view text;
};

// The most specific fatal match that belongs to the crash; of equals the first, which is the root.
const Match* deciding(const std::vector<Match>& found, const KernelLog& log, std::optional<PanicLine> panic) {
  const Match* last_fatal = nullptr;
  for (const Match& match : found) {
    if (match.rule->weight != Weight::report && (!panic || match.record <= panic->record))
      last_fatal = &match;
  }
  if (!last_fatal) return nullptr;
  uint64_t crash_time = log.records[panic ? panic->record : last_fatal->record].time_ns;
  const Match* best = nullptr;
  for (const Match& match : found) {
    if (match.rule->weight == Weight::report || (panic && match.record > panic->record)) continue;
    uint64_t time = log.records[match.record].time_ns;
    if (time + same_episode_ns < crash_time) continue;
    if (!best || match.rule->weight > best->rule->weight) best = &match;
  }
  return best;
}

}  // namespace

std::string_view class_title(std::string_view name) {
  for (const auto& [key, title] : titles) {
    if (key == name) return title;
  }
  return "Unknown kind of failure";
}

CrashClass classify(const KernelLog& log) {
  CrashClass result;
  std::vector<Match> found;
  std::optional<PanicLine> panic = find_panic_line(log);
  for (const LogLine& line : kernel_lines(log)) {
    if (panic && line.record == panic->record) continue;
    const Rule* rule = first_match(line_rules, line.text);
    if (rule) found.push_back({rule, line.record, line.text});
  }

  const Rule* panic_rule = panic ? first_match(panic_rules, panic->message) : nullptr;
  const Match* cause = deciding(found, log, panic);
  // sysrq writes its own line before any crash it makes; it alone beats a cause named by panic().
  bool panic_decides = panic && (!cause || (panic_rule && panic_rule->weight > Weight::generic &&
                                            cause->rule->weight != Weight::operator_made));
  // A warning becomes a panic by choice: only what names the damage says more than that.
  if (panic_rule && panic_rule->name == "warn_panic" && cause && cause->rule->weight < Weight::cause) {
    panic_decides = true;
  }
  auto evidence_of = [&](size_t record, std::string_view text) {
    return LogEvidence{log.records[record].seq, escape_untrusted(text)};
  };
  if (panic_decides) {
    result.name = panic_rule ? panic_rule->name : "panic";
  } else {
    result.name = cause ? cause->rule->name : "no_panic";
  }
  result.title = class_title(result.name);
  if (!panic_decides && cause && !cause->rule->title.empty()) result.title = cause->rule->title;
  if (!panic_decides && cause) result.evidence.push_back(evidence_of(cause->record, cause->text));
  if (panic)
    result.evidence.push_back(evidence_of(panic->record, "Kernel panic - not syncing: " + panic->message));
  for (const Match& match : found) {
    if (result.evidence.size() >= max_evidence) break;
    if (panic_decides || &match != cause) result.evidence.push_back(evidence_of(match.record, match.text));
  }
  result.in_interrupt = panic && (panic->message.find("Fatal exception in interrupt") != std::string::npos ||
                                  panic->message.find("killing interrupt handler") != std::string::npos);
  return result;
}

}  // namespace kdk
