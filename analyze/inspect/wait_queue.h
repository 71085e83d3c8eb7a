// Who waits on a wait queue: the entries that hang on its head, what wakes each up, and which task that is.
// Source: include/linux/wait.h, include/linux/swait.h, fs/select.c, fs/eventpoll.c.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "analyze/inspect/one_task.h"
#include "core/kernel/typed_memory.h"

namespace kdk {

struct WaitEntry {
  uint64_t address = 0;    // struct wait_queue_entry or swait_queue
  std::string function;    // that is called to wake it up; escaped; empty: of a simple queue
  bool exclusive = false;  // only one of these is woken up at a time
  uint64_t private_data = 0;
  std::optional<StackOwner> task;
};

struct WaitQueue {
  std::string query;     // escaped
  uint64_t address = 0;  // struct wait_queue_head or swait_queue_head
  std::string name;      // symbol, or whose memory it is in; escaped; empty: unknown
  std::vector<WaitEntry> entries;
  std::string error;  // the query is no address, or nothing is there; escaped
};

struct WaitQueues {
  std::vector<WaitQueue> queues;
  std::vector<std::string> problems;
};

// `simple`: a struct swait_queue_head, such as a completion has. Throws Error{missing} without layouts,
// Error{fault} when no list is at `head`.
WaitQueue read_wait_queue(TypedMemory& types, VirtAddr head, bool simple, const KernelLog& log,
                          std::vector<std::string>& problems);

}  // namespace kdk
