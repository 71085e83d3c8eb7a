// Which task waits for which lock, and who has it: mutexes, reader-writer and counting semaphores.
//
// A task that waits has a waiter on its stack: {list, task, ...}, linked into the lock's list. It is found by
// its content: a word that is the task itself, in a structure whose neighbours in the list point back to it.
// The one member of that ring that is no waiter is the head inside the lock. No debug information is needed,
// and no lock has to be known in advance.
// Source: kernel/locking/mutex.h, mutex.c, rwsem.c, semaphore.c.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "analyze/inspect/processes.h"
#include "analyze/inspect/spinlocks.h"
#include "core/diagnose/unwind.h"
#include "core/kernel/kernel.h"

namespace kdk {

enum class LockKind : uint8_t { mutex, rwsem, semaphore };
std::string_view to_string(LockKind kind);

struct LockWaiter {
  size_t task = 0;            // into ProcessTable::list.tasks
  uint64_t address = 0;       // of the waiter, on the task's stack
  std::optional<bool> write;  // rwsem: waits to write; else nullopt
  std::string function;       // where it waits: the caller of the lock's functions; empty: unknown
};

struct Lock {
  uint64_t address = 0;
  LockKind kind = LockKind::mutex;
  std::string name;  // symbol, "[slab cache]", ...; empty: unknown
  // A task that has it: index into the task list. With `owner_address` and without this, the owner is no task
  // of the list: it ended with the lock held, or the lock is damaged.
  std::optional<size_t> owner;
  uint64_t owner_address = 0;       // 0: nobody, or not recorded
  bool by_readers = false;          // rwsem held for reading: the owner is the reader that came last
  std::vector<LockWaiter> waiters;  // in the order of the queue
};

// One way from a task that waits to what everything behind it waits for.
struct LockChain {
  struct Step {
    size_t task = 0;
    size_t lock = 0;  // that it waits for; into LockTable::locks
  };
  std::vector<Step> steps;
  // Not a cycle: the task at the end, which waits for no lock. nullopt: nobody is known to have the last one.
  std::optional<size_t> holder;
  bool cycle = false;  // the owner of the last step's lock is the first step's task
};

struct LockTable {
  std::vector<Lock> locks;        // with waiters; those most wait for first
  std::vector<LockChain> cycles;  // each once
  std::vector<LockChain> chains;  // the longest way from each task for which nobody waits; longest first
  std::vector<std::string>
      problems;         // sentences: waiters whose lock could not be told, lists that are broken
  std::string why_not;  // set when nothing can be known
};

// Looks at the stacks of all tasks that were not running. Never throws for what is in the dump.
LockTable read_locks(Kernel& kernel, const ProcessTable& table, const UnwindAids& aids);

// The answer of `locks`: the table, and the tasks that it speaks of.
struct LockListing {
  ProcessTable processes;
  LockTable table;
  SpinLocks spinning;
};

// Fills cycles and chains from locks. Part of read_locks().
void find_chains(LockTable& table);

}  // namespace kdk
