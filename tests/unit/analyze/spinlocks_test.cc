#include "analyze/inspect/spinlocks.h"

#include <gtest/gtest.h>

#include "tests/support/blocked_tasks.h"

namespace kdk {
namespace {

using test::put_sleeping_stack;
using test::Scene;

constexpr size_t x0 = 0, x19 = 19;
constexpr uint32_t taken = 1, pending = 0x101;

uint32_t tail(unsigned cpu) {
  return taken | (cpu + 1) << 18;
}

// CPUs by hand on the memory of an arm64 scene: what each has in registers and on its stack.
class SpinLocksTest : public testing::Test {
 protected:
  VirtAddr lock(uint32_t value) {
    const VirtAddr at = scene.machine->alloc(64, 64);
    scene.machine->put_u32(at, value);
    return at;
  }
  // A CPU in these functions, innermost first, on the stack of a task that has room for words.
  CpuState& cpu(int32_t pid, std::initializer_list<const char*> functions) {
    CpuState& out = crash.cpus.emplace_back();
    out.cpu = static_cast<unsigned>(crash.cpus.size() - 1);
    out.comm = "task-" + std::to_string(pid);
    out.pid = pid;
    const VirtAddr task = scene.tasks.at(pid);
    out.task = task.value;
    words = put_sleeping_stack(scene, task, {"__schedule", "vfs_write"}, 0, 64);
    out.registers.emplace();
    out.registers->set(31, words.value);  // sp
    for (const char* name : functions) out.backtrace.frames.emplace_back().symbol = name;
    return out;
  }
  SpinLocks read() {
    dump = scene.machine->open();
    kernel = std::make_unique<Kernel>(*dump);
    types = std::make_unique<TypedMemory>(*kernel, nullptr);
    OwnerFinder owners(*types);
    return read_spinlocks(*kernel, crash, owners);
  }

  Scene scene;
  Crash crash;
  VirtAddr words;  // of the last CPU, on its stack
  std::unique_ptr<Dump> dump;
  std::unique_ptr<Kernel> kernel;
  std::unique_ptr<TypedMemory> types;
};

TEST_F(SpinLocksTest, NobodySpins) {
  cpu(90, {"default_idle_call", "do_idle"});
  const SpinLocks found = read();
  EXPECT_TRUE(found.locks.empty());
  EXPECT_TRUE(found.problems.empty());
}

TEST_F(SpinLocksTest, WaiterByRegisterHolderByStack) {
  const VirtAddr at = lock(pending);
  cpu(90, {"queued_spin_lock_slowpath", "_raw_spin_lock", "ext4_write"}).registers->set(x19, at.value);
  cpu(81, {"memcpy", "ext4_read"});
  scene.machine->put_u64(words + 16, at.value);
  cpu(82, {"do_idle"});
  const SpinLocks found = read();
  ASSERT_EQ(1u, found.locks.size());
  const SpinLock& one = found.locks[0];
  EXPECT_EQ(at.value, one.address);
  EXPECT_EQ(pending, one.value);
  ASSERT_EQ(1u, one.waiters.size());
  EXPECT_EQ(0u, one.waiters[0].cpu);
  EXPECT_EQ("ext4_write", one.waiters[0].function);
  EXPECT_EQ(90, one.waiters[0].pid);
  ASSERT_EQ(1u, one.holders.size());
  EXPECT_EQ(1u, one.holders[0].by.cpu);
  EXPECT_EQ("task-81", one.holders[0].by.comm);
  EXPECT_EQ("memcpy", one.holders[0].by.function);
  EXPECT_EQ(HolderEvidence::address, one.holders[0].evidence);
  EXPECT_TRUE(found.cycles.empty());
}

TEST_F(SpinLocksTest, TheQueueTellsWhichOfManyWordsIsTheLock) {
  const VirtAddr other = lock(taken), unlocked = lock(0), at = lock(tail(0)), odd = lock(pending);
  CpuState& waiter = cpu(90, {"native_queued_spin_lock_slowpath", "_raw_spin_lock_irqsave", "caller"});
  waiter.registers->set(x0, other.value);  // 1, as a lock without a queue has, and any flag
  waiter.registers->set(1, unlocked.value);
  waiter.registers->set(2, odd.value);
  scene.machine->put_u64(words, at.value);
  const SpinLocks found = read();
  ASSERT_EQ(1u, found.locks.size());
  EXPECT_EQ(at.value, found.locks[0].address);
}

TEST_F(SpinLocksTest, AlwaysOneOnTheStackIsNoLock) {
  const VirtAddr at = lock(taken);
  cpu(90, {"queued_spin_lock_slowpath", "caller"});
  scene.machine->put_u64(words, at.value);
  SpinLocks found = read();
  EXPECT_TRUE(found.locks.empty());
  ASSERT_EQ(1u, found.problems.size());
  EXPECT_NE(std::string::npos, found.problems[0].find("CPU 0 spins in queued_spin_lock_slowpath"));
  crash.cpus[0].registers->set(x0, at.value);
  found = read();
  ASSERT_EQ(1u, found.locks.size());
  // The only CPU there is.
  ASSERT_EQ(1u, found.locks[0].holders.size());
  EXPECT_EQ(HolderEvidence::itself, found.locks[0].holders[0].evidence);
  EXPECT_EQ("caller", found.locks[0].holders[0].by.function);
}

TEST_F(SpinLocksTest, WhoIsSilentMayHaveIt) {
  const VirtAddr at = lock(pending);
  cpu(90, {"queued_spin_lock_slowpath", "caller"}).registers->set(x0, at.value);
  CpuState& silent = crash.cpus.emplace_back();
  silent.cpu = 1;
  silent.answered = false;
  const SpinLocks found = read();
  ASSERT_EQ(1u, found.locks.size());
  EXPECT_TRUE(found.locks[0].holders.empty());
}

// At an exception the registers of what was interrupted are in its frame.
TEST_F(SpinLocksTest, EachHasWhatTheOtherWants) {
  const VirtAddr a = lock(tail(0)), b = lock(pending);
  CpuState& first =
      cpu(90, {"panic", "watchdog_timer_fn", "queued_spin_lock_slowpath", "_raw_spin_lock", "worker_a"});
  first.backtrace.frames[2].kind = FrameKind::exception;
  first.backtrace.frames[2].registers.emplace();
  first.backtrace.frames[2].registers->set(x0, a.value);
  scene.machine->put_u64(words + 8, b.value);
  cpu(81, {"queued_spin_lock_slowpath", "_raw_spin_lock", "worker_b"}).registers->set(x0, b.value);
  scene.machine->put_u64(words + 24, a.value);
  const SpinLocks found = read();
  ASSERT_EQ(2u, found.locks.size());
  for (const SpinLock& one : found.locks) {
    ASSERT_EQ(1u, one.holders.size());
    EXPECT_EQ(one.address == a.value ? 1u : 0u, one.holders[0].by.cpu);
  }
  ASSERT_EQ(1u, found.cycles.size());
  EXPECT_EQ(2u, found.cycles[0].size());
}

TEST_F(SpinLocksTest, ReaderWriterLocks) {
  const VirtAddr at = lock(0x3ff);  // a writer has it, another waits, and a reader
  cpu(90, {"queued_read_lock_slowpath", "_raw_read_lock", "reader"}).registers->set(x0, at.value);
  const SpinLocks found = read();
  ASSERT_EQ(1u, found.locks.size());
  EXPECT_TRUE(found.locks[0].reader_writer);
}

}  // namespace
}  // namespace kdk
