#include "core/kernel/tasks.h"

#include <gtest/gtest.h>

#include <map>

#include "core/kernel/init_task.h"
#include "tests/support/crash_scene.h"

namespace kdk {
namespace {

using test::Scene;

struct Opened {
  explicit Opened(Scene scene) : dump(scene.machine->open()), kernel(*dump) {}
  std::unique_ptr<Dump> dump;
  Kernel kernel;
};

const Task* find(const TaskList& list, int32_t pid) {
  for (const Task& task : list.tasks) {
    if (task.pid == pid) return &task;
  }
  return nullptr;
}

TEST(TaskState, LettersAsPsShowsThem) {
  EXPECT_EQ('R', task_state_letter(0, 0));
  EXPECT_EQ('S', task_state_letter(0x1, 0));
  EXPECT_EQ('D', task_state_letter(0x2, 0));
  EXPECT_EQ('T', task_state_letter(0x104, 0));  // TASK_STOPPED
  EXPECT_EQ('t', task_state_letter(0x8, 0));
  EXPECT_EQ('X', task_state_letter(0x80, 0x10));
  EXPECT_EQ('Z', task_state_letter(0x80, 0x20));
  EXPECT_EQ('P', task_state_letter(0x40, 0));
  EXPECT_EQ('I', task_state_letter(0x402, 0));
  EXPECT_EQ('D', task_state_letter(0x102, 0));   // TASK_KILLABLE
  EXPECT_EQ('S', task_state_letter(0x2001, 0));  // TASK_INTERRUPTIBLE | TASK_FREEZABLE
  EXPECT_EQ('D', task_state_letter(0x8000, 0));  // TASK_FROZEN
  EXPECT_EQ('D', task_state_letter(0x1000, 0));  // TASK_RTLOCK_WAIT
}

TEST(TaskState, AnyBitsGiveALetter) {
  for (uint64_t state : {UINT64_MAX, uint64_t{0xffff}, uint64_t{1} << 63}) {
    char letter = task_state_letter(state, UINT64_MAX);
    EXPECT_NE(std::string_view::npos, std::string_view("RSDTtXZPI").find(letter));
  }
}

TEST(Tasks, ProcessesAndThreadsWithoutIdleTasks) {
  Opened o{Scene()};
  TaskList list = read_tasks(o.kernel);
  EXPECT_EQ("", list.why_not);
  EXPECT_TRUE(list.complete);
  EXPECT_FALSE(list.heuristic);
  EXPECT_EQ(9u, list.tasks.size());
  EXPECT_EQ(7u, list.processes);
  EXPECT_EQ(nullptr, find(list, 0));

  const Task* thread = find(list, 82);
  ASSERT_NE(nullptr, thread);
  EXPECT_EQ(80, thread->tgid);
  EXPECT_EQ(1, thread->ppid);
  EXPECT_EQ("worker", thread->comm);
  EXPECT_EQ('S', thread->state);

  const Task* trigger = find(list, 77);
  ASSERT_NE(nullptr, trigger);
  EXPECT_EQ('R', trigger->state);
  EXPECT_EQ(true, trigger->on_cpu);
  EXPECT_EQ(0u, trigger->cpu);
  EXPECT_EQ('D', find(list, 90)->state);
  EXPECT_EQ('Z', find(list, 91)->state);
  EXPECT_EQ('I', find(list, 9)->state);
  EXPECT_TRUE(find(list, 9)->kernel_thread);
  EXPECT_FALSE(trigger->kernel_thread);
}

TEST(Tasks, InitTaskIsFoundByContentWithoutItsSymbol) {
  Opened o{Scene({.data_symbols = false})};
  TaskList list = read_tasks(o.kernel);
  EXPECT_EQ("", list.why_not);
  EXPECT_TRUE(list.heuristic);
  EXPECT_EQ(9u, list.tasks.size());
}

TEST(Tasks, TwoThatLookLikeInitTaskAreNotBelieved) {
  Scene scene({.data_symbols = false});
  VirtAddr copy = scene.machine->image_alloc(0x100, 64);
  scene.machine->put_u64(copy + 0x50, copy.value);  // real_parent
  scene.machine->put_text(copy + Scene::comm_offset, "swapper/0");
  VirtAddr other = scene.machine->alloc(0x100, 64);
  scene.machine->put_list(copy + Scene::tasks_offset, {other + Scene::tasks_offset});
  Opened o{std::move(scene)};
  EXPECT_EQ(std::nullopt, find_init_task(o.kernel));
  EXPECT_NE("", read_tasks(o.kernel).why_not);
}

TEST(Tasks, BehindABrokenLinkTheListIsReadBackwards) {
  Scene scene;
  scene.machine->put_u64(scene.blocked_task + Scene::tasks_offset, 0x1234);
  Opened o{std::move(scene)};
  TaskList list = read_tasks(o.kernel);
  EXPECT_FALSE(list.complete);
  EXPECT_TRUE(list.damaged);
  EXPECT_EQ(9u, list.tasks.size());
  EXPECT_NE(nullptr, find(list, 90));  // before the break
  EXPECT_NE(nullptr, find(list, 91));  // after it
  EXPECT_EQ(2u, list.problems.size());
}

TEST(Tasks, CycleThatMissesTheHeadEnds) {
  Scene scene;
  VirtAddr node = scene.blocked_task + Scene::tasks_offset;
  scene.machine->put_u64(node, node.value);
  Opened o{std::move(scene)};
  TaskList list = read_tasks(o.kernel);
  EXPECT_FALSE(list.complete);
  EXPECT_TRUE(list.damaged);
  size_t seen = 0;
  for (const Task& task : list.tasks) seen += task.pid == 90 ? 1 : 0;
  EXPECT_EQ(1u, seen);
}

TEST(Tasks, ExcludedPageIsNoDamage) {
  Scene scene;
  scene.machine->exclude(scene.machine->pfn_of(scene.machine->phys(scene.blocked_task)));
  Opened o{std::move(scene)};
  TaskList list = read_tasks(o.kernel);
  EXPECT_FALSE(list.complete);
  EXPECT_FALSE(list.damaged) << (list.problems.empty() ? "" : list.problems[0]);
}

TEST(Tasks, NamesAreEscaped) {
  Opened o{Scene({.hostile_names = true})};
  TaskList list = read_tasks(o.kernel);
  const Task* task = find(list, 80);
  ASSERT_NE(nullptr, task);
  EXPECT_EQ("w\\x1b[31m\xef\xbf\xbd\\x0a", task->comm);
}

}  // namespace
}  // namespace kdk
