// x86-64: paging stays on with the kernel's own map of all RAM, so only consoles at I/O ports can be reached.
#include "loader/purgatory/blob/cpu.h"
#include "loader/purgatory/blob/sha256.h"

namespace kdk::purgatory {
namespace {

void out(uint16_t port, uint8_t value) {
  asm volatile("outb %0, %1" ::"a"(value), "Nd"(port));
}
uint8_t in(uint16_t port) {
  uint8_t value = 0;
  asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
  return value;
}
// A tenth of a second.
void wait() {
  for (uint32_t i = 0; i < 100000; ++i) in(0x80);  // about 1 us each
}

struct Leaf {
  uint32_t a, b, c, d;
};
Leaf cpuid(uint32_t leaf) {
  Leaf result = {leaf, 0, 0, 0};
  asm("cpuid" : "+a"(result.a), "=b"(result.b), "+c"(result.c), "=d"(result.d));
  return result;
}

}  // namespace

uint64_t has_instructions() {
  if (cpuid(0).a < 7) return 0;
  constexpr uint32_t ssse3 = 1 << 9, sse4_1 = 1 << 19, sha = 1 << 29;
  uint32_t needed = ssse3 | sse4_1;
  return (cpuid(1).c & needed) == needed && (cpuid(7).b & sha) != 0;
}

// The next kernel reads through the caches, too, and devices are coherent with them.
void drop_cached(uint64_t, uint64_t) {}

uint32_t console_status(const Parameters& parameters) {
  if (parameters.console != ConsoleKind::uart8250_io) return 0;
  return in(static_cast<uint16_t>(parameters.console_address + 5)) >> 5;
}

void put(const Parameters& parameters, uint8_t byte) {
  out(static_cast<uint16_t>(parameters.console_address), byte);
}

void reset_machine(ResetKind kind) {
  if (kind != ResetKind::x86) return;
  out(0x64, 0xfe);  // keyboard controller: pulse the reset line
  wait();
  out(0xcf9, 0x02);  // reset control register of chipsets: a hard reset
  out(0xcf9, 0x06);
  wait();
  // Without an interrupt table an exception ends in a shutdown, which resets the machine.
  struct __attribute__((packed)) {
    uint16_t limit;
    uint64_t base;
  } none = {0, 0};
  asm volatile("lidt %0\n\tud2" ::"m"(none));
}

void stop() {
  for (;;) asm volatile("cli; hlt");
}

}  // namespace kdk::purgatory
