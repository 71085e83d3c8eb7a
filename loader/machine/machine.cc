#include "loader/machine/machine.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <thread>

#include "core/base/log.h"
#include "core/formats/vmcoreinfo.h"
#include "loader/machine/parse.h"
#include "loader/plan/dtb.h"
#include "loader/plan/elf64.h"

namespace kdk {
namespace {

constexpr uint64_t max_sysfs_text = 16 << 20;
constexpr uint64_t max_kallsyms_text = 256 << 20;
constexpr uint64_t default_crash_notes_size = 1024;  // kernels before crash_notes_size existed

// Content of a small file that must be there; `why` says what its absence means.
std::string require_line(const SysRoot& root, std::string_view path, std::string_view why) {
  std::optional<std::string> line = root.read_line(path);
  if (!line) throw Error(Errc::missing, fmt::format("{}: {}", path, why));
  return *line;
}

uint64_t require_number(std::string_view text, int base, std::string_view path) {
  std::optional<uint64_t> value = parse_number(text, base);
  if (!value) throw Error(Errc::format, fmt::format("{}: \"{}\" is not a number", path, text));
  return *value;
}

Range make_range(uint64_t start, uint64_t size, std::string_view path) {
  if (size == 0 || !checked_add(start, size)) {
    throw Error(Errc::format, fmt::format("{}: {:#x} bytes at {:#x} is no memory range", path, size, start));
  }
  return {start, size};
}

// "<hexadecimal address> <hexadecimal size>" (kernel/ksysfs.c, vmcoreinfo_show).
Range read_vmcoreinfo_note(const SysRoot& root) {
  constexpr std::string_view path = "/sys/kernel/vmcoreinfo";
  std::string text =
      require_line(root, path, "this kernel is built without crash dump support (CONFIG_CRASH_DUMP)");
  std::string_view rest = text;
  uint64_t address = require_number(next_token(rest, ' '), 16, path);
  return make_range(address, require_number(rest, 16, path), path);
}

std::optional<Kcore> read_kcore(const SysRoot& root, std::string& problem) {
  try {
    Fd fd = Fd::open(root.path("/proc/kcore"), O_RDONLY);
    return parse_kcore([&](uint64_t offset, uint64_t size) {
      std::vector<uint8_t> out(size);
      out.resize(read_at(fd, offset, out, "/proc/kcore"));
      return out;
    });
  } catch (const Error& e) {
    // Not fatal: lockdown=confidentiality closes it, CONFIG_PROC_KCORE may be off. The plan says what it does
    // without.
    problem = e.message();
    return std::nullopt;
  }
}

// The address of _stext. Reads line by line and stops there: the table has some 100,000 lines.
std::optional<uint64_t> read_kallsyms_stext(const SysRoot& root) {
  if (!root.exists("/proc/kallsyms")) return std::nullopt;
  Fd fd = Fd::open(root.path("/proc/kallsyms"), O_RDONLY);
  std::string pending;
  std::vector<uint8_t> chunk(64 << 10);
  for (uint64_t offset = 0; offset < max_kallsyms_text;) {
    size_t got = read_at(fd, offset, chunk, "/proc/kallsyms");
    offset += got;
    pending.append(as_text(Bytes(chunk).first(got)));
    std::string_view rest = pending;
    while (rest.find('\n') != std::string_view::npos) {
      std::string_view line = next_token(rest, '\n');
      std::string_view address = next_token(line, ' ');
      next_token(line, ' ');  // type
      if (line != "_stext") continue;
      std::optional<uint64_t> value = parse_number(address, 16);
      return value == 0 ? std::nullopt : value;  // zero: hidden by kptr_restrict
    }
    pending = std::string(rest);
    if (got < chunk.size()) break;
  }
  return std::nullopt;
}

// Numbers of the CPUs in sysfs, ascending. By directory, not by counting: they may have holes.
std::vector<unsigned> list_cpus(const SysRoot& root) {
  std::vector<unsigned> cpus;
  std::filesystem::path directory = root.path("/sys/devices/system/cpu");
  std::error_code error;
  std::filesystem::directory_iterator entries(directory, error);
  if (error) throw error_from_errno(error.value(), directory.string());
  for (const std::filesystem::directory_entry& entry : entries) {
    std::string name = entry.path().filename().string();
    if (!name.starts_with("cpu")) continue;
    std::optional<uint64_t> cpu = parse_number(std::string_view(name).substr(3), 10);
    if (cpu && *cpu <= UINT32_MAX) cpus.push_back(static_cast<unsigned>(*cpu));  // not cpufreq and the like
  }
  std::sort(cpus.begin(), cpus.end());
  return cpus;
}

// "0-3,8": inclusive ranges (lib/vsprintf.c, bitmap_list_string).
uint64_t count_possible_cpus(const SysRoot& root) {
  constexpr std::string_view path = "/sys/devices/system/cpu/possible";
  uint64_t count = 0;
  std::string text = root.read_line(path).value_or("");
  for (std::string_view rest = text; !rest.empty();) {
    std::string_view range = next_token(rest, ',');
    bool single = range.find('-') == std::string_view::npos;
    uint64_t first = require_number(next_token(range, '-'), 10, path);
    uint64_t last = single ? first : require_number(range, 10, path);
    if (last < first || last > UINT32_MAX)
      throw Error(Errc::format, fmt::format("{}: {}-{} are no CPUs", path, first, last));
    count += last - first + 1;
  }
  return count;
}

// Source: arch/arm64/kernel/cpuinfo.c (cpuregs_attr_midr_el1).
std::vector<CpuModel> read_cpu_models(const SysRoot& root, const std::vector<unsigned>& cpus) {
  std::vector<CpuModel> models;
  for (unsigned cpu : cpus) {
    std::string path = fmt::format("/sys/devices/system/cpu/cpu{}/regs/identification/midr_el1", cpu);
    if (std::optional<std::string> midr = root.read_line(path))
      models.push_back({cpu, require_number(*midr, 16, path)});
  }
  return models;
}

// "MemTotal:        1010136 kB", the first line (fs/proc/meminfo.c).
std::optional<uint64_t> read_managed_memory(const SysRoot& root) {
  constexpr std::string_view path = "/proc/meminfo", name = "MemTotal:", unit = " kB";
  std::string text = root.read_line(path).value_or("");
  std::string_view line = std::string_view(text).substr(0, text.find('\n'));
  if (!line.starts_with(name) || !line.ends_with(unit)) return std::nullopt;
  line = line.substr(name.size(), line.size() - name.size() - unit.size());
  line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
  std::optional<uint64_t> bytes = checked_mul(require_number(line, 10, path), 1024);
  if (!bytes) throw Error(Errc::format, fmt::format("{}: MemTotal: {} kB are too many", path, line));
  return bytes;
}

// Bit 22 of the effective capabilities, a hexadecimal number (fs/proc/array.c, task_cap; CAP_SYS_BOOT of
// include/uapi/linux/capability.h).
std::optional<bool> read_boot_capability(const SysRoot& root) {
  constexpr std::string_view path = "/proc/self/status", name = "CapEff:\t";
  std::string text = root.read_line(path).value_or("");
  for (std::string_view rest = text; !rest.empty();) {
    std::string_view line = next_token(rest, '\n');
    if (line.starts_with(name)) return (require_number(line.substr(name.size()), 16, path) >> 22 & 1) != 0;
  }
  return std::nullopt;
}

std::vector<uint8_t> read_device_tree(const SysRoot& root, std::string& source) {
  for (std::string_view path : {"/sys/firmware/fdt"}) {
    if (!root.exists(path)) continue;
    source = path;
    return read_file(root.path(path), max_dtb_size);
  }
  for (std::string_view path : {"/sys/firmware/devicetree/base", "/proc/device-tree"}) {
    if (!root.exists(path)) continue;
    source = path;
    return with_context(path, [&] { return flatten_device_tree(root.path(path)); });
  }
  return {};
}

// "none [integrity] confidentiality": the bracketed word is in force.
std::string read_lockdown(const SysRoot& root) {
  std::string text = root.read_line("/sys/kernel/security/lockdown").value_or("");
  size_t open = text.find('[');
  size_t close = text.find(']');
  if (open == std::string::npos || close == std::string::npos || close < open) return "";
  return text.substr(open + 1, close - open - 1);
}

// The machine's own word, then what was recorded of it.
const Architecture& detect_architecture(const SysRoot& root, const std::optional<Kcore>& kcore) {
  std::string name;
  struct utsname uts {};
  if (root.is_live() && ::uname(&uts) == 0) {
    name = uts.machine;
  } else if (!kcore) {
    name = root.read_line("/proc/sys/kernel/arch").value_or("");
  }
  const Architecture* found = name.empty() ? nullptr : find_architecture(name);
  if (name.empty() && kcore) {
    found = find_architecture(kcore->machine);
    name = fmt::format("of ELF machine {}", kcore->machine);
  }
  if (name.empty()) {
    throw Error(
        Errc::missing,
        "the machine's architecture is not known: neither /proc/kcore nor /proc/sys/kernel/arch is there")
        .with_hint("record at least the headers of /proc/kcore");
  }
  if (found == nullptr) {
    throw Error(Errc::unsupported,
                fmt::format("this machine is {}: supported are {}", name, supported_architectures()))
        .with_hint("plan for a recorded machine with --sysroot DIR");
  }
  if (kcore && kcore->machine != found->elf_machine) {
    throw Error(Errc::format,
                fmt::format("/proc/kcore: ELF machine {} on a machine that is {}", kcore->machine, name));
  }
  return *found;
}

// The EFI variable SecureBoot: four bytes of attributes, then one that is 1 when it is on (UEFI
// specification, "Globally Defined Variables").
std::optional<bool> read_secure_boot(const SysRoot& root) {
  constexpr std::string_view path =
      "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";
  if (!root.exists(path)) return std::nullopt;
  std::vector<uint8_t> variable = read_file(root.path(path), max_sysfs_text);
  if (variable.size() != 5) return std::nullopt;
  return variable[4] == 1;
}

// Asked with flags no kernel takes: ENOSYS without the call, else EINVAL or EPERM before anything is touched.
// Source: kernel/kexec_file.c, SYSCALL_DEFINE5(kexec_file_load).
bool has_kexec_file_load() {
  constexpr unsigned long no_such_flags = 1UL << 30;
  return ::syscall(SYS_kexec_file_load, -1, -1, 0UL, nullptr, no_such_flags) == 0 || errno != ENOSYS;
}

// "ACPI20=0x7f77e014" before or after "ACPI=..." (drivers/firmware/efi/efi.c, systab_show); the newer table
// wins.
std::optional<uint64_t> read_acpi_rsdp(const SysRoot& root) {
  constexpr std::string_view path = "/sys/firmware/efi/systab";
  std::string text = root.read_line(path).value_or("");
  std::optional<uint64_t> found;
  for (std::string_view rest = text; !rest.empty();) {
    std::string_view line = next_token(rest, '\n');
    std::string_view name = next_token(line, '=');
    if (name == "ACPI20" || (name == "ACPI" && !found)) found = require_number(line, 16, path);
  }
  return found;
}

// Source: arch/x86/kernel/ksysfs.c.
std::vector<uint8_t> read_boot_params(const SysRoot& root) {
  constexpr std::string_view path = "/sys/kernel/boot_params/data";
  if (!root.exists(path)) return {};
  std::vector<uint8_t> bytes = read_file(root.path(path), 4096);
  if (bytes.size() != 4096)
    throw Error(Errc::format, fmt::format("{}: {} bytes instead of 4096", path, bytes.size()));
  return bytes;
}

std::optional<uint64_t> read_optional_number(const SysRoot& root, std::string_view path) {
  std::optional<std::string> line = root.read_line(path);
  if (!line) return std::nullopt;
  return require_number(*line, 10, path);
}

std::optional<uint64_t> read_elfcorehdr_size(const SysRoot& root) {
  constexpr std::string_view path = "/sys/kernel/crash_elfcorehdr_size";
  constexpr uint64_t largest = uint64_t{elf64::phnum_extended} * sizeof(elf64::ProgramHeader);
  std::optional<uint64_t> size = read_optional_number(root, path);
  if (size && *size > largest)
    throw Error(Errc::format, fmt::format("{}: {} bytes are more than any ELF header takes", path, *size));
  return size;
}

}  // namespace

std::optional<uint64_t> read_crash_size(const SysRoot& root) {
  constexpr std::string_view path = "/sys/kernel/kexec_crash_size";
  constexpr auto step = std::chrono::milliseconds(100), patience = std::chrono::milliseconds(30000);
  if (!root.exists(path)) return std::nullopt;
  Fd fd = Fd::open(root.path(path), O_RDONLY);
  char text[32];
  ssize_t n = 0;
  for (auto waited = step;; waited += step) {
    do n = ::read(fd.get(), text, sizeof text);
    while (n < 0 && errno == EINTR);
    if (n >= 0) break;
    if (errno != EBUSY) throw error_from_errno(errno, path);
    if (waited > patience)
      throw error_from_errno(errno, path).with_hint("another program is loading a kernel: try again");
    std::this_thread::sleep_for(step);
  }
  std::string_view line(text, static_cast<size_t>(n));
  while (line.ends_with('\n')) line.remove_suffix(1);
  return require_number(line, 10, path);
}

std::vector<CpuNote> read_cpu_notes(const SysRoot& root) {
  std::vector<CpuNote> notes;
  for (unsigned cpu : list_cpus(root)) {
    std::string path = fmt::format("/sys/devices/system/cpu/cpu{}/crash_notes", cpu);
    std::optional<std::string> address = root.read_line(path);
    if (!address) continue;  // cpus_without_note
    std::optional<std::string> size = root.read_line(path + "_size");
    notes.push_back(
        {cpu, make_range(require_number(*address, 16, path),
                         size ? require_number(*size, 10, path + "_size") : default_crash_notes_size, path)});
  }
  if (notes.empty()) {
    throw Error(Errc::missing,
                "no CPU has crash_notes in /sys/devices/system/cpu: this kernel is built without kexec");
  }
  return notes;
}

MemoryMap read_memory_map(const SysRoot& root) {
  return parse_iomem(read_text_file(root.path("/proc/iomem"), max_sysfs_text));
}

Machine read_machine(const SysRoot& root) {
  Machine machine;
  machine.kcore = read_kcore(root, machine.kcore_problem);
  machine.architecture = &detect_architecture(root, machine.kcore);
  machine.memory = read_memory_map(root);
  machine.cpu_notes = read_cpu_notes(root);
  std::vector<unsigned> cpus = list_cpus(root);
  for (unsigned cpu : cpus) {
    auto is_its = [&](const CpuNote& note) { return note.cpu == cpu; };
    if (std::none_of(machine.cpu_notes.begin(), machine.cpu_notes.end(), is_its))
      machine.cpus_without_note.push_back(cpu);
  }
  machine.possible_cpus = count_possible_cpus(root);
  machine.cpu_models = read_cpu_models(root, cpus);
  machine.vmcoreinfo_note = read_vmcoreinfo_note(root);
  machine.kallsyms_stext = read_kallsyms_stext(root);
  if (root.is_live()) {
    machine.page_size = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  } else if (machine.kcore) {
    machine.page_size = Vmcoreinfo::parse(machine.kcore->vmcoreinfo).decimal("PAGESIZE");
  }
  machine.command_line = root.read_line("/proc/cmdline").value_or("");
  if (machine.architecture->has_device_tree)
    machine.device_tree = read_device_tree(root, machine.device_tree_source);
  machine.crash_size = read_crash_size(root);
  machine.managed_memory = read_managed_memory(root);
  if (root.is_live()) machine.has_boot_capability = read_boot_capability(root);
  machine.lockdown = read_lockdown(root);
  machine.load_disabled = root.read_line("/proc/sys/kernel/kexec_load_disabled").value_or("0") == "1";
  machine.load_limit_used_up =
      root.read_line("/proc/sys/kernel/kexec_load_limit_panic").value_or("-1") == "0";
  machine.config = read_kernel_config(root);
  machine.has_file_load =
      root.is_live() ? has_kexec_file_load() : machine.config.enabled("CONFIG_KEXEC_FILE");
  machine.secure_boot = read_secure_boot(root);
  machine.acpi_rsdp = read_acpi_rsdp(root);
  machine.boot_params = read_boot_params(root);
  machine.firmware_bits = read_optional_number(root, "/sys/firmware/efi/fw_platform_size");
  machine.elfcorehdr_size = read_elfcorehdr_size(root);
  machine.purgatory = read_purgatory_facts(root, machine.device_tree, !machine.architecture->has_device_tree);
  return machine;
}

std::optional<bool> kernel_follows_hotplug(const SysRoot& root, std::string_view what) {
  std::optional<std::string> line = root.read_line(fmt::format("/sys/devices/system/{}/crash_hotplug", what));
  return line ? std::optional(*line == "1") : std::nullopt;
}

}  // namespace kdk
