// arm64. put, reset_machine and stop run with the MMU off, where every access is to device memory: the
// registers of a console need no mapping then.
#include "loader/purgatory/blob/cpu.h"
#include "loader/purgatory/blob/sha256.h"

namespace kdk::purgatory {
namespace {

constexpr uint32_t psci_system_reset = 0x84000009;  // Arm DEN 0022, 5.1.12

volatile uint32_t& word_at(uint64_t address) {
  return *reinterpret_cast<volatile uint32_t*>(address);
}
volatile uint8_t& byte_at(uint64_t address) {
  return *reinterpret_cast<volatile uint8_t*>(address);
}

}  // namespace

uint64_t has_instructions() {
  uint64_t features = 0, registers = 0;
  asm("mrs %0, id_aa64isar0_el1" : "=r"(features));
  asm("mrs %0, id_aa64pfr0_el1" : "=r"(registers));
  return (features >> 12 & 15) != 0 && (registers >> 20 & 15) != 15;
}

void drop_cached(uint64_t address, uint64_t size) {
  uint64_t type = 0;
  asm("mrs %0, ctr_el0" : "=r"(type));
  uint64_t line = 4ull << (type >> 16 & 15);  // DminLine, log2 of words
  for (uint64_t at = address & ~(line - 1); at < address + size; at += line)
    asm volatile("dc civac, %0" ::"r"(at) : "memory");
  asm volatile("dsb sy" ::: "memory");
}

uint32_t console_status(const Parameters& parameters) {
  uint64_t base = parameters.console_address;
  uint64_t line_status = base + (5ull << parameters.console_shift);  // of an 8250: bits 5 and 6
  switch (parameters.console) {
    case ConsoleKind::pl011: {
      uint32_t flags = word_at(base + 0x18);  // bit 5: the queue is full, bit 3: busy
      return ((flags & 1 << 5) == 0 ? takes_byte : 0) | ((flags & 1 << 3) == 0 ? all_sent : 0);
    }
    case ConsoleKind::uart8250_8:
      return byte_at(line_status) >> 5;
    case ConsoleKind::uart8250_32:
      return word_at(line_status) >> 5;
    case ConsoleKind::uart8250_io:
    case ConsoleKind::none:
      break;
  }
  return 0;
}

// The register for it is the first one everywhere.
void put(const Parameters& parameters, uint8_t byte) {
  if (parameters.console == ConsoleKind::uart8250_8) {
    byte_at(parameters.console_address) = byte;
  } else {
    word_at(parameters.console_address) = byte;
  }
}

void reset_machine(ResetKind kind) {
  register uint64_t function asm("x0") = psci_system_reset;
  if (kind == ResetKind::psci_smc) asm volatile("smc #0" : "+r"(function)::"x1", "x2", "x3", "memory");
  if (kind == ResetKind::psci_hvc) asm volatile("hvc #0" : "+r"(function)::"x1", "x2", "x3", "memory");
}

void stop() {
  for (;;) asm volatile("wfi");
}

}  // namespace kdk::purgatory
