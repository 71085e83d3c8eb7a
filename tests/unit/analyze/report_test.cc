#include "analyze/triage/report.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>

#include "analyze/answers.h"
#include "analyze/render/json_parts.h"
#include "analyze/render/render.h"
#include "analyze/render/text_parts.h"
#include "analyze/triage/triage.h"
#include "tests/support/crash_scene.h"

namespace kdk {
namespace {

using test::Scene;
using test::SceneOptions;

Frame named(std::string symbol, FrameKind kind = FrameKind::call) {
  Frame frame;
  frame.symbol = std::move(symbol);
  frame.kind = kind;
  return frame;
}

TEST(Culprit, TheCallerOfPanic) {
  Backtrace trace;
  for (const char* name : {"__crash_kexec", "panic", "my_driver", "vfs_write"})
    trace.frames.push_back(named(name));
  ASSERT_NE(nullptr, culprit(trace).frame);
  EXPECT_EQ("my_driver", culprit(trace).frame->symbol);
}

TEST(Culprit, WhereTheExceptionHit) {
  Backtrace trace;
  trace.frames = {named("die"), named("el1h_64_sync"), named("faulty", FrameKind::exception),
                  named("vfs_write")};
  ASSERT_NE(nullptr, culprit(trace).frame);
  EXPECT_EQ("faulty", culprit(trace).frame->symbol);
}

TEST(Culprit, AnInnerExceptionCountsBeforeAnOuterPanic) {
  Backtrace trace;
  trace.frames = {named("die"), named("inner", FrameKind::exception), named("panic"), named("outer")};
  EXPECT_EQ("inner", culprit(trace).frame->symbol);
}

TEST(Culprit, NoneInAnIdleTrace) {
  Backtrace trace;
  trace.frames = {named("cpu_do_idle"), named("do_idle")};
  EXPECT_EQ(nullptr, culprit(trace).frame);
  EXPECT_EQ(nullptr, culprit(Backtrace{}).frame);
  trace.frames = {named("panic")};
  EXPECT_EQ(nullptr, culprit(trace).frame);
}

TEST(Culprit, OfACrash) {
  Crash crash;
  crash.cpus.resize(1);
  crash.cpus[0].crashed = true;
  // A driver's timer function gives up, on top of the idle loop.
  crash.cpus[0].backtrace.frames = {named("__crash_kexec"), named("panic"), named("driver_timer"),
                                    named("asm_sysvec_apic_timer_interrupt"),
                                    named("idle", FrameKind::exception)};
  crash.crash_class.name = "panic";
  EXPECT_EQ("driver_timer", culprit(crash).frame->symbol);
  crash.crash_class.name = "soft_lockup";
  EXPECT_EQ("idle", culprit(crash).frame->symbol);
  crash.crash_class.name = "null_deref";
  crash.fault.emplace();
  EXPECT_EQ("idle", culprit(crash).frame->symbol);
  crash.cpus[0].crashed = false;
  EXPECT_EQ(nullptr, culprit(crash).frame);
}

const Frame& found(const std::vector<Frame>& frames, const char* name, bool fault = false) {
  static Crash crash;
  crash = {};
  crash.cpus.resize(1);
  crash.cpus[0].crashed = true;
  crash.cpus[0].backtrace.frames = frames;
  crash.crash_class.name = name;
  if (fault) crash.fault.emplace();
  static const Frame none;
  const Culprit who = culprit(crash);
  return who.frame != nullptr ? *who.frame : none;
}

// LKDTM's WRITE_KERN, and SLAB_FREE_DOUBLE of an object that KFENCE had, on 6.12.
TEST(Culprit, AskedALeafOrKfence) {
  EXPECT_EQ(
      "lkdtm_WRITE_KERN",
      found({named("panic"), named("die"), named("el1h_64_sync"), named("__memcpy", FrameKind::exception),
             named("lkdtm_WRITE_KERN", FrameKind::lr_candidate), named("lkdtm_do_action")},
            "bad_paging", true)
          .symbol);
  EXPECT_EQ("lkdtm_SLAB_FREE_DOUBLE", found({named("panic"), named("add_taint"), named("kfence_report_error"),
                                             named("kfence_guarded_free"), named("__kfence_free"),
                                             named("kmem_cache_free"), named("lkdtm_SLAB_FREE_DOUBLE")},
                                            "kfence")
                                          .symbol);
  // The same, found by KASAN.
  Crash crash;
  crash.cpus.emplace_back().crashed = true;
  crash.cpus[0].backtrace.frames = {named("panic"),
                                    named("check_panic_on_warn"),
                                    named("end_report.constprop.0"),
                                    named("kasan_report_invalid_free"),
                                    named("check_slab_allocation"),
                                    named("__kasan_slab_pre_free"),
                                    named("kmem_cache_free"),
                                    named("lkdtm_SLAB_FREE_DOUBLE")};
  crash.crash_class.name = "double_free";
  EXPECT_EQ("lkdtm_SLAB_FREE_DOUBLE", culprit(crash).frame->symbol);
  EXPECT_EQ("kasan_report_invalid_free", culprit(crash).noticed_by->symbol);
}

TEST(Culprit, IsNotTheCheckThatNoticed) {
  EXPECT_EQ("driver",
            found({named("panic"), named("die"), named("__list_add_valid_or_report", FrameKind::exception),
                   named("driver"), named("vfs_write")},
                  "list_corruption", true)
                .symbol);
  EXPECT_EQ(
      "driver",
      found({named("panic"), named("__stack_chk_fail.cold"), named("driver")}, "stack_protector").symbol);
  EXPECT_EQ("driver", found({named("panic"), named("add_taint"), named("object_err"), named("check_object"),
                             named("__slab_free"), named("kmem_cache_free"), named("driver")},
                            "slab_corruption")
                          .symbol);
  // What a module calls its functions is its own affair.
  Frame of_module = named("kfree", FrameKind::exception);
  of_module.module = "driver";
  EXPECT_EQ("kfree", found({named("die"), of_module, named("other")}, "bug_on", true).symbol);
  // All that is left is checks: better than nothing.
  EXPECT_EQ("kfree", found({named("die"), named("kfree", FrameKind::exception)}, "bug_on", true).symbol);
}

// They do as they are told.
TEST(Culprit, IsNotThePrimitiveThatWasGivenABadAddress) {
  for (const char* name : {"__pi_memcpy_generic", "memset", "__memmove", "memcpy_orig", "strlen",
                           "sized_strscpy", "rep_movs_alternative", "__arch_copy_from_user"}) {
    EXPECT_EQ("driver", found({named("die"), named("el1h_64_sync"), named(name, FrameKind::exception),
                               named("driver"), named("vfs_write")},
                              "bad_paging", true)
                            .symbol)
        << name;
  }
  EXPECT_EQ(
      "memcpy_fromio",
      found({named("die"), named("memcpy_fromio", FrameKind::exception), named("driver")}, "bad_paging", true)
          .symbol);
}

TEST(Culprit, OfASoftLockupBehindAnotherCpuIsWhoAskedIt) {
  EXPECT_EQ("driver", found({named("panic"), named("watchdog_timer_fn"), named("el1h_64_irq"),
                             named("smp_call_function_many_cond", FrameKind::exception),
                             named("smp_call_function"), named("driver")},
                            "soft_lockup")
                          .symbol);
}

TEST(Culprit, OfAWarningIsWhoWarned) {
  EXPECT_EQ("driver",
            found({named("panic"), named("check_panic_on_warn"), named("__warn"), named("report_bug"),
                   named("bug_handler"), named("el1h_64_sync"), named("driver", FrameKind::exception)},
                  "warn_panic")
                .symbol);
  EXPECT_EQ("driver",
            found({named("panic"), named("check_panic_on_warn"), named("__warn"), named("report_bug"),
                   named("refcount_warn_saturate", FrameKind::exception), named("driver")},
                  "refcount")
                .symbol);
}

TEST(Culprit, OfABadCallIsTheCaller) {
  Frame nowhere;
  nowhere.kind = FrameKind::exception;
  const std::vector<Frame> frames = {named("die"), nowhere, named("driver", FrameKind::bad_call),
                                     named("vfs_write")};
  EXPECT_EQ("driver", found(frames, "null_deref", true).symbol);
  // Data with a name is still nobody who did something.
  const std::vector<Frame> data = {named("die"), named("area", FrameKind::exception),
                                   named("driver", FrameKind::bad_call)};
  EXPECT_EQ("driver", found(data, "bad_paging", true).symbol);
  Culprit who{&data[2], &data[1], nullptr};
  EXPECT_EQ("called area+0x0, which cannot be executed", text::noticed_by(who));
  who.frame = &data[0];
  EXPECT_EQ("noticed by area+0x0", text::noticed_by(who));
}

TEST(Culprit, OfASoftLockupIsTheTaskBelowTheInterrupts) {
  EXPECT_EQ("driver_loop",
            found({named("panic"), named("watchdog_timer_fn"), named("handle_softirqs", FrameKind::exception),
                   named("asm_sysvec_apic_timer_interrupt"), named("driver_loop", FrameKind::exception),
                   named("vfs_write")},
                  "soft_lockup")
                .symbol);
}

// A panic that ends in a loop takes interrupts while it is dumped from outside.
TEST(Culprit, IsOutsideOfPanicAndItsInterrupts) {
  EXPECT_EQ("driver", found({named("tick"), named("asm_sysvec_apic_timer_interrupt"),
                             named("__delay", FrameKind::exception), named("panic"), named("driver")},
                            "panic")
                          .symbol);
  EXPECT_EQ("driver", found({named("tick"), named("__delay", FrameKind::exception), named("panic"),
                             named("die"), named("driver", FrameKind::exception)},
                            "bug_on", true)
                          .symbol);
}

TEST(Culprit, OfAHardLockupIsOnTheCpuThatWasLocked) {
  Crash crash;
  crash.cpus.resize(2);
  crash.cpus[0].cpu = 0;
  crash.cpus[0].backtrace.frames = {named("driver_loop"), named("vfs_write")};
  crash.cpus[1].cpu = 1;
  crash.cpus[1].crashed = true;
  crash.cpus[1].backtrace.frames = {named("panic"), named("watchdog_hardlockup_check"),
                                    named("idle", FrameKind::exception)};
  crash.crash_class.name = "hard_lockup";
  crash.crash_class.evidence = {{7, "watchdog: Watchdog detected hard LOCKUP on cpu 0"}};
  ASSERT_NE(nullptr, culprit(crash).frame);
  EXPECT_EQ("driver_loop", culprit(crash).frame->symbol);
  crash.crash_class.evidence[0].text = "Watchdog detected hard LOCKUP on cpu 1";
  EXPECT_EQ("idle", culprit(crash).frame->symbol);
  crash.cpus[0].backtrace.frames.clear();
  crash.crash_class.evidence[0].text = "Watchdog detected hard LOCKUP on cpu 0";
  EXPECT_EQ(nullptr, culprit(crash).frame) << "it did not answer: nothing is known of it";
}

TEST(Culprit, OfAnRcuStallIsOnTheBusyCpuWhenAnotherNoticed) {
  Crash crash;
  crash.cpus.resize(3);
  for (unsigned i = 0; i < 3; ++i) crash.cpus[i].cpu = i;
  crash.cpus[0].crashed = true;
  crash.cpus[0].backtrace.frames = {named("panic"), named("panic_on_rcu_stall"), named("rcu_sched_clock_irq"),
                                    named("native_safe_halt", FrameKind::exception), named("do_idle")};
  crash.cpus[1].backtrace.frames = {named("native_safe_halt"), named("do_idle"), named("cpu_startup_entry")};
  crash.cpus[2].backtrace.frames = {named("nmi_handle"), named("driver_loop", FrameKind::exception),
                                    named("vfs_write")};
  crash.crash_class.name = "rcu_stall";
  crash.crash_class.evidence = {{7, "rcu: INFO: rcu_sched detected stalls on CPUs/tasks:"}};
  ASSERT_NE(nullptr, culprit(crash).frame);
  EXPECT_EQ("driver_loop", culprit(crash).frame->symbol);
  Report report;
  crash.cpus[2].task = 0x2000;
  report.crash = crash;
  report.tasks.emplace().tasks.resize(2);
  for (int i = 0; i < 2; ++i) {
    report.tasks->tasks[i].address = 0x1000u * (i + 1);
    report.tasks->tasks[i].pid = i + 1;
  }
  ASSERT_NE(nullptr, culprit(report).task);
  EXPECT_EQ(2, culprit(report).task->pid);
  crash.crash_class.evidence[0].text = "rcu: INFO: rcu_sched self-detected stall on CPU";
  EXPECT_EQ("native_safe_halt", culprit(crash).frame->symbol);
  crash.crash_class.evidence[0].text = "rcu: INFO: rcu_sched detected stalls on CPUs/tasks:";
  std::swap(crash.cpus[1].backtrace.frames, crash.cpus[2].backtrace.frames);
  EXPECT_EQ("driver_loop", culprit(crash).frame->symbol);
  crash.cpus[2].backtrace.frames = {named("another_loop")};
  EXPECT_EQ("native_safe_halt", culprit(crash).frame->symbol) << "two are busy";
  crash.cpus[1].backtrace.frames.clear();
  EXPECT_EQ("native_safe_halt", culprit(crash).frame->symbol) << "of one nothing is known";
}

TEST(Culprit, OfAHungTaskIsWhereItWaits) {
  Report report;
  report.crash.emplace();
  report.crash->cpus.resize(1);
  report.crash->cpus[0].crashed = true;
  report.crash->cpus[0].backtrace.frames = {named("panic"), named("watchdog"), named("kthread")};
  report.crash->crash_class.name = "hung_task";
  report.crash->crash_class.evidence = {{1, "hung_task: blocked tasks"},
                                        {2, "INFO: task a:b c:17 blocked for more than 120 seconds."},
                                        {3, "INFO: task other:18 blocked for more than 120 seconds."}};
  EXPECT_EQ("watchdog", culprit(report).frame->symbol) << "nothing better is known";
  report.blocked.emplace();
  report.blocked->stacks.resize(2);
  for (int i = 0; i < 2; ++i) {
    report.blocked->stacks[i].owners.resize(1);
    report.blocked->stacks[i].owners[0].task.pid = 18 - i;
    report.blocked->stacks[i].trace.frames = {named("__switch_to"),
                                              named("__schedule"),
                                              named("schedule"),
                                              named("__mutex_lock.constprop.0"),
                                              named(i == 0 ? "wrong" : "driver"),
                                              named("kthread")};
  }
  const Culprit who = culprit(report);
  ASSERT_NE(nullptr, who.frame);
  EXPECT_EQ("driver", who.frame->symbol);
  EXPECT_EQ("__mutex_lock.constprop.0", who.noticed_by->symbol);
  ASSERT_NE(nullptr, who.task);
  EXPECT_EQ(17, who.task->pid);
}

// The trace of an oops begins where the note's registers are: at the fault, if they came through the crash
// path.
TEST(Oops, BeginsAtTheFault) {
  for (bool kdump : {true, false}) {
    Scene scene({.machine = {.x86_64 = test::X86_64Options{}}, .oops = true});
    if (!kdump) scene.machine->erase("CRASHTIME");
    std::unique_ptr<Dump> dump = scene.machine->open();
    Kernel kernel(*dump);
    Crash crash = diagnose(kernel, read_log(kernel.memory()));
    const CpuState* cpu = crashing_cpu(crash);
    ASSERT_NE(nullptr, cpu);
    ASSERT_FALSE(cpu->backtrace.frames.empty());
    const Frame& first = cpu->backtrace.frames[0];
    EXPECT_EQ("faulty_fn", first.symbol);
    EXPECT_EQ(kdump ? FrameKind::exception : FrameKind::call, first.kind);
    EXPECT_EQ(kdump, first.registers.has_value());
    EXPECT_EQ(kdump, crash.fault_registers.has_value());
    EXPECT_EQ(true, crash.log_trace_agrees) << crash.log_trace_difference;
    ASSERT_TRUE(crash.fault);
    EXPECT_EQ("page_fault", crash.fault->exception);
  }
  Scene scene({.machine = {.x86_64 = test::X86_64Options{}}});
  std::unique_ptr<Dump> dump = scene.machine->open();
  Kernel kernel(*dump);
  Crash crash = diagnose(kernel, read_log(kernel.memory()));
  EXPECT_EQ(FrameKind::call, crashing_cpu(crash)->backtrace.frames[0].kind);
  EXPECT_FALSE(crash.fault_registers || crash.fault);
}

KernelLog log_of(uint64_t count) {
  KernelLog log;
  for (uint64_t i = 0; i < count; ++i) {
    LogRecord record;
    record.seq = 1000 + i;
    record.text = "line";
    log.records.push_back(record);
  }
  return log;
}

TEST(LogTail, StartsShortlyBeforeTheFirstSign) {
  std::vector<Limit> limits;
  Crash crash;
  crash.panic_seq = 1290;
  crash.crash_class.evidence = {{1200, "Unable to handle"}, {1290, "Kernel panic"}};
  LogFacts facts = examine_log(log_of(300), &crash, limits);
  EXPECT_EQ(300u, facts.total_records);
  ASSERT_FALSE(facts.tail.empty());
  EXPECT_EQ(1188u, facts.tail.front().seq);
  EXPECT_EQ(1299u, facts.tail.back().seq);
  EXPECT_FALSE(facts.gap_after);
}

TEST(LogTail, AStormIsCutInTheMiddle) {
  std::vector<Limit> limits;
  Crash crash;
  crash.panic_seq = 1100;
  LogFacts facts = examine_log(log_of(5000), &crash, limits, 90);
  ASSERT_EQ(90u, facts.tail.size());
  ASSERT_TRUE(facts.gap_after);
  EXPECT_EQ(1088u, facts.tail.front().seq);
  EXPECT_EQ(5999u, facts.tail.back().seq);
  EXPECT_GT(facts.tail[*facts.gap_after + 1].seq, facts.tail[*facts.gap_after].seq + 1);
}

TEST(LogTail, EvidenceOutsideTheLogIsHarmless) {
  std::vector<Limit> limits;
  Crash crash;
  crash.panic_seq = UINT64_MAX;
  EXPECT_EQ(40u, examine_log(log_of(100), &crash, limits).tail.size());
  crash.panic_seq = 0;
  EXPECT_EQ(100u, examine_log(log_of(100), &crash, limits).tail.size());
  EXPECT_TRUE(limits.empty());
  EXPECT_TRUE(examine_log({}, nullptr, limits).tail.empty());
  EXPECT_FALSE(limits.empty());
}

TEST(Modules, NamesOutOfTheLogWhenTheListIsUnknown) {
  Scene scene({.data_symbols = false, .oops = true});
  auto dump = scene.machine->open();
  Kernel kernel(*dump);
  ModuleList unknown;
  unknown.why_not = "the symbol is not known";
  std::vector<Limit> limits;
  KernelLog log;
  log.records.resize(1);
  log.records[0].text = "Modules linked in: alpha(OE) beta gamma(P) [last unloaded: delta]";
  ModulesFacts facts = examine_modules(kernel, unknown, log, limits);
  EXPECT_EQ("log", facts.source);
  ASSERT_EQ(3u, facts.list.modules.size());
  EXPECT_EQ("alpha", facts.list.modules[0].name);
  EXPECT_EQ("OE", facts.list.modules[0].taint_letters);
  EXPECT_EQ("beta", facts.list.modules[1].name);
  EXPECT_EQ("gamma", facts.list.modules[2].name);
  ASSERT_EQ(1u, limits.size());
  EXPECT_FALSE(partial(limits));
}

TEST(Json, NumbersThatNoReaderHoldsExactlyAreNull) {
  EXPECT_EQ(nlohmann::ordered_json(9007199254740991), json::integer(9007199254740991));
  EXPECT_TRUE(json::integer(9007199254740992).is_null());
  EXPECT_TRUE(json::integer(std::nullopt).is_null());
  EXPECT_EQ("0x00000000deadbeef", json::hex(0xdeadbeef));
  EXPECT_EQ("2026-11-23T17:41:26Z", json::time(1795455686)["utc"]);
  EXPECT_TRUE(json::time(UINT64_MAX).is_null());
}

// Sym answers both ways, and says so when it cannot.
TEST(Symbols, BothWays) {
  Scene scene;
  Session session(scene.machine->open(), {.dump = {}, .search = {}, .use_debug_info = false});
  SymbolReport by_name = make_symbols(session, {"panic", "panic+0x20", "nosuch", "0x10", "init_task"});
  ASSERT_EQ(5u, by_name.answers.size());
  ASSERT_EQ(1u, by_name.answers[0].matches.size());
  uint64_t panic = by_name.answers[0].matches[0].address;
  EXPECT_EQ(0x20u, by_name.answers[1].matches.at(0).offset);
  EXPECT_TRUE(by_name.answers[2].matches.empty());
  EXPECT_TRUE(by_name.answers[3].matches.empty());
  EXPECT_EQ(scene.init_task.value, by_name.answers[4].matches.at(0).address);
  SymbolReport by_address = make_symbols(session, {hex64(panic + 8), hex64(panic + 8).substr(2)});
  for (const SymbolAnswer& answer : by_address.answers) {
    ASSERT_EQ(1u, answer.matches.size());
    EXPECT_EQ("panic", answer.matches[0].symbol);
    EXPECT_EQ(8u, answer.matches[0].offset);
  }
}

bool printable(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    return c == '\n' || c == '\t' || (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f);
  });
}

// Whatever bytes the dumped memory holds: a report comes out, it is JSON, and no control byte reaches a
// terminal.
TEST(Corruption, AnyBytesGiveAReport) {
  std::mt19937_64 random(20261123);  // fixed: a failure can be repeated
  for (int round = 0; round < 60; ++round) {
    Scene scene({.machine = {.ram = {{0x40000000, uint64_t{8} << 20}}},
                 .data_symbols = round % 3 != 0,
                 .oops = round % 2 == 0});
    test::DumpBuilder& machine = *scene.machine;
    std::vector<Pfn> used;
    for (const PfnRange& range : machine.ram()) {
      for (Pfn pfn = range.begin; pfn < range.end; pfn = pfn + 1) {
        std::vector<uint8_t> page = machine.page(pfn);
        if (std::any_of(page.begin(), page.end(), [](uint8_t byte) { return byte != 0; }))
          used.push_back(pfn);
      }
    }
    ASSERT_GT(used.size(), 20u);
    for (int change = 0; change < 1 << (round % 9); ++change) {
      PhysAddr page{used[random() % used.size()].value * machine.page_size()};
      uint64_t value =
          random() % 2 == 0 ? random() : machine.text().value + random() % machine.options().image_size;
      if (random() % 4 == 0) value &= 0xff;
      machine.put_phys_u64(page + random() % (machine.page_size() / 8) * 8, value);
    }
    Session session(machine.open(), {.dump = {"synthetic"}, .search = {}, .use_debug_info = false});
    Report report = make_report(session);
    std::string json = to_json_text(report);
    EXPECT_FALSE(nlohmann::json::parse(json, nullptr, false).is_discarded()) << "round " << round;
    EXPECT_TRUE(printable(to_text(report))) << "round " << round;
  }
}

}  // namespace
}  // namespace kdk
