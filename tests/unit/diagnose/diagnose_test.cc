#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/diagnose/crash.h"
#include "tests/unit/diagnose/crashed_cpus.h"
#include "tests/unit/diagnose/oops_texts.h"

namespace kdk {
namespace {

using test::crashed_two_cpus;
using test::CrashedMachine;

std::vector<std::string> names(const Backtrace& trace) {
  std::vector<std::string> out;
  for (const Frame& frame : trace.frames) out.push_back(frame.symbol);
  return out;
}

bool mentions(const std::vector<std::string>& problems, std::string_view text) {
  return std::any_of(problems.begin(), problems.end(),
                     [&](const std::string& p) { return p.find(text) != std::string::npos; });
}

TEST(Diagnose, NullDereferenceOnOneOfTwoCpus) {
  std::unique_ptr<CrashedMachine> machine = crashed_two_cpus();
  Crash crash = diagnose(*machine->kernel, test::null_dereference_log());
  EXPECT_EQ(crash.crash_class.name, "null_deref");
  EXPECT_NE(crash.panic_message.find("Unable to handle kernel NULL pointer"), std::string::npos);
  EXPECT_EQ(crash.panic_seq, 501u);
  EXPECT_EQ(crash.cpu, 0u);
  EXPECT_EQ(crash.pid, 412);
  EXPECT_EQ(crash.comm, "my worker");
  EXPECT_EQ(crash.crash_time, 1767225600u);
  ASSERT_EQ(crash.cpus.size(), 2u);
  const CpuState* crashed = crashing_cpu(crash);
  ASSERT_EQ(crashed, &crash.cpus[0]);
  EXPECT_EQ(crashed->cpu_source, "crash_notes");
  EXPECT_EQ(names(crashed->backtrace),
            (std::vector<std::string>{"__crash_kexec", "die", "__do_kernel_fault", "do_page_fault",
                                      "el1h_64_sync", "faulty_fn", "vfs_write", "el0t_64_sync"}));
  EXPECT_EQ(crashed->backtrace.frames[1].stack, "task");
  EXPECT_EQ(crashed->backtrace.end, "user mode");
  ASSERT_TRUE(crash.fault_registers);
  EXPECT_EQ(crash.fault_registers->get(test::pc), machine->function(5, 0x14));
  EXPECT_EQ(crash.log_trace, (std::vector<std::string>{"faulty_fn", "vfs_write", "el0t_64_sync"}));
  EXPECT_EQ(crash.log_trace_agrees, true) << crash.log_trace_difference;

  const CpuState& idle = crash.cpus[1];
  EXPECT_EQ(idle.cpu, 1u);
  EXPECT_FALSE(idle.crashed);
  EXPECT_EQ(idle.pid, 0);
  EXPECT_EQ(idle.comm, "swapper/1");
  EXPECT_TRUE(idle.task);
  EXPECT_EQ(names(idle.backtrace), (std::vector<std::string>{"cpu_do_idle", "do_idle"}));
  EXPECT_EQ(idle.backtrace.end, "thread start");
  EXPECT_TRUE(crash.problems.empty()) << crash.problems[0];
}

TEST(Diagnose, ACpuThatDidNotAnswerIsNamed) {
  std::unique_ptr<CrashedMachine> machine = crashed_two_cpus({.second_answers = false});
  Crash crash = diagnose(*machine->kernel, test::null_dereference_log());
  ASSERT_EQ(crash.cpus.size(), 2u);
  EXPECT_TRUE(crash.cpus[0].answered);
  EXPECT_FALSE(crash.cpus[1].answered);
  EXPECT_FALSE(crash.cpus[1].registers);
  EXPECT_EQ(crash.cpus[1].comm, "swapper/1");
  EXPECT_TRUE(mentions(crash.problems, "CPU 1 was online but left no registers"));
}

TEST(Diagnose, WithoutSymbolsTheNumbersAreAGuessAndSaySo) {
  std::unique_ptr<CrashedMachine> machine = crashed_two_cpus({.crash_notes = false});
  Crash crash = diagnose(*machine->kernel, test::null_dereference_log());
  ASSERT_EQ(crash.cpus.size(), 2u);
  EXPECT_TRUE(crash.cpus[0].crashed);
  EXPECT_EQ(crash.cpus[0].cpu_source, "log");
  EXPECT_EQ(crash.cpus[0].pid, 412);
  EXPECT_EQ(crash.cpus[0].comm, "my worker");
  EXPECT_EQ(crash.cpus[1].cpu, 1u);
  EXPECT_EQ(crash.cpus[1].cpu_source, "note order (a guess)");
  EXPECT_EQ(crash.cpus[1].backtrace.frames[1].stack, "?");
  EXPECT_EQ(crash.log_trace_agrees, true);
  EXPECT_TRUE(mentions(crash.problems, "crash_notes"));
}

// The crashing CPU is known by where it is, not by where its note stands; then the order cannot be the CPU
// order.
TEST(Diagnose, NotesInAnotherOrder) {
  std::unique_ptr<CrashedMachine> machine =
      crashed_two_cpus({.crash_notes = false, .second_first_in_file = true});
  Crash crash = diagnose(*machine->kernel, test::null_dereference_log());
  ASSERT_EQ(crash.cpus.size(), 2u);
  EXPECT_EQ(crash.cpus[0].cpu, 0u);
  EXPECT_TRUE(crash.cpus[0].crashed);
  EXPECT_FALSE(crash.cpus[1].cpu);
  EXPECT_EQ(crash.cpus[1].cpu_source, "unknown");
}

TEST(Diagnose, AMissingNoteIsCountedAgainstTheLog) {
  std::unique_ptr<CrashedMachine> machine = crashed_two_cpus({.crash_notes = false, .second_answers = false});
  Crash crash = diagnose(*machine->kernel, test::null_dereference_log());
  EXPECT_EQ(crash.cpus.size(), 1u);
  EXPECT_TRUE(mentions(crash.problems, "2 CPUs were brought up but only 1 left registers"));
}

TEST(Diagnose, HypervisorDumpsNumberTheirNotes) {
  std::unique_ptr<CrashedMachine> machine =
      crashed_two_cpus({.crash_notes = false, .crash_time = false, .first_pid = 1, .second_pid = 2});
  Crash crash = diagnose(*machine->kernel, test::log_of("all is well"));
  EXPECT_EQ(crash.crash_class.name, "no_panic");
  ASSERT_EQ(crash.cpus.size(), 2u);
  EXPECT_EQ(crash.cpus[1].cpu, 1u);
  EXPECT_EQ(crash.cpus[1].cpu_source, "hypervisor note");
  EXPECT_FALSE(crash.cpus[1].pid);
  EXPECT_FALSE(crash.crash_time);
}

TEST(Diagnose, TracesThatDifferSayWhere) {
  std::unique_ptr<CrashedMachine> machine = crashed_two_cpus();
  KernelLog log = test::null_dereference_log();
  for (LogRecord& record : log.records) {
    if (record.text.starts_with(" vfs_write")) record.text = " vfs_read+0x20/0x100";
  }
  Crash crash = diagnose(*machine->kernel, log);
  EXPECT_EQ(crash.log_trace_agrees, false);
  EXPECT_EQ(crash.log_trace_difference, "the kernel printed vfs_read where our trace has vfs_write");
}

TEST(Diagnose, ALongerKernelTraceDiffers) {
  std::unique_ptr<CrashedMachine> machine = crashed_two_cpus();
  Backtrace trace = crashing_cpu(diagnose(*machine->kernel, test::null_dereference_log()))->backtrace;
  std::vector<LogTraceEntry> entries;
  for (const char* name : {"x", "__crash_kexec_not", "el0t_64_sync"}) entries.push_back({.function = name});
  std::string difference;
  EXPECT_EQ(trace_agrees(*machine->kernel, trace, entries, difference), false);
  EXPECT_FALSE(difference.empty());
  EXPECT_EQ(trace_agrees(*machine->kernel, trace, {}, difference), std::nullopt);
}

// The kernel prints the symbol of the return address itself.
TEST(Diagnose, ANoReturnCallAtTheEndOfItsFunctionStillAgrees) {
  std::unique_ptr<CrashedMachine> machine = crashed_two_cpus();
  Backtrace trace;
  trace.frames.resize(1);
  trace.frames[0].pc = machine->function(6, 0);
  trace.frames[0].pc_is_return_address = true;
  symbolise(*machine->kernel, trace);
  EXPECT_EQ(trace.frames[0].symbol, "faulty_fn");
  std::string difference;
  EXPECT_EQ(trace_agrees(*machine->kernel, trace, {{.function = "vfs_write"}}, difference), true);
  EXPECT_EQ(trace_agrees(*machine->kernel, trace, {{.function = "do_idle"}}, difference), false);
}

// The kernel prints who called what is no code as a guess only, or not at all.
TEST(Diagnose, OfACallOfDataTheKernelKnowsLess) {
  std::unique_ptr<CrashedMachine> machine = crashed_two_cpus();
  Backtrace trace;
  for (unsigned n : {1U, 2U, 3U, 4U}) trace.frames.emplace_back().pc = machine->function(n);
  trace.frames[0].pc = 0x7f0000001000;
  trace.frames[1].kind = FrameKind::bad_call;
  symbolise(*machine->kernel, trace);
  auto agrees = [&](std::vector<LogTraceEntry> log) {
    std::string difference;
    return trace_agrees(*machine->kernel, trace, log, difference);
  };
  const LogTraceEntry there{.function = "0x7f0000001000"}, caller{.function = trace.frames[1].symbol},
      outer{.function = trace.frames[2].symbol}, outermost{.function = trace.frames[3].symbol};
  EXPECT_EQ(agrees({there, outer, outermost}), true);
  EXPECT_EQ(agrees({there, caller, outer, outermost}), true);
  EXPECT_EQ(agrees({there, outermost}), false);
  EXPECT_EQ(agrees({there}), std::nullopt);
  EXPECT_EQ(agrees({outer}), false);
}

TEST(Diagnose, NothingButMemory) {
  CrashedMachine machine;
  machine.open(0);
  Crash crash = diagnose(*machine.kernel, KernelLog{});
  EXPECT_TRUE(crash.cpus.empty());
  EXPECT_EQ(crash.crash_class.name, "unknown");
  EXPECT_TRUE(crash.crash_class.title.starts_with("What happened is not known: the kernel log is not"))
      << crash.crash_class.title;
  EXPECT_TRUE(mentions(crash.problems, "no register notes"));
}

// Only a whole log of a kernel that left no time of a crash makes a live system.
TEST(Diagnose, ALogWithoutAPanicIsNoProofOfALiveSystem) {
  std::unique_ptr<CrashedMachine> machine = crashed_two_cpus();
  KernelLog log = test::log_of("all is well");
  EXPECT_EQ(diagnose(*machine->kernel, log).crash_class.name, "unknown");  // CRASHTIME
  machine = crashed_two_cpus({.crash_notes = false, .crash_time = false});
  EXPECT_EQ(diagnose(*machine->kernel, log).crash_class.name, "no_panic");
  log.problems.push_back("2 log records could not be read");
  const Crash crash = diagnose(*machine->kernel, log);
  EXPECT_EQ(crash.crash_class.name, "unknown");
  EXPECT_TRUE(crash.crash_class.title.ends_with("data is missing")) << crash.crash_class.title;
}

TEST(CrashJson, SixtyFourBitValuesAreStrings) {
  EXPECT_EQ(hex64(0), "0x0000000000000000");
  EXPECT_EQ(hex64(0xffff800081234567), "0xffff800081234567");
  std::unique_ptr<CrashedMachine> machine = crashed_two_cpus();
  const Arch& arch = machine->kernel->memory().arch();
  nlohmann::ordered_json json = to_json(diagnose(*machine->kernel, test::null_dereference_log()), arch);
  EXPECT_EQ(json["fault_registers"]["pc"], hex64(machine->function(5, 0x14)));
  EXPECT_EQ(json["cpus"][0]["backtrace"]["frames"][5]["kind"], "exception");
  EXPECT_EQ(json["cpus"][0]["backtrace"]["frames"][5]["trust"], "registers");
  EXPECT_EQ(json.begin().key(), "panic_message");
}

}  // namespace
}  // namespace kdk
