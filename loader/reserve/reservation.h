// What crashkernel= asks for on this machine, what is reserved, and what lies in it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/base/file.h"
#include "loader/machine/machine.h"
#include "loader/reserve/crashkernel.h"
#include "loader/state/request.h"

namespace kdk {

struct Reservation {
  enum class State {
    as_asked,   // what the command line asks for
    differs,    // something else: detail says what
    missing,    // asked for, and nothing is reserved
    not_asked,  // nothing asked for, nothing reserved
  };
  State state = State::not_asked;
  std::string detail;

  uint64_t ram = 0;  // bytes of RAM that decide between ranges: System RAM of /proc/iomem
  CrashkernelDecision decision;
  std::vector<Range> regions;             // reserved; ascending, the last is the main one
  bool loaded = false;                    // a crash kernel is in there
  std::vector<SegmentIdentity> segments;  // of it, as recorded by the load of this boot; empty: not known
};
std::string_view to_string(Reservation::State state);

// Throws Error as MemoryMap::crash_regions and crash_kernel_loaded do.
Reservation read_reservation(const SysRoot& root, const Machine& machine);

// Makes the reserved memory smaller, to `bytes` rounded up to whole pages; the rest goes back to the running
// kernel until the next boot. Returns what the kernel says is reserved then. Throws Error{unsupported} with
// the way out when a crash kernel is loaded or `bytes` is more than is reserved, Error{denied,io} when the
// kernel refuses.
// Source: kernel/kexec_core.c, crash_shrink_memory.
uint64_t shrink_reservation(const SysRoot& root, uint64_t bytes);

}  // namespace kdk
