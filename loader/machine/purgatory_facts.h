// What the purgatory has to know of the machine: who shows its message, how to reset, how fast it will be.
#pragma once

#include <optional>

#include "core/base/file.h"
#include "loader/purgatory/purgatory.h"

namespace kdk {

struct PurgatoryFacts {
  // The serial port that the running kernel has its console on, when it is of a kind the purgatory can drive.
  std::optional<purgatory::Console> console;
  purgatory::ResetKind reset = purgatory::ResetKind::none;
  // Whether the CPUs have SHA-256 instructions; absent when /proc/cpuinfo is not there.
  std::optional<bool> sha256_instructions;
};

// `device_tree`: the machine's, flattened; empty where there is none. `x86`: the machine is one. Throws
// Error{format} for contradictory content, Error{denied} for files that exist and cannot be read.
PurgatoryFacts read_purgatory_facts(const SysRoot& root, Bytes device_tree, bool x86);

// From the flattened tree's PSCI node; none when it names no PSCI with a reset (0.2 or newer).
purgatory::ResetKind psci_reset(Bytes device_tree);

}  // namespace kdk
