#include "analyze/inspect/processes.h"

#include <gtest/gtest.h>

#include "analyze/inspect/module_details.h"
#include "tests/support/crash_scene.h"

namespace kdk {
namespace {

using test::Scene;
using test::SceneOptions;

struct Opened {
  explicit Opened(Scene scene) : dump(scene.machine->open()), kernel(*dump) {}
  std::unique_ptr<Dump> dump;
  Kernel kernel;
  ProcessTable table = read_processes(kernel, {});

  const ProcessFacts& facts(int32_t pid) {
    for (size_t i = 0; i < table.list.tasks.size(); ++i) {
      if (table.list.tasks[i].pid == pid) return table.facts[i];
    }
    throw std::logic_error("no such task");
  }
};

std::vector<int32_t> pids(const ProcessTable& table, const std::vector<TaskRow>& rows) {
  std::vector<int32_t> out;
  for (const TaskRow& row : rows) out.push_back(table.list.tasks[row.index].pid.value_or(-1));
  return out;
}

unsigned table_cpu(const ProcessTable& table, const TaskRow& row) {
  return table.list.tasks[row.index].cpu.value_or(99);
}

TEST(Processes, MemoryCountsEveryCpusShare) {
  for (bool x86 : {false, true}) {
    SceneOptions options;
    if (x86) options.machine.x86_64 = test::X86_64Options{};
    Opened o{Scene(options)};
    EXPECT_TRUE(o.table.missing.empty());
    // 3 counted, -1 and 2 not folded yet
    EXPECT_EQ(4u * 4096, o.facts(1).rss_bytes);
    EXPECT_EQ(40u * 4096, o.facts(1).vsz_bytes);
    EXPECT_EQ(0u, o.facts(1).swap_bytes);
    EXPECT_EQ(30u * 4096, o.facts(82).rss_bytes) << "threads share their memory";
    EXPECT_EQ(0u, o.facts(2).mm);
    EXPECT_EQ(std::nullopt, o.facts(2).rss_bytes);
  }
}

TEST(Processes, LastRunCountsBackFromTheNewestClock) {
  Opened o{Scene()};
  ASSERT_TRUE(o.table.clock);
  EXPECT_EQ(500'000'001u, o.table.clock->ns);
  EXPECT_EQ("run queue of CPU 1", o.table.clock->source);
  EXPECT_EQ(90'000'000u, o.facts(90).last_run_ns);
  EXPECT_EQ(410'000'001u, o.facts(90).since_run_ns);
  EXPECT_EQ(0u, o.facts(77).since_run_ns) << "it was on a CPU";
  EXPECT_EQ(3'000'000u, o.facts(90).runtime_ns);
  EXPECT_EQ(0, o.facts(90).nice);
  EXPECT_EQ("other", o.facts(90).policy);

  KernelLog log;
  log.records.emplace_back().time_ns = 600'000'000;
  auto clock = crash_clock(o.kernel, log);
  EXPECT_EQ(600'000'000u, clock->ns);
  EXPECT_EQ("log", clock->source);
}

TEST(Processes, CountersThatAreNoneAreUnknown) {
  Scene scene;
  Opened before{Scene()};
  const VirtAddr mm{*before.facts(1).mm};
  scene.machine->put_u64(mm + 0x10, UINT64_MAX);                    // total_vm
  scene.machine->put_u64(mm + 0x20 + 0x28 + 8, uint64_t{1} << 60);  // anonymous pages
  scene.machine->put_u64(mm + 0x20 + 8,
                         static_cast<uint64_t>(-5));  // file pages below zero: zero, as the kernel says
  Opened o{std::move(scene)};
  EXPECT_EQ(std::nullopt, o.facts(1).vsz_bytes);
  EXPECT_EQ(std::nullopt, o.facts(1).rss_bytes);
  EXPECT_EQ(0u, o.facts(1).swap_bytes);
}

TEST(Processes, WithoutDataSymbolsTheCpusSharesAreMissing) {
  Opened o{Scene({.data_symbols = false})};
  EXPECT_EQ(9u, o.table.facts.size());
  EXPECT_FALSE(o.table.missing.empty());
}

TEST(SelectTasks, FiltersAndOrders) {
  Opened o{Scene()};
  auto select = [&](const TaskFilter& filter, TaskOrder order = TaskOrder::list) {
    return pids(o.table, select_tasks(o.table, filter, order));
  };
  using Pids = std::vector<int32_t>;
  EXPECT_EQ((Pids{90}), select({.states = "D"}));
  EXPECT_EQ((Pids{90, 91}), select({.states = "DZ"}));
  EXPECT_EQ((Pids{80, 81, 82}), select({.pids = {80}}));
  EXPECT_EQ((Pids{81}), select({.pids = {81}}));
  EXPECT_EQ((Pids{80, 81, 82, 9}), select({.names = {"work"}}, TaskOrder::rss));
  EXPECT_EQ((Pids{2, 9}), select({.kernel = true}));
  EXPECT_EQ((Pids{1, 77, 80, 90, 91}), select({.leaders = true, .user = true}));
  EXPECT_EQ(1u, table_cpu(o.table, select_tasks(o.table, {}, TaskOrder::cpu).back()));
  EXPECT_EQ(1, select({}, TaskOrder::last_run).front());
  EXPECT_EQ(77, select({}, TaskOrder::last_run).back()) << "the one that runs";
  EXPECT_EQ(80, select({}, TaskOrder::vsz).front());
  EXPECT_EQ(90, select({}, TaskOrder::name).front());
  for (auto word : {"list", "pid", "rss", "vsz", "last", "runtime", "cpu", "name"})
    EXPECT_TRUE(task_order(word));
  EXPECT_FALSE(task_order("size"));
}

TEST(TaskTree, ParentsBeforeChildrenAndThePathToAMatch) {
  Opened o{Scene()};
  auto rows = task_tree(o.table, {});
  EXPECT_EQ((std::vector<int32_t>{1, 77, 80, 81, 82, 91, 90, 2, 9}), pids(o.table, rows));
  std::vector<unsigned> depths;
  for (const TaskRow& row : rows) depths.push_back(row.depth);
  EXPECT_EQ((std::vector<unsigned>{0, 1, 1, 2, 2, 2, 1, 0, 1}), depths);
  EXPECT_EQ((std::vector<int32_t>{1, 80, 91}), pids(o.table, task_tree(o.table, {.states = "Z"})));
}

TEST(TaskTree, ParentsInACircleAreListedOnce) {
  ProcessTable table;
  for (int32_t pid : {5, 6, 7}) {
    Task task;
    task.pid = task.tgid = pid;
    task.ppid = pid == 7 ? 5 : pid + 1;
    table.list.tasks.push_back(task);
  }
  table.facts.resize(3);
  EXPECT_EQ((std::vector<int32_t>{5, 7, 6}), pids(table, task_tree(table, {})));
}

TEST(ModuleDetails, UsersAndSections) {
  Opened o{Scene()};
  ModuleList list = list_modules(o.kernel);
  ASSERT_EQ(1u, list.modules.size());
  ModuleDetails details = read_module_details(o.kernel, list.modules[0]);
  EXPECT_TRUE(details.problems.empty());
  EXPECT_EQ(1, details.references);
  EXPECT_EQ((std::vector<std::string>{"demo_driver"}), details.users);
  EXPECT_EQ((std::vector<std::string>{"demo_driver"}), details.needs);
  ASSERT_TRUE(details.sections);
  ASSERT_EQ(2u, details.sections->size());
  EXPECT_EQ(".text", (*details.sections)[0].name);
  EXPECT_EQ(list.modules[0].ranges[0].base, (*details.sections)[0].address);
  EXPECT_FALSE((*details.sections)[0].gone);
  EXPECT_TRUE((*details.sections)[1].gone);
  EXPECT_EQ(std::nullopt, details.symbols) << "the scene's module has no symbol table";
}

TEST(ModuleDetails, HostileCountsAndListsEnd) {
  Scene scene;
  Opened before{Scene()};
  const VirtAddr module{list_modules(before.kernel).modules[0].address};
  scene.machine->put_u64(module + 0xd8, 0x1234);  // users lead nowhere
  const uint64_t sections = *before.kernel.memory().u64(module + 0xf8);
  scene.machine->put_u32(VirtAddr{sections}, UINT32_MAX);
  Opened o{std::move(scene)};
  ModuleDetails details = read_module_details(o.kernel, list_modules(o.kernel).modules[0]);
  EXPECT_GE(details.problems.size(), 2u);
  ASSERT_TRUE(details.sections);
  EXPECT_LE(details.sections->size(), 1024u);
}

}  // namespace
}  // namespace kdk
