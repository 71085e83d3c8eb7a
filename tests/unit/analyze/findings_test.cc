#include "analyze/triage/findings.h"

#include <gtest/gtest.h>

#include "analyze/render/waits.h"

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
