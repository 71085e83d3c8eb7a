#include "loader/machine/purgatory_facts.h"

#include <fmt/format.h>
#include <libfdt.h>

#include "loader/machine/parse.h"
#include "loader/plan/fdt.h"

namespace kdk {
namespace {

using purgatory::Console;
using purgatory::ConsoleKind;
using purgatory::ResetKind;

constexpr uint64_t max_cpuinfo = 64 << 20;
constexpr uint64_t max_acpi_table = 1 << 20;

// "flags : fpu ... sha_ni" of the first x86 CPU, "Features : fp ... sha2" of every arm64 one, which may
// differ.
std::optional<bool> has_sha256_instructions(const SysRoot& root) {
  if (!root.exists("/proc/cpuinfo")) return std::nullopt;
  std::string text = read_text_file(root.path("/proc/cpuinfo"), max_cpuinfo);
  std::optional<bool> all;
  for (std::string_view rest = text; !rest.empty();) {
    std::string_view words = next_token(rest, '\n');
    std::string_view key = next_token(words, ':');
    if (!key.starts_with("flags") && !key.starts_with("Features")) continue;
    bool here = false;
    while (!words.empty()) {
      std::string_view word = next_token(words, ' ');
      here = here || word == "sha_ni" || word == "sha2";
    }
    all = all.value_or(true) && here;
  }
  return all;
}

// An attribute of a serial port (drivers/tty/serial/serial_core.c, tty_dev_attrs).
std::optional<uint64_t> port_attribute(const SysRoot& root, std::string_view name, std::string_view attribute,
                                       int base) {
  std::optional<std::string> line = root.read_line(fmt::format("/sys/class/tty/{}/{}", name, attribute));
  return line ? parse_number(*line, base) : std::nullopt;
}

// include/uapi/linux/serial_core.h: types up to 21 are of the 8250 family, whose transmitter is the same. 32
// is the PL011, and what an SBSA UART is called. io_type: include/uapi/linux/serial.h, SERIAL_IO_*.
std::optional<Console> read_port(const SysRoot& root, std::string_view name, bool x86) {
  constexpr uint64_t last_8250 = 21, amba = 32;
  constexpr uint64_t io_port = 0, io_memory_8 = 2, io_memory_32 = 3;
  uint64_t type = port_attribute(root, name, "type", 10).value_or(0);
  std::optional<uint64_t> io = port_attribute(root, name, "io_type", 10);
  if (type == 0 || !io) return std::nullopt;
  Console console{std::string(name), ConsoleKind::none, 0, 0};
  if (x86 && type <= last_8250 && *io == io_port) {
    console.kind = ConsoleKind::uart8250_io;
    console.address = port_attribute(root, name, "port", 16).value_or(0);
    return console.address != 0 && console.address < 0xfff8 ? std::optional(console) : std::nullopt;
  }
  if (x86) return std::nullopt;  // registers in memory are not mapped when the purgatory runs
  if (type == amba) {
    console.kind = ConsoleKind::pl011;
  } else if (type <= last_8250 && (*io == io_memory_8 || *io == io_memory_32)) {
    console.kind = *io == io_memory_8 ? ConsoleKind::uart8250_8 : ConsoleKind::uart8250_32;
    console.shift = port_attribute(root, name, "iomem_reg_shift", 10).value_or(0);
  } else {
    return std::nullopt;
  }
  console.address = port_attribute(root, name, "iomem_base", 16).value_or(0);
  bool plausible = console.address != 0 && console.address % 4 == 0 && console.shift <= 4;
  return plausible ? std::optional(console) : std::nullopt;
}

// Only a port that is a console: it is powered and clocked, since the kernel has just printed there.
std::optional<Console> read_console(const SysRoot& root, bool x86) {
  std::string active = root.read_line("/sys/class/tty/console/active").value_or("");
  for (std::string_view rest = active; !rest.empty();) {
    std::string_view name = next_token(rest, ' ');
    if (name.empty() || name.find('/') != std::string_view::npos) continue;
    if (std::optional<Console> console = read_port(root, name, x86)) return console;
  }
  return std::nullopt;
}

// ACPI specification, 5.2.9 (FADT): ARM_BOOT_ARCH at byte 129; bit 0: PSCI, bit 1: it is called by HVC.
ResetKind acpi_reset(const SysRoot& root) {
  constexpr std::string_view path = "/sys/firmware/acpi/tables/FACP";
  if (!root.exists(path)) return ResetKind::none;
  std::optional<ul16> flags = load<ul16>(read_file(root.path(path), max_acpi_table), 129);
  if (!flags || (*flags & 1) == 0) return ResetKind::none;
  return (*flags & 2) != 0 ? ResetKind::psci_hvc : ResetKind::psci_smc;
}

}  // namespace

ResetKind psci_reset(Bytes device_tree) {
  const void* tree = device_tree.data();
  if (fdt::check_whole(device_tree) != 0) return ResetKind::none;
  for (const char* version : {"arm,psci-1.0", "arm,psci-0.2"}) {
    int node = fdt_node_offset_by_compatible(tree, -1, version);
    if (node < 0) continue;
    int size = 0;
    const auto* text = static_cast<const char*>(fdt_getprop(tree, node, "method", &size));
    if (text == nullptr || size != 4) continue;
    std::string_view method(text, 3);
    if (method == "smc") return ResetKind::psci_smc;
    if (method == "hvc") return ResetKind::psci_hvc;
  }
  return ResetKind::none;
}

PurgatoryFacts read_purgatory_facts(const SysRoot& root, Bytes device_tree, bool x86) {
  PurgatoryFacts facts;
  facts.console = read_console(root, x86);
  facts.reset = x86 ? ResetKind::x86 : psci_reset(device_tree);
  if (facts.reset == ResetKind::none) facts.reset = acpi_reset(root);
  facts.sha256_instructions = has_sha256_instructions(root);
  return facts;
}

}  // namespace kdk
