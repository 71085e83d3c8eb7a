// CPUs that spin on a lock, and which CPU probably has it. A spinlock says that it is taken, not by whom
// (without CONFIG_DEBUG_SPINLOCK): who has it shows by the lock's address, or that of the object it lies in,
// among a CPU's registers and on its stack, or in the code that led there. Source:
// kernel/locking/qspinlock.c, qrwlock.c.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "analyze/inspect/owner.h"
#include "core/diagnose/crash.h"
#include "core/kernel/kernel.h"

namespace kdk {

// How it is known that a CPU has a lock, best first.
enum class HolderEvidence : uint8_t {
  address,  // the lock's address is in a register or on the stack
  object,   // that of the object that the lock lies in
  code,     // a function on the stack names the lock
  itself,   // no other CPU can have it: the one that spins took it before
};
std::string_view to_string(HolderEvidence evidence);  // "address", "object", "code", "itself"

struct SpinCpu {
  size_t index = 0;             // into Crash::cpus
  std::optional<unsigned> cpu;  // its number
  std::string comm;             // of the task that it ran; escaped
  std::optional<int32_t> pid;
  std::string function;  // that it was in, or that wants the lock; escaped; empty: unknown
};

struct SpinHolder {
  SpinCpu by;
  HolderEvidence evidence = HolderEvidence::address;
};

struct SpinLock {
  uint64_t address = 0;
  bool reader_writer = false;  // rwlock_t
  uint32_t value = 0;          // of the lock's first word
  std::string name;            // symbol, "[slab cache]", ...; empty: unknown
  std::vector<SpinCpu> waiters;
  std::vector<SpinHolder> holders;  // probable ones
};

struct SpinLocks {
  std::vector<SpinLock> locks;  // those most spin on first
  std::vector<std::vector<size_t>>
      cycles;                         // into locks: CPUs that wait for each other, in the order of waiting
  std::vector<std::string> problems;  // sentences: CPUs that spin on a lock that could not be told
};

// `crash` with its traces. Never throws for what is in the dump.
SpinLocks read_spinlocks(Kernel& kernel, const Crash& crash, OwnerFinder& owners);

}  // namespace kdk
