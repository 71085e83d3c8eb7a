#include "analyze/inspect/locks.h"

#include <gtest/gtest.h>

#include "tests/support/blocked_tasks.h"

namespace kdk {
namespace {

using test::put_sleeping_stack;
using test::Scene;

// Locks and their waiters as the kernel has them: {list, task, type} and {count, owner, list}.
class Locks : public testing::Test {
 protected:
  static constexpr uint64_t task_at = 16, type_at = 24, owner_at = 8, list_at = 24, count_at = 0;

  Locks() {
    for (const char* waiter : {"mutex_waiter", "rwsem_waiter", "semaphore_waiter"}) {
      offset(waiter, "list", 0);
      offset(waiter, "task", task_at);
    }
    offset("rwsem_waiter", "type", type_at);
    for (const char* lock : {"mutex", "rw_semaphore"}) offset(lock, "owner", owner_at);
    offset("rw_semaphore", "count", count_at);
  }
  void offset(const std::string& type, const std::string& member, uint64_t bytes) {
    scene.machine->offset(type + "." + member, bytes);
  }
  void with_heads() {
    for (const char* lock : {"mutex", "rw_semaphore", "semaphore"}) offset(lock, "wait_list", list_at);
  }
  // A task that waits in `function`; returns its waiter.
  VirtAddr wait(int32_t pid, const std::string& function, uint32_t type = 0) {
    const VirtAddr task = scene.tasks.at(pid);
    const VirtAddr waiter =
        put_sleeping_stack(scene, task, {"__schedule", "schedule", function, "vfs_write"}, 2, 48);
    scene.machine->put_u64(waiter + task_at, task.value);
    scene.machine->put_u32(waiter + type_at, type);
    return waiter;
  }
  VirtAddr lock(int32_t owner_pid, const std::vector<VirtAddr>& waiters, uint64_t flags = 0) {
    const VirtAddr at = scene.machine->alloc(64, 64);
    const uint64_t owner = owner_pid != 0 ? scene.tasks.at(owner_pid).value : 0;
    scene.machine->put_u64(at + count_at, 1);
    scene.machine->put_u64(at + owner_at, owner | flags);
    scene.machine->put_list(at + list_at, waiters);
    return at;
  }
  LockTable read() {
    dump = scene.machine->open();
    kernel = std::make_unique<Kernel>(*dump);
    table = read_processes(*kernel, {});
    return read_locks(*kernel, table, {});
  }
  int32_t pid(size_t task) const { return table.list.tasks[task].pid.value_or(-1); }

  Scene scene;
  std::unique_ptr<Dump> dump;
  std::unique_ptr<Kernel> kernel;
  ProcessTable table;
};

TEST_F(Locks, TwoThatWaitForEachOther) {
  with_heads();
  const VirtAddr first = wait(90, "__mutex_lock"), second = wait(81, "__mutex_lock");
  const VirtAddr a = lock(90, {second}, 1), b = lock(81, {first}, 1);  // MUTEX_FLAG_WAITERS
  LockTable found = read();
  EXPECT_EQ("", found.why_not);
  EXPECT_TRUE(found.problems.empty());
  ASSERT_EQ(2u, found.locks.size());
  for (const Lock& one : found.locks) {
    EXPECT_EQ(LockKind::mutex, one.kind);
    ASSERT_TRUE(one.owner);
    ASSERT_EQ(1u, one.waiters.size());
    EXPECT_EQ("vfs_write", one.waiters[0].function);
    EXPECT_TRUE(one.address == a.value || one.address == b.value);
    EXPECT_EQ(one.address == a.value ? 90 : 81, pid(*one.owner));
    EXPECT_EQ(one.address == a.value ? 81 : 90, pid(one.waiters[0].task));
  }
  ASSERT_EQ(1u, found.cycles.size());
  EXPECT_EQ(2u, found.cycles[0].steps.size());
  EXPECT_TRUE(found.chains.empty());
}

TEST_F(Locks, AQueueAndItsChain) {
  with_heads();
  const VirtAddr one = wait(82, "rwsem_down_read_slowpath", 1),
                 two = wait(81, "rwsem_down_write_slowpath", 0);
  const VirtAddr three = wait(90, "__mutex_lock");
  lock(82, {three});
  lock(2, {two, one});
  LockTable found = read();
  ASSERT_EQ(2u, found.locks.size());
  const Lock& rwsem = found.locks[0];
  EXPECT_EQ(LockKind::rwsem, rwsem.kind);
  ASSERT_EQ(2u, rwsem.waiters.size());
  EXPECT_EQ(81, pid(rwsem.waiters[0].task));
  EXPECT_EQ(true, rwsem.waiters[0].write);
  EXPECT_EQ(82, pid(rwsem.waiters[1].task));
  EXPECT_EQ(false, rwsem.waiters[1].write);
  EXPECT_TRUE(found.cycles.empty());
  ASSERT_EQ(2u, found.chains.size());
  EXPECT_EQ(2u, found.chains[0].steps.size());
  EXPECT_EQ(90, pid(found.chains[0].steps[0].task));
  ASSERT_TRUE(found.chains[0].holder);
  EXPECT_EQ(2, pid(*found.chains[0].holder));
}

TEST_F(Locks, ReadersAndNobody) {
  with_heads();
  const VirtAddr waiter = wait(90, "rwsem_down_write_slowpath");
  const VirtAddr at = lock(2, {waiter}, 1);
  scene.machine->put_u64(at + count_at, 0x102);  // one reader, and waiters
  LockTable found = read();
  ASSERT_EQ(1u, found.locks.size());
  EXPECT_TRUE(found.locks[0].by_readers);
  EXPECT_EQ(2, pid(found.locks[0].owner.value_or(0)));
  scene.machine->put_u64(at + count_at, 2);  // the reader has let go
  found = read();
  EXPECT_FALSE(found.locks[0].by_readers);
  EXPECT_FALSE(found.locks[0].owner);
  EXPECT_EQ(0u, found.locks[0].owner_address);
}

TEST_F(Locks, AnOwnerThatIsNoTask) {
  with_heads();
  const VirtAddr at = lock(2, {wait(90, "__mutex_lock")});
  scene.machine->put_u64(at + owner_at, scene.machine->alloc(64, 64).value);
  LockTable found = read();
  ASSERT_EQ(1u, found.locks.size());
  EXPECT_FALSE(found.locks[0].owner);
  EXPECT_NE(0u, found.locks[0].owner_address);
}

TEST_F(Locks, ASemaphoreHasNoOwner) {
  with_heads();
  lock(2, {wait(90, "__down_common")});
  LockTable found = read();
  ASSERT_EQ(1u, found.locks.size());
  EXPECT_EQ(LockKind::semaphore, found.locks[0].kind);
  EXPECT_EQ(0u, found.locks[0].owner_address);
}

// v7.1: the waiters are a ring of their own, and the lock points at the first; the waiting function kept the
// lock on its stack.
TEST_F(Locks, WithoutAHead) {
  for (const char* name : {"mutex", "rw_semaphore", "semaphore"}) offset(name, "first_waiter", list_at);
  const VirtAddr one = wait(90, "__mutex_lock"), two = wait(81, "__mutex_lock");
  const VirtAddr at = lock(2, {});
  scene.machine->put_list(one, {two});
  scene.machine->put_u64(at + list_at, two.value);
  scene.machine->put_u64(one + 40, at.value);  // beside the waiter
  LockTable found = read();
  ASSERT_EQ(1u, found.locks.size());
  EXPECT_EQ(at.value, found.locks[0].address);
  ASSERT_EQ(2u, found.locks[0].waiters.size());
  EXPECT_EQ(81, pid(found.locks[0].waiters[0].task)) << "the first in the queue";
  EXPECT_EQ(2, pid(found.locks[0].owner.value_or(0)));
}

TEST_F(Locks, WhatIsLeftOfAnOlderWaitIsNoWait) {
  with_heads();
  wait(90, "__mutex_lock");  // its waiter is in no ring
  LockTable found = read();
  EXPECT_TRUE(found.locks.empty());
  EXPECT_TRUE(found.problems.empty());
}

TEST_F(Locks, BrokenRingsEnd) {
  with_heads();
  const VirtAddr one = wait(90, "__mutex_lock"), two = wait(81, "__mutex_lock");
  const VirtAddr at = lock(2, {one, two});
  scene.machine->put_u64(two, one.value);  // the ring misses its head
  EXPECT_TRUE(read().locks.empty());
  scene.machine->put_list(at + list_at, {one, two});
  scene.machine->put_u64(one, 0xdead000000000100);
  EXPECT_TRUE(read().locks.empty());
}

TEST_F(Locks, WithoutLayoutsNothingIsKnown) {
  EXPECT_NE("", read().why_not);
}

LockTable graph(const std::vector<std::pair<std::vector<size_t>, std::optional<size_t>>>& locks) {
  LockTable table;
  for (const auto& [waiters, owner] : locks) {
    Lock& lock = table.locks.emplace_back();
    for (size_t task : waiters) lock.waiters.emplace_back().task = task;
    lock.owner = owner;
  }
  find_chains(table);
  return table;
}

TEST(LockChains, EachCycleOnceAndWhatLeadsIntoItNotAtAll) {
  // 1 -> 2 -> 3 -> 1, 4 waits for 2; 7 -> 8; 9 waits for itself
  LockTable table = graph({{{1}, 2}, {{2}, 3}, {{3}, 1}, {{4}, 2}, {{7}, 8}, {{9}, 9}});
  ASSERT_EQ(2u, table.cycles.size());
  EXPECT_EQ(3u, table.cycles[0].steps.size());
  EXPECT_EQ(1u, table.cycles[1].steps.size());
  ASSERT_EQ(1u, table.chains.size());
  EXPECT_EQ(7u, table.chains[0].steps[0].task);
  EXPECT_EQ(8u, table.chains[0].holder);
}

}  // namespace
}  // namespace kdk
