// Interrupt lines: who handles each, how often each CPU took it, where it may go.
// Source: include/linux/irqdesc.h, irq.h, interrupt.h, kernel/irq/irqdesc.c.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "analyze/inspect/one_task.h"
#include "core/kernel/typed_memory.h"

namespace kdk {

struct InterruptHandler {
  uint64_t address = 0;                   // struct irqaction
  std::string name;                       // as request_irq() got it; escaped
  std::string function, thread_function;  // escaped; empty: none
  std::optional<StackOwner> thread;
};

struct Interrupt {
  uint64_t irq = 0;
  uint64_t address = 0;  // struct irq_desc
  std::string chip;      // escaped
  std::optional<uint64_t> hardware_irq;
  std::vector<InterruptHandler> handlers;
  struct Count {
    unsigned cpu = 0;
    uint32_t count = 0;
  };
  std::vector<Count> counts;  // of possible CPUs; empty: not known
  uint64_t total = 0;
  std::optional<std::vector<unsigned>> affinity, effective_affinity;
  bool disabled = false, masked = false, in_progress = false;  // a handler was running
  std::optional<uint64_t> unhandled;                           // in a row that nobody wanted
};

struct Interrupts {
  std::vector<Interrupt> lines;  // by number
  std::vector<unsigned> cpus;
  std::vector<std::string> problems;
};

// Throws Error{missing} when the descriptors cannot be found.
Interrupts read_interrupts(TypedMemory& types, const KernelLog& log);

}  // namespace kdk
