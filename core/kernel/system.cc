#include "core/kernel/system.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/base/log.h"
#include "core/kernel/percpu.h"

namespace kdk {
namespace {

// By bit, never by letter: letters were added over the years, bits never moved.
// Source: kernel/panic.c taint_flags[], Documentation/admin-guide/tainted-kernels.rst.
constexpr std::array<TaintFlag, 20> known_taints{{
    {0, 'P', "proprietary module was loaded"},
    {1, 'F', "module was force loaded"},
    {2, 'S', "kernel running on an out of specification system"},
    {3, 'R', "module was force unloaded"},
    {4, 'M', "processor reported a machine check exception"},
    {5, 'B', "bad page referenced or some unexpected page flags"},
    {6, 'U', "taint requested by userspace application"},
    {7, 'D', "kernel died recently: there was an oops or bug"},
    {8, 'A', "ACPI table overridden by user"},
    {9, 'W', "kernel issued a warning"},
    {10, 'C', "staging driver was loaded"},
    {11, 'I', "workaround for bug in platform firmware applied"},
    {12, 'O', "externally-built (out-of-tree) module was loaded"},
    {13, 'E', "unsigned module was loaded"},
    {14, 'L', "soft lockup occurred"},
    {15, 'K', "kernel has been live patched"},
    {16, 'X', "auxiliary taint, defined by the distribution"},
    {17, 'T', "kernel was built with the struct randomization plugin"},
    {18, 'N', "an in-kernel test has been run"},
    {19, 'J', "userspace used a mutating debug operation in fwctl"},
}};

std::string trimmed(std::string_view text) {
  size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos) return {};
  return std::string(text.substr(begin, text.find_last_not_of(" \t\r\n") + 1 - begin));
}

// struct new_utsname (include/uapi/linux/utsname.h): six strings of 65 bytes.
void read_utsname(SystemInfo& system, Kernel& kernel) {
  constexpr uint64_t field = 65;
  auto ns = kernel.symbol("init_uts_ns");
  auto name = kernel.layout().offset("uts_namespace", "name");
  if (!ns || !name) return;
  auto read = [&](uint64_t index, std::string& into) {
    if (auto text = kernel.memory().string(*ns + *name + index * field, field); text && !text->empty()) {
      into = escape_untrusted(*text);
    }
  };
  read(1, system.hostname);
  read(2, system.release);
  read(3, system.version);
  read(4, system.machine);
}

void read_taint(SystemInfo& system, Kernel& kernel, const KernelLog& log) {
  if (auto symbol = kernel.symbol("tainted_mask")) {
    if (auto mask = kernel.memory().u64(*symbol)) {
      system.taint_mask = *mask;
      system.taint_flags = decode_taint(*mask);
      for (const TaintFlag& flag : system.taint_flags) system.taint_letters += flag.letter;
      system.taint_source = "tainted_mask";
      return;
    }
  }
  // The last oops header is the latest word on it.
  for (auto record = log.records.rbegin(); record != log.records.rend(); ++record) {
    if (auto letters = taint_letters_in(record->text)) {
      system.taint_letters = *letters;
      for (char letter : *letters) {
        auto known = std::find_if(known_taints.begin(), known_taints.end(),
                                  [&](const TaintFlag& flag) { return flag.letter == letter; });
        if (known != known_taints.end()) system.taint_flags.push_back(*known);
      }
      system.taint_source = "log";
      return;
    }
  }
}

void read_command_line(SystemInfo& system, Kernel& kernel, const KernelLog& log) {
  constexpr size_t limit = 4096;  // COMMAND_LINE_SIZE is 2048 on arm64 and x86
  if (auto symbol = kernel.symbol("saved_command_line")) {
    if (auto address = kernel.memory().pointer(*symbol)) {
      if (auto text = kernel.memory().string(*address, limit)) {
        system.command_line = escape_untrusted(trimmed(*text));
        system.command_line_source = "saved_command_line";
        return;
      }
    }
  }
  constexpr std::string_view prefix = "Kernel command line: ";
  for (const LogRecord& record : log.records) {
    if (record.text.rfind(prefix, 0) != 0) continue;
    system.command_line = escape_untrusted(trimmed(std::string_view(record.text).substr(prefix.size())));
    system.command_line_source = "log";
    return;
  }
}

}  // namespace

std::vector<TaintFlag> decode_taint(uint64_t mask) {
  std::vector<TaintFlag> flags;
  for (unsigned bit = 0; bit < 64; ++bit) {
    if ((mask >> bit & 1) == 0) continue;
    flags.push_back(bit < known_taints.size() ? known_taints[bit]
                                              : TaintFlag{bit, '?', "unknown to this program"});
  }
  return flags;
}

std::optional<std::string> taint_letters_in(std::string_view line) {
  if (line.find("Not tainted") != std::string_view::npos) return std::string{};
  constexpr std::string_view mark = "Tainted: ";
  size_t at = line.find(mark);
  if (at == std::string_view::npos) return std::nullopt;
  std::string_view rest = line.substr(at + mark.size());
  std::string letters;
  // "Tainted: [W]=WARN, [O]=OOT_MODULE": the second form, on a line of its own in newer kernels.
  if (!rest.empty() && rest[0] == '[') {
    for (size_t i = 0; i + 2 < rest.size(); ++i) {
      if (rest[i] == '[' && rest[i + 2] == ']') letters += rest[i + 1];
    }
    return letters;
  }
  // "Tainted: G      D    O      6.1.0-...": letters and blanks up to the first other character. The column
  // of 'G' says "no proprietary module" and is no flag.
  for (char c : rest) {
    if (c == ' ') continue;
    if (c < 'A' || c > 'Z') break;
    if (c != 'G') letters += c;
  }
  return letters;
}

SystemInfo system_from_dump(const Dump& dump) {
  SystemInfo system;
  const Vmcoreinfo& info = dump.vmcoreinfo();
  system.release = escape_untrusted(info.value("OSRELEASE").value_or(dump.info().uts_release));
  system.version = escape_untrusted(dump.info().uts_version);
  system.hostname = escape_untrusted(dump.info().uts_nodename);
  const Arch* arch = find_arch(dump.info().elf_machine);
  if (arch == nullptr) arch = find_arch(dump.info().uts_machine);
  if (arch != nullptr) system.architecture = arch->name();
  system.machine = escape_untrusted(dump.info().uts_machine);
  if (system.machine.empty() && arch != nullptr) system.machine = arch->uts_machine();
  system.build_id = escape_untrusted(info.value("BUILD-ID").value_or(""));
  system.crash_time = info.decimal("CRASHTIME");
  system.kaslr_offset = info.hex("KERNELOFFSET");
  return system;
}

void complete_system(SystemInfo& system, Kernel& kernel, const KernelLog& log) {
  system.va = kernel.memory().layout();
  read_utsname(system, kernel);
  if (auto mask = cpu_mask(kernel, "__cpu_possible_mask"))
    system.cpus_possible = static_cast<unsigned>(mask->size());
  if (auto mask = cpu_mask(kernel, "__cpu_online_mask"))
    system.cpus_online = static_cast<unsigned>(mask->size());
  if (!log.records.empty()) {
    uint64_t last = 0;
    for (const LogRecord& record : log.records) {
      if (!record.incomplete) last = std::max(last, record.time_ns);
    }
    system.uptime_ns = last;
    if (system.crash_time && *system.crash_time >= last / 1'000'000'000) {
      system.boot_time = *system.crash_time - last / 1'000'000'000;
    }
  }
  read_taint(system, kernel, log);
  read_command_line(system, kernel, log);
}

}  // namespace kdk
