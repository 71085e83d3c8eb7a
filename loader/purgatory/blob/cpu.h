// What the purgatory needs of the CPU besides SHA-256.
#pragma once

#include "loader/purgatory/parameters.h"

namespace kdk::purgatory {

// Writes cached lines of this memory back and forgets them, where the next kernel reads it without caches.
void drop_cached(uint64_t address, uint64_t size);

// What the console's transmitter is ready for.
constexpr uint32_t takes_byte = 1, all_sent = 2;  // bits
uint32_t console_status(const Parameters& parameters);
void put(const Parameters& parameters, uint8_t byte);

// Resets the machine as `kind` says; returns when that did not work.
void reset_machine(ResetKind kind);
// Stops this CPU.
[[noreturn]] void stop();

}  // namespace kdk::purgatory
