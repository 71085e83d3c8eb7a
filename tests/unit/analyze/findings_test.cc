#include "analyze/triage/findings.h"

#include <gtest/gtest.h>

#include "analyze/render/waits.h"
#include "analyze/triage/memory_history.h"
#include "analyze/triage/report.h"
#include "tests/unit/diagnose/oops_texts.h"

namespace kdk {
namespace {

constexpr uint64_t second = 1'000'000'000;

Report with_tasks(size_t count) {
  Report report;
  report.locks.emplace();
  ProcessTable& table = report.locks->processes;
  for (size_t i = 0; i < count; ++i) {
    Task& task = table.list.tasks.emplace_back();
    task.pid = static_cast<int32_t>(100 + i);
    task.comm = "task" + std::to_string(i);
    task.state = 'D';
    table.facts.emplace_back().since_run_ns = (130 - i) * second;
  }
  return report;
}

void add_lock(Report& report, const std::vector<size_t>& waiters, std::optional<size_t> owner,
              uint64_t address) {
  Lock& lock = report.locks->table.locks.emplace_back();
  for (size_t task : waiters) lock.waiters.emplace_back().task = task;
  lock.owner = owner;
  lock.address = address;
  lock.owner_address = owner ? 0xffff000000000000 + *owner : 0;
}

std::vector<std::string> names(const std::vector<Finding>& findings) {
  std::vector<std::string> out;
  for (const Finding& finding : findings) out.push_back(finding.name);
  return out;
}
using Names = std::vector<std::string>;

TEST(Findings, NoneOfAReportWithoutTrouble) {
  EXPECT_TRUE(find_problems(Report{}).empty());
  EXPECT_TRUE(find_problems(with_tasks(3)).empty());
  EXPECT_EQ("", text::findings({}));
}

std::string history_of(std::string_view text) {
  LogFacts log;
  log.tail = test::log_of(text).records;
  const std::vector<Finding> found = find_memory_history(log);
  return found.empty() ? "" : found.front().title;
}

TEST(Findings, WhoHadTheMemory) {
  EXPECT_EQ(
      "The memory was allocated in lkdtm_READ_AFTER_FREE by task 88, and freed in driver_release by task 89",
      history_of("BUG: KASAN: slab-use-after-free in lkdtm_READ_AFTER_FREE+0x7c/0x100\n"
                 "Read at addr f7ff000003a12340 by task sh/88\n"
                 "Call trace:\n"
                 " lkdtm_do_action+0x1c/0x30\n"
                 "\n"
                 "Allocated by task 88:\n"
                 " kasan_save_stack+0x3c/0x64\n"
                 " __kmalloc_cache_noprof+0x40/0x80\n"
                 " lkdtm_READ_AFTER_FREE+0x20/0x100\n"
                 " lkdtm_do_action+0x1c/0x30\n"
                 "\n"
                 "Freed by task 89:\n"
                 " kasan_save_stack+0x3c/0x64\n"
                 " kfree+0x40/0x80\n"
                 " driver_release+0x20/0x100 [driver]\n"));
  EXPECT_EQ("The memory was allocated in driver_open by task 12, and freed by task 13",
            history_of("BUG: KFENCE: use-after-free read in driver_read+0x7c/0x100\n"
                       "kfence-#12: 0x0000000012345678-0x0000000012345778, size=256, cache=kmalloc-256\n"
                       "\n"
                       "allocated by task 12 on cpu 0 at 12.345678s (0.001s ago):\n"
                       " driver_open+0x20/0x100\n"
                       "\n"
                       "freed by task 13 on cpu 1 at 12.345679s (0.001s ago):\n"
                       "\n"
                       "CPU: 0 UID: 0 PID: 13 Comm: sh\n"
                       " not_of_it+0x1/0x2\n"));
  std::vector<std::string> histories;
  for (const test::OopsText& text : test::oops_texts_kasan()) histories.push_back(history_of(text.text));
  EXPECT_EQ(
      (std::vector<std::string>{
          "The memory was allocated in lkdtm_SLAB_LINEAR_OVERFLOW by task 41; the address is 4 bytes to "
          "the right of the allocated 1020-byte region of kmalloc-1k",
          "The memory was allocated in lkdtm_READ_AFTER_FREE by task 41, and freed in "
          "lkdtm_READ_AFTER_FREE by task 41; the address is 16 bytes inside of the freed 1024-byte "
          "region of kmalloc-1k",
          "",
          "The memory was allocated in lkdtm_SLAB_FREE_DOUBLE by task 41, and freed in "
          "lkdtm_SLAB_FREE_DOUBLE by task 41; the address is 0 bytes inside of the 64-byte region of "
          "lkdtm-heap-double_free",
          "The memory was allocated in lkdtm_VMALLOC_LINEAR_OVERFLOW", "", ""}),
      histories);
  EXPECT_EQ("The memory was allocated in driver_map",
            history_of("BUG: KASAN: vmalloc-out-of-bounds in driver_fill+0x50/0x6c\n"
                       "The buggy address belongs to the virtual mapping at\n"
                       " [ffff800080037000, ffff800080039000) created by:\n"
                       " driver_map+0x14/0x6c [driver]\n"));
  // An earlier report is of other memory.
  EXPECT_EQ("The memory was freed in driver_close by task 14",
            history_of("BUG kmalloc-64 (Tainted: G    B     ): Poison overwritten\n"
                       "Allocated in driver_open+0x40/0x80 age=9 cpu=0 pid=12\n"
                       " kmalloc_trace+0x40/0x80\n"
                       "BUG kmalloc-96 (Not tainted): Poison overwritten\n"
                       "Freed in driver_close+0x40/0x80 age=9 cpu=0 pid=14\n"));
  EXPECT_EQ("", history_of("Allocated memory ffff0000\nFreed by\nFreed in\nfreedom in x"));
  EXPECT_EQ("The memory was allocated", history_of("Allocated by task x:"));
}

TEST(Findings, ADeadlockNamesTheWayRound) {
  Report report = with_tasks(2);
  add_lock(report, {0}, 1, 0x1000);
  add_lock(report, {1}, 0, 0x2000);
  find_chains(report.locks->table);
  const std::vector<Finding> found = find_problems(report);
  ASSERT_EQ((Names{"lock_cycle"}), names(found));
  EXPECT_EQ("critical", found[0].severity);
  EXPECT_EQ((std::vector<std::string>{"/locks/cycles/0"}), found[0].evidence);
  for (const char* part : {"task0 100", "task1 101", "0x1000", "0x2000"})
    EXPECT_NE(std::string::npos, found[0].title.find(part)) << part << found[0].title;
  report.locks->table.locks[0].by_readers = true;
  EXPECT_LT(find_problems(report)[0].confidence, found[0].confidence) << "one of many readers may be meant";
  EXPECT_NE(std::string::npos, text::locks(*report.locks).find("CYCLE"));
}

TEST(Findings, ManyBehindOneAndAnOwnerThatIsGone) {
  Report report = with_tasks(5);
  add_lock(report, {1, 2, 3}, 0, 0x1000);
  find_chains(report.locks->table);
  EXPECT_EQ((Names{"lock_convoy"}), names(find_problems(report)));
  Lock& lock = report.locks->table.locks[0];
  lock.owner.reset();
  lock.owner_address = 0xffff000012345678;
  report.locks->table.chains.clear();
  find_chains(report.locks->table);
  EXPECT_EQ((Names{"lock_owner_gone"}), names(find_problems(report)));
}

TEST(Findings, BlockedForLong) {
  Report report = with_tasks(1);
  report.blocked.emplace();
  for (uint64_t seconds : {5, 15, 125}) {
    TaskStack& stack = report.blocked->stacks.emplace_back();
    stack.owners.push_back({report.locks->processes.list.tasks[0], seconds * second});
  }
  const std::vector<Finding> found = find_problems(report);
  ASSERT_EQ((Names{"blocked_tasks", "blocked_tasks"}), names(found));
  EXPECT_EQ("warning", found[0].severity);
  EXPECT_EQ((std::vector<std::string>{"/blocked/2"}), found[0].evidence);
  EXPECT_EQ("info", found[1].severity);
}

TEST(Findings, ACpuThatDidNotAnswer) {
  Report report;
  report.crash.emplace();
  report.crash->cpus.resize(2);
  report.crash->cpus[1].answered = false;
  report.crash->cpus[1].cpu = 1;
  EXPECT_EQ((Names{"silent_cpu"}), names(find_problems(report)));
}

}  // namespace
}  // namespace kdk
