#include "core/kernel/percpu.h"

#include <algorithm>

namespace kdk {
namespace {

constexpr unsigned max_cpus = 8192;  // the largest CONFIG_NR_CPUS of any architecture

// Bytes of struct cpumask: from the types, else up to the next symbol.
uint64_t cpumask_bytes(Kernel& kernel, VirtAddr mask) {
  if (const auto size = kernel.layout().size_of("cpumask")) return *size;
  if (const auto hit = kernel.symbols().lookup(mask.value); hit && hit->offset == 0) return hit->symbol.size;
  return 0;
}

}  // namespace

std::optional<std::vector<unsigned>> cpu_mask(Kernel& kernel, std::string_view symbol) {
  const std::optional<VirtAddr> mask = kernel.symbol(symbol);
  if (!mask) return std::nullopt;
  // Whole 64-bit words, little-endian: CPU n is bit n % 8 of byte n / 8.
  std::vector<uint8_t> bits(std::min<uint64_t>(cpumask_bytes(kernel, *mask), max_cpus / 8) / 8 * 8);
  if (bits.empty() || !kernel.memory().read(*mask, bits)) return std::nullopt;
  std::vector<unsigned> cpus;
  for (unsigned cpu = 0; cpu < bits.size() * 8; ++cpu) {
    if ((bits[cpu / 8] >> (cpu % 8) & 1) != 0) cpus.push_back(cpu);
  }
  return cpus;
}

std::optional<VirtAddr> per_cpu_address(Kernel& kernel, std::string_view symbol, unsigned cpu) {
  if (cpu >= max_cpus) return std::nullopt;
  const std::optional<VirtAddr> variable = kernel.symbol(symbol), offsets = kernel.symbol("__per_cpu_offset");
  if (!variable || !offsets) return std::nullopt;
  const std::optional<uint64_t> offset = kernel.memory().u64(*offsets + uint64_t{cpu} * 8);
  // A CPU that never was possible has none.
  if (!offset || *offset == 0) return std::nullopt;
  // Modulo 2^64: offsets are often "negative", and x86 before v6.15 links per-CPU variables from address 0.
  return *variable + *offset;
}

}  // namespace kdk
