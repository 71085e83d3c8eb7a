// The end when memory is not what was loaded: say so and reset the machine. A kernel that starts from damaged
// memory may do anything, to the disks too; one that hangs needs somebody to come.
#include "loader/purgatory/blob/cpu.h"

namespace kdk::purgatory {
namespace {

// How often a console is asked before it is given up. Reading its register takes 0.1 us (memory) to 1 us
// (port), so that is between 0.1 s and a second; a full queue of 64 characters at 9600 baud takes 0.07 s.
constexpr uint32_t patience = 1000000;

bool wait_until(const Parameters& parameters, uint32_t status) {
  for (uint32_t i = 0; i < patience; ++i) {
    if ((console_status(parameters) & status) != 0) return true;
  }
  return false;
}

// Whether the console took it all.
bool print(const Parameters& parameters, const char* text) {
  for (; *text != 0; ++text) {
    if (!wait_until(parameters, takes_byte)) return false;
    put(parameters, static_cast<uint8_t>(*text));
  }
  return true;
}

bool explain(const Parameters& parameters, uint64_t failed) {
  if (parameters.console == ConsoleKind::none) return true;
  if (!print(parameters, "\r\nkdump-load: the crash kernel is not started: ")) return false;
  if (failed == 0) {
    if (!print(parameters, "reading its memory failed")) return false;
  } else {
    if (!print(parameters, parameters.ranges[failed - 1].name)) return false;
    if (!print(parameters, " is not in memory as it was loaded")) return false;
  }
  const char* end = parameters.reset == ResetKind::none ? "; stopped\r\n" : "; resetting the machine\r\n";
  // A reset would throw away what is still in the transmitter's queue.
  return print(parameters, end) && wait_until(parameters, all_sent);
}

}  // namespace

// `failed`: what check() returned; 0 when the CPU met an exception meanwhile.
extern "C" [[noreturn]] void report(const Parameters* parameters, uint64_t failed) {
  explain(*parameters, failed);  // where that fails, the reset still comes
  reset_machine(parameters->reset);
  stop();
}

extern "C" [[noreturn]] void reset_silently(const Parameters* parameters) {
  reset_machine(parameters->reset);
  stop();
}

}  // namespace kdk::purgatory
