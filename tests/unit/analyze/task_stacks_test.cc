#include "analyze/inspect/task_stacks.h"

#include <gtest/gtest.h>

#include "core/kernel/printk.h"
#include "tests/support/blocked_tasks.h"

namespace kdk {
namespace {

using test::put_sleeping_stack;
using test::Scene;

class Stacks : public testing::Test {
 protected:
  Stacks() {
    for (int32_t pid : {81, 82})
      put_sleeping_stack(scene, scene.tasks.at(pid), {"__schedule", "schedule", "do_nanosleep"});
    put_sleeping_stack(scene, scene.tasks.at(90), {"__schedule", "schedule", "__mutex_lock"});
  }
  void open() {
    dump = scene.machine->open();
    kernel = std::make_unique<Kernel>(*dump);
    table = read_processes(*kernel, {});
  }
  TaskStacks walk(const std::vector<std::string>& words, bool grouped = false, const Crash* crash = nullptr) {
    std::vector<TaskRow> rows =
        words.empty() ? select_tasks(table, {}, TaskOrder::list) : find_tasks(table, words, not_found);
    return walk_tasks(*kernel, table, rows, crash, {}, grouped);
  }
  static std::vector<std::string> functions(const TaskStack& stack) {
    std::vector<std::string> names;
    for (const Frame& frame : stack.trace.frames) names.push_back(frame.symbol);
    return names;
  }

  Scene scene;
  std::unique_ptr<Dump> dump;
  std::unique_ptr<Kernel> kernel;
  ProcessTable table;
  std::vector<std::string> not_found;
};
using Names = std::vector<std::string>;

TEST_F(Stacks, OfASleepingTask) {
  open();
  TaskStacks found = walk({"90"});
  ASSERT_EQ(1u, found.stacks.size());
  EXPECT_EQ((Names{"__schedule", "schedule", "__mutex_lock", "el0t_64_sync"}), functions(found.stacks[0]));
  EXPECT_TRUE(found.stacks[0].trace.complete) << found.stacks[0].trace.end;
  EXPECT_EQ(90, found.stacks[0].owners.at(0).task.pid);
  EXPECT_EQ(410'000'001u, found.stacks[0].owners.at(0).since_run_ns);
}

TEST_F(Stacks, TheSameOnesAreOneGroup) {
  open();
  TaskStacks found = walk({"worker", "90"}, true);
  ASSERT_EQ(3u, found.stacks.size());
  EXPECT_EQ((Names{"__schedule", "schedule", "do_nanosleep", "el0t_64_sync"}), functions(found.stacks[0]));
  ASSERT_EQ(2u, found.stacks[0].owners.size());
  EXPECT_EQ(81, found.stacks[0].owners[0].task.pid) << "it has not run for longest";
  EXPECT_NE("", found.stacks[1].why_not + found.stacks[2].why_not) << "80 has no stack";
}

TEST_F(Stacks, OfARunningTaskIsItsCpus) {
  open();
  const KernelLog log = read_log(kernel->memory());
  const Crash crash = diagnose(*kernel, log);
  TaskStacks found = walk({"trigger"}, false, &crash);
  ASSERT_EQ(1u, found.stacks.size());
  EXPECT_EQ("__crash_kexec", functions(found.stacks[0]).at(0));
  EXPECT_TRUE(any_on_cpu(table, find_tasks(table, {"77"}, not_found)));
  EXPECT_FALSE(any_on_cpu(table, find_tasks(table, {"90"}, not_found)));
  EXPECT_NE("", walk({"trigger"}).stacks.at(0).why_not) << "without the crash";
}

TEST_F(Stacks, ByPidAddressAndName) {
  open();
  const std::string address = "0x" + hex64(scene.tasks.at(90).value).substr(2);
  TaskStacks found = walk({address, "90", "blocked", "work", "4711", "\x1b[2J"});
  EXPECT_EQ(1u, found.stacks.size());
  EXPECT_EQ((Names{"work", "4711", "\\x1b[2J"}), not_found);
}

TEST_F(Stacks, AnExitedTaskHasNone) {
  open();
  EXPECT_EQ("it has exited and gave its stack back", walk({"gone"}).stacks.at(0).why_not);
}

TEST_F(Stacks, ALoopOrAHoleEndsTheWalk) {
  const VirtAddr context = scene.tasks.at(81) + 0x400;
  const uint64_t other = scene.machine->stext().value;
  scene.machine->put_u64(context + 80, other);  // x29 leads off the stack
  const VirtAddr task = scene.tasks.at(82);
  scene.machine->exclude(scene.machine->pfn_of(scene.machine->phys(task)));
  open();
  EXPECT_FALSE(walk({"81"}).stacks.at(0).trace.complete);
  for (const TaskStack& stack : walk({}).stacks) {
    if (stack.owners[0].task.address == task.value) {
      EXPECT_NE("", stack.why_not);
    }
  }
}

}  // namespace
}  // namespace kdk
