#include "analyze/inspect/hardware.h"

#include <fmt/format.h>

#include "core/base/log.h"
#include "core/kernel/percpu.h"

namespace kdk {
namespace {

constexpr size_t most_text = 128;
constexpr double fixed_one = 1 << 11;  // FIXED_1 of kernel/sched/loadavg.c

// dmi_ident is an array of strings by enum dmi_field.
std::string firmware_text(Kernel& kernel, std::string_view field) {
  const auto table = kernel.symbol("dmi_ident");
  const auto index = kernel.layout().enumerator(field);
  if (!table || !index || *index < 0 || *index > 255) return {};
  const auto at = kernel.memory().pointer(*table + static_cast<uint64_t>(*index) * 8);
  if (!at || at->value == 0) return {};
  return escape_untrusted(kernel.memory().string(*at, most_text).value_or(""));
}

std::string cpu_name(Kernel& kernel) {
  KernelMemory& memory = kernel.memory();
  const Layout& layout = kernel.layout();
  const auto name = layout.offset("cpuinfo_x86", "x86_model_id");
  if (const auto data = kernel.symbol("boot_cpu_data"); data && name)
    return escape_untrusted(memory.string(*data + *name, 64).value_or(""));
  // arm64: MIDR_EL1, implementer [31:24], part [15:4].
  if (const auto midr = layout.offset("cpuinfo_arm64", "reg_midr")) {
    const auto data = per_cpu_address(kernel, "cpu_data", 0);
    const auto value = data ? memory.u64(*data + *midr) : std::nullopt;
    if (value.value_or(0) != 0)
      return fmt::format("implementer {:#x} part {:#x}", *value >> 24 & 0xff, *value >> 4 & 0xfff);
  }
  return {};
}

}  // namespace

HardwareFacts read_hardware(Kernel& kernel) {
  HardwareFacts out;
  out.vendor = firmware_text(kernel, "DMI_SYS_VENDOR");
  out.product = firmware_text(kernel, "DMI_PRODUCT_NAME");
  out.version = firmware_text(kernel, "DMI_PRODUCT_VERSION");
  out.board = firmware_text(kernel, "DMI_BOARD_NAME");
  out.bios = firmware_text(kernel, "DMI_BIOS_VERSION");
  out.cpu = cpu_name(kernel);
  if (const auto at = kernel.symbol("avenrun")) {
    std::array<double, 3> load{};
    bool known = true;
    for (size_t i = 0; i < load.size(); ++i) {
      const auto value = kernel.memory().u64(*at + i * 8);
      known = known && value && *value < uint64_t{1} << 40;
      if (known) load[i] = static_cast<double>(*value) / fixed_one;
    }
    if (known) out.load = load;
  }
  return out;
}

}  // namespace kdk
