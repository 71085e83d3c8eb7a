#include <gtest/gtest.h>

#include "core/diagnose/crash.h"
#include "core/diagnose/log_trace.h"
#include "tests/unit/diagnose/oops_texts.h"

namespace kdk {
namespace {

using test::log_of;

std::vector<test::OopsText> all_texts() {
  std::vector<test::OopsText> texts = test::oops_texts();
  for (const test::OopsText& text : test::oops_texts_x86_64()) texts.push_back(text);
  for (const test::OopsText& text : test::oops_texts_kasan()) texts.push_back(text);
  return texts;
}

TEST(Classify, EveryClassFromItsOwnText) {
  for (const test::OopsText& oops : all_texts()) {
    SCOPED_TRACE(std::string(oops.name) + ": " + std::string(oops.text.substr(0, 60)));
    CrashClass result = classify(log_of(oops.text));
    EXPECT_EQ(result.name, oops.name);
    EXPECT_FALSE(result.title.empty());
    EXPECT_NE(result.title, "Unknown kind of failure");
    EXPECT_EQ(result.in_interrupt, oops.in_interrupt);
    if (!oops.deciding.empty()) {
      ASSERT_FALSE(result.evidence.empty());
      EXPECT_NE(result.evidence[0].text.find(oops.deciding), std::string::npos) << result.evidence[0].text;
    }
  }
}

TEST(Classify, TraceAndCpuOfTheCrash) {
  for (const test::OopsText& oops : all_texts()) {
    SCOPED_TRACE(std::string(oops.name) + ": " + std::string(oops.text.substr(0, 60)));
    LogCrash crash = find_log_crash(log_of(oops.text), 0);
    if (oops.trace_from.empty()) {
      EXPECT_TRUE(crash.trace.empty());
    } else {
      ASSERT_FALSE(crash.trace.empty());
      EXPECT_EQ(crash.trace.front().function, oops.trace_from);
      EXPECT_EQ(crash.trace.back().function, oops.trace_to);
    }
    EXPECT_EQ(crash.cpu_line.has_value(), oops.cpu >= 0);
    if (crash.cpu_line && oops.cpu >= 0) {
      EXPECT_EQ(static_cast<int>(crash.cpu_line->cpu), oops.cpu);
      EXPECT_EQ(crash.cpu_line->pid, oops.pid);
      EXPECT_EQ(crash.cpu_line->comm, oops.comm);
    }
  }
}

TEST(Classify, TitlesThatSayMoreThanTheClass) {
  auto title = [](std::string_view line) { return classify(log_of(line)).title; };
  EXPECT_EQ("Access of the kernel to user memory outside of the functions that may",
            title("Unable to handle kernel access to user memory outside uaccess routines at virtual address "
                  "0000ffffaf4d2000"));
  EXPECT_EQ("Execution of user memory by the kernel",
            title("Unable to handle kernel execution of user memory at virtual address 0000ffffaf4d2000"));
  EXPECT_EQ(
      "Execution of kernel memory that holds no code",
      title(
          "Unable to handle kernel execute from non-executable memory at virtual address ffff00000ffc4000"));
  EXPECT_EQ("Write to read-only memory of the kernel",
            title("Unable to handle kernel write to read-only memory at virtual address ffffcd26bcab806c"));
  EXPECT_EQ("Access to a kernel address that does not allow it",
            title("Unable to handle kernel paging request at virtual address ffff800080046000"));
  EXPECT_EQ("Memory freed that is none to free, or was freed before, found by KFENCE",
            title("BUG: KFENCE: invalid free in lkdtm_SLAB_FREE_DOUBLE+0x5c/0x7c"));
  EXPECT_EQ("Use of freed memory found by KFENCE",
            title("BUG: KFENCE: use-after-free read in lkdtm_KFENCE_READ_AFTER_FREE+0x80/0x104"));
  std::vector<std::string> titles;
  for (const test::OopsText& text : test::oops_texts_kasan()) titles.push_back(title(text.text));
  EXPECT_EQ((std::vector<std::string>{
                "Access outside of an object found by KASAN", "Use of freed memory found by KASAN",
                "Use of freed memory found by KASAN", "Memory was freed twice",
                "Access outside of an object found by KASAN", "NULL pointer dereference in the kernel",
                "Access of the kernel to user memory outside of the functions that may"}),
            titles);
  // A panic of its own name is not about what was reported before.
  EXPECT_EQ("Crash made on purpose through sysrq",
            title("BUG: KFENCE: invalid free in lkdtm_SLAB_FREE_DOUBLE+0x5c/0x7c\n"
                  "Kernel panic - not syncing: sysrq triggered crash"));
}

TEST(Classify, SourcesElsewhere) {
  for (std::string_view path : {"", "../source/", "/usr/src/linux/"}) {
    const std::string line = "kernel BUG at " + std::string(path) + "mm/slub.c:550!";
    EXPECT_EQ("slab_corruption", classify(log_of(line)).name) << line;
  }
  EXPECT_EQ("bug_on", classify(log_of("kernel BUG at ../source/kernel/params.c:806!")).name);
}

TEST(Classify, EvidenceKeepsEveryMatchAndItsSequenceNumber) {
  CrashClass result =
      classify(log_of("boot\n"
                      "BUG: Bad page state in process a  pfn:1\n"
                      "Unable to handle kernel NULL pointer dereference at virtual address 0000000000000000\n"
                      "Internal error: Oops: 0000000096000004 [#1] SMP\n"
                      "Kernel panic - not syncing: Oops: Fatal exception"));
  EXPECT_EQ(result.name, "bad_page");  // the damage comes before the fault it led to
  ASSERT_EQ(result.evidence.size(), 4u);
  EXPECT_EQ(result.evidence[0].seq, 501u);
  EXPECT_EQ(result.evidence[1].text, "Kernel panic - not syncing: Oops: Fatal exception");
  EXPECT_EQ(result.evidence[1].seq, 504u);
}

TEST(Classify, AnOldReportDoesNotDecide) {
  KernelLog log = log_of("BUG: Bad page state in process a  pfn:1", 1'000'000'000);
  KernelLog later = log_of(
      "Unable to handle kernel NULL pointer dereference at virtual address 0000000000000000\n"
      "Kernel panic - not syncing: Oops: Fatal exception",
      900'000'000'000);
  log.records.insert(log.records.end(), later.records.begin(), later.records.end());
  CrashClass result = classify(log);
  EXPECT_EQ(result.name, "null_deref");
  EXPECT_EQ(result.evidence.size(), 3u);
}

// Anybody who may write to /dev/kmsg could otherwise decide what the report says.
TEST(Classify, LinesOfUserSpaceAreNotEvidence) {
  KernelLog log =
      log_of("Unable to handle kernel NULL pointer dereference\nKernel panic - not syncing: fake");
  for (LogRecord& record : log.records) record.facility = 1;
  EXPECT_EQ(classify(log).name, "no_panic");
  EXPECT_TRUE(classify(log).evidence.empty());
  EXPECT_FALSE(find_panic_line(log));
}

TEST(Classify, ControlBytesAreEscaped) {
  CrashClass result = classify(log_of("Kernel panic - not syncing: a\x1b[2Jb"));
  ASSERT_EQ(result.evidence.size(), 1u);
  EXPECT_EQ(result.evidence[0].text, "Kernel panic - not syncing: a\\x1b[2Jb");
}

TEST(Classify, EmptyLog) {
  EXPECT_EQ(classify(KernelLog{}).name, "no_panic");
  EXPECT_TRUE(find_log_crash(KernelLog{}).trace.empty());
}

TEST(Classify, EvidenceIsBounded) {
  std::string text;
  for (int i = 0; i < 10000; ++i) text += "WARNING: CPU: 0 PID: 1 at x.c:1 f+0x0/0x1\n";
  EXPECT_LE(classify(log_of(text)).evidence.size(), 64u);
}

TEST(LogTrace, EntryForms) {
  auto entry = parse_trace_entry(" panic+0x398/0x400");
  ASSERT_TRUE(entry);
  EXPECT_EQ(entry->function, "panic");
  EXPECT_EQ(entry->offset, 0x398u);
  EXPECT_TRUE(entry->module.empty() && entry->marker.empty());

  entry = parse_trace_entry(" faulty_write+0x14/0x20 [faulty 3c0fa8d1] (P)");
  ASSERT_TRUE(entry);
  EXPECT_EQ(entry->module, "faulty");
  EXPECT_EQ(entry->marker, "P");

  entry = parse_trace_entry(" ? die_addr+0x36/0x60");
  ASSERT_TRUE(entry);
  EXPECT_EQ(entry->marker, "?");

  entry = parse_trace_entry(" 0xffff800008123456");
  ASSERT_TRUE(entry);
  EXPECT_EQ(entry->function, "0xffff800008123456");

  entry = parse_trace_entry(" [<ffff00000855f0ac>] sysrq_handle_crash+0x24/0x30");
  ASSERT_TRUE(entry);
  EXPECT_EQ(entry->function, "sysrq_handle_crash");

  for (const char* line :
       {"", " ", "panic+0x398/0x400", " panic+0x398", " panic+398/400", " panic+0x398/0x400 trailing",
        " panic+0x398/0x400 [mod", " hello world", " [<ffff", " +0x1/0x2", " a+0xfffffffffffffffff/0x1"}) {
    EXPECT_FALSE(parse_trace_entry(line)) << line;
  }
}

TEST(LogTrace, LinesOfOtherCpusAreSkipped) {
  LogCrash crash =
      find_log_crash(log_of("Kernel panic - not syncing: x\n"
                            "Call trace:\n"
                            " a+0x1/0x2\n"
                            "eth0: link down\n"
                            " b+0x1/0x2\n"
                            "SMP: stopping secondary CPUs\n"
                            " c+0x1/0x2"));
  ASSERT_EQ(crash.trace.size(), 2u);
  EXPECT_EQ(crash.trace[1].function, "b");
}

TEST(LogTrace, CallerIdsSeparateCpus) {
  KernelLog log = log_of(
      "Kernel panic - not syncing: x\n"
      "Call trace:\n"
      " a+0x1/0x2\n"
      " other+0x1/0x2\n"
      " b+0x1/0x2");
  for (LogRecord& record : log.records) record.caller_id = 1;
  log.records[3].caller_id = 2;
  LogCrash crash = find_log_crash(log);
  ASSERT_EQ(crash.trace.size(), 2u);
  EXPECT_EQ(crash.trace[1].function, "b");
}

std::vector<std::string> trace_of(std::string_view text) {
  std::vector<std::string> out;
  for (const LogTraceEntry& entry : find_log_crash(log_of(text), 0).trace) {
    out.push_back(entry.function + (entry.module.empty() ? "" : "@" + entry.module));
  }
  return out;
}

TEST(LogTrace, WhereX86WasInterrupted) {
  using Names = std::vector<std::string>;
  EXPECT_EQ(trace_of("RIP: 0010:bad+0x1/0x2 [mod]\nCall Trace:\n <TASK>\n up+0x1/0x2"),
            (Names{"bad@mod", "up"}));
  // A call through a null pointer.
  EXPECT_EQ(trace_of("RIP: 0010:0x0\nCode: Unable to access opcode bytes at 0xffffffffffffffd6.\nCall "
                     "Trace:\n up+0x1/0x2"),
            (Names{"0x0", "up"}));
  // User mode: only the kernel's side counts.
  EXPECT_EQ(trace_of("RIP: 0033:0x7f1d\nCall Trace:\n up+0x1/0x2\nRIP: 0033:0x7f1d\n below+0x1/0x2"),
            (Names{"up"}));
  // Of another report: a CPU line or a trace lies between.
  EXPECT_EQ(trace_of("RIP: 0010:old+0x1/0x2\nCPU: 0 PID: 1 Comm: a Not tainted\nCall Trace:\n up+0x1/0x2"),
            (Names{"up"}));
  // Code and registers end a trace unless an exception inside it printed them.
  EXPECT_EQ(trace_of("Call Trace:\n up+0x1/0x2\nCode: 90 90\n more+0x1/0x2"), (Names{"up"}));
  EXPECT_EQ(trace_of("Call Trace:\n up+0x1/0x2\nRIP: 0010:mid+0x1/0x2\nCode: 90 90\n more+0x1/0x2\nCode: "
                     "90\n x+0x1/0x2"),
            (Names{"up", "mid", "more"}));
}

TEST(LogTrace, CpuLines) {
  auto line =
      parse_cpu_line("CPU: 12 UID: 1000 PID: 4711 Comm: Web Content Kdump: loaded Tainted: G  W 6.12.0 #1");
  ASSERT_TRUE(line);
  EXPECT_EQ(line->cpu, 12u);
  EXPECT_EQ(line->pid, 4711);
  EXPECT_EQ(line->comm, "Web Content");
  EXPECT_FALSE(parse_cpu_line("CPU: 99999999999999999999 PID: 1 Comm: x Not tainted"));
  EXPECT_FALSE(parse_cpu_line("CPU: 1 Comm: x Not tainted"));
  EXPECT_FALSE(parse_cpu_line("CPU0 is up"));
}

}  // namespace
}  // namespace kdk
