#include "core/kernel/percpu.h"

#include <algorithm>

namespace kdk {
namespace {

constexpr unsigned max_cpus = 8192;  // the largest CONFIG_NR_CPUS of any architecture

// Bytes of struct cpumask that can have bits set: from the number of CPUs (kernel/smp.c: nr_cpu_ids, one more
// than the highest possible one), which costs one look-up; else from the types; else up to the next symbol.
uint64_t cpumask_bytes(Kernel& kernel, VirtAddr mask) {
  if (const auto count = kernel.symbol("nr_cpu_ids")) {
    const uint32_t cpus = kernel.memory().u32(*count).value_or(0);
    if (cpus > 0 && cpus <= max_cpus) return align_up(uint64_t{cpus}, 64) / 8;
  }
  if (const auto size = kernel.layout().size_of("cpumask")) return *size;
  if (const auto hit = kernel.symbols().lookup(mask.value); hit && hit->offset == 0) return hit->symbol.size;
  return 0;
}

// False when the kernel says so. __per_cpu_offset of a CPU that cannot be is zero, but on x86 it leads to the
// image's initial copy, which has been given back (arch/x86/kernel/setup_percpu.c, BOOT_PERCPU_OFFSET).
bool is_possible(Kernel& kernel, unsigned cpu) {
  const std::optional<VirtAddr> mask = kernel.symbol("__cpu_possible_mask");
  if (!mask) return true;
  const std::optional<uint8_t> bits = kernel.memory().u8(*mask + cpu / 8);
  return !bits || (*bits >> (cpu % 8) & 1) != 0;
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

std::optional<uint64_t> per_cpu_offset(Kernel& kernel, unsigned cpu) {
  if (cpu >= max_cpus || !is_possible(kernel, cpu)) return std::nullopt;
  const std::optional<VirtAddr> offsets = kernel.symbol("__per_cpu_offset");
  if (!offsets) return std::nullopt;
  const std::optional<uint64_t> offset = kernel.memory().u64(*offsets + uint64_t{cpu} * 8);
  return offset && *offset != 0 ? std::optional<uint64_t>(*offset) : std::nullopt;
}

std::optional<VirtAddr> per_cpu_address(Kernel& kernel, std::string_view symbol, unsigned cpu) {
  const std::optional<VirtAddr> variable = kernel.symbol(symbol);
  const std::optional<uint64_t> offset = variable ? per_cpu_offset(kernel, cpu) : std::nullopt;
  if (!offset) return std::nullopt;
  // Modulo 2^64: offsets are often "negative", and x86 before v6.15 links per-CPU variables from address 0.
  return *variable + *offset;
}

}  // namespace kdk
