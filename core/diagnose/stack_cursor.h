// Where a walk is: which stack, and how much of it lies behind. A walk only moves towards the top of a stack,
// and a stack once left is never entered again, which bounds the walk and makes loops impossible.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/diagnose/unwind.h"

namespace kdk {

class StackCursor {
 public:
  StackCursor(KernelMemory& memory, const StackSet& stacks) : memory_(&memory), unused_(stacks.ranges) {}

  // Moves behind [address, address + size), on the current stack or onto one not yet entered. On failure
  // nothing has moved, and the answer is why: a predicate for "the return address at 0x..." and the like.
  std::optional<std::string> consume(uint64_t address, uint64_t size);
  // True when [address, address + size) lies ahead on the current stack.
  bool ahead(uint64_t address, uint64_t size) const;
  // Name of the stack that holds `address`; "?" when it is not known.
  std::string name_of(uint64_t address) const;
  // The whole of the current stack; empty before the first consume().
  const StackRange& stack() const;

 private:
  std::optional<StackRange> infer(uint64_t address);

  KernelMemory* memory_;
  std::vector<StackRange> unused_;   // known stacks not yet entered
  std::vector<StackRange> entered_;  // whole ranges, the current one last
  uint64_t position_ = 0;            // first address of the current stack not yet consumed
  size_t inferred_ = 0;
};

}  // namespace kdk
