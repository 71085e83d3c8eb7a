// Return addresses that tracing has replaced on the stack: the function graph tracer and return probes put
// the address of a trampoline of theirs there, and keep the right one aside. Source: kernel/trace/fgraph.c
// (ftrace_graph_ret_addr), kernel/trace/rethook.c (rethook_find_ret_addr), kernel/kprobes.c
// (__kretprobe_find_ret_addr).
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/kernel/kernel.h"

namespace kdk {

class ReturnHooks {
 public:
  // `task` is the task_struct that runs on the stack; 0 when it is not known.
  ReturnHooks(Kernel& kernel, uint64_t task);

  // True when `address` is a trampoline's.
  bool is_hook(uint64_t address) const;
  // The address that a trampoline's has replaced at `slot` on the stack; nullopt when it cannot be found.
  std::optional<uint64_t> original(uint64_t slot);

 private:
  std::optional<uint64_t> from_graph_tracer(uint64_t slot);
  std::optional<uint64_t> from_return_probe(uint64_t slot);

  Kernel& kernel_;
  uint64_t task_;
  std::vector<uint64_t> trampolines_;
};

}  // namespace kdk
