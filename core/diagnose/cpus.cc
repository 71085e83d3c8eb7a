// Registers of every CPU. Each CPU that stops for the crash writes an NT_PRSTATUS note into its own per-CPU
// crash_notes buffer (kernel/crash_core.c, crash_save_cpu). The notes in the dump file are those buffers one
// after the other, but CPUs that wrote none are skipped, so their index is not the CPU number: only
// crash_notes + __per_cpu_offset[cpu] is exact. Where the symbols for that are unknown the order of the notes
// and the log give a guess, and it is called one.
#include "core/diagnose/cpus.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "core/base/log.h"
#include "core/kernel/percpu.h"

namespace kdk {
namespace {

// sizeof(note_buf_t) is below this on every architecture we know: header, "CORE", elf_prstatus, empty header.
constexpr size_t note_buffer_size = 1024;
constexpr size_t max_cpus = 8192;  // NR_CPUS of the largest stock kernels

struct CpuNote {
  Registers registers;
  int32_t pid = 0;
};

std::optional<CpuNote> parse_prstatus(const Arch& arch, const std::vector<Note>& notes) {
  for (const Note& note : notes) {
    if (note.name != "CORE" || note.type != nt_prstatus) continue;
    CpuNote cpu;
    std::optional<Registers> registers = arch.registers_from_prstatus(note.desc, &cpu.pid);
    if (!registers) return std::nullopt;
    cpu.registers = *registers;
    return cpu;
  }
  return std::nullopt;
}

// Reads per-CPU crash_notes. `note_buf_t __percpu *crash_notes`: the symbol holds a per-CPU offset, not an
// address.
class CrashNotes {
 public:
  explicit CrashNotes(Kernel& kernel) : kernel_(kernel) {
    std::optional<VirtAddr> pointer = kernel.symbol("crash_notes");
    offsets_ = kernel.symbol("__per_cpu_offset");
    if (pointer) base_ = kernel.memory().u64(*pointer);
  }
  bool known() const { return base_ && *base_ != 0 && offsets_; }

  std::optional<CpuNote> read(unsigned cpu) const {
    KernelMemory& memory = kernel_.memory();
    std::optional<uint64_t> offset = memory.u64(*offsets_ + uint64_t{cpu} * 8);
    if (!offset || *offset == 0) return std::nullopt;  // never possible
    std::array<uint8_t, note_buffer_size> buffer{};
    ReadResult result = memory.read(VirtAddr{*base_ + *offset}, buffer);
    // The buffer may end its page, and the next one need not be there.
    return parse_prstatus(memory.arch(), parse_notes(Bytes(buffer).first(result.bytes)));
  }

 private:
  Kernel& kernel_;
  std::optional<uint64_t> base_;
  std::optional<VirtAddr> offsets_;
};

void add_task(Kernel& kernel, CpuState& state) {
  if (!state.cpu) return;
  std::optional<VirtAddr> task = current_task(kernel, *state.cpu);
  if (!task) return;
  state.task = task->value;
  const Layout& layout = kernel.layout();
  if (std::optional<uint64_t> pid = layout.offset("task_struct", "pid")) {
    if (std::optional<uint32_t> value = kernel.memory().u32(*task + *pid))
      state.pid = static_cast<int32_t>(*value);
  }
  if (std::optional<uint64_t> comm = layout.offset("task_struct", "comm")) {
    // TASK_COMM_LEN
    if (std::optional<std::string> name = kernel.memory().string(*task + *comm, 16)) {
      state.comm = escape_untrusted(*name);
    }
  }
}

CpuState state_of(const CpuNote& note, const Arch& arch) {
  CpuState state;
  state.registers = note.registers;
  state.user_mode = arch.user_mode(note.registers);
  if (note.pid >= 0) state.pid = note.pid;
  return state;
}

// Exact: by crash_notes.
std::vector<CpuState> from_crash_notes(Kernel& kernel, const CrashNotes& notes) {
  std::vector<CpuState> states;
  std::vector<unsigned> possible = cpu_mask(kernel, "__cpu_possible_mask").value_or(std::vector<unsigned>{});
  std::vector<unsigned> online = cpu_mask(kernel, "__cpu_online_mask").value_or(std::vector<unsigned>{});
  if (possible.size() > max_cpus) possible.resize(max_cpus);
  for (unsigned cpu : possible) {
    std::optional<CpuNote> note = notes.read(cpu);
    // A CPU that stops takes itself out of the online mask; one still in it without a note never answered.
    bool is_online = std::find(online.begin(), online.end(), cpu) != online.end();
    if (!note && !is_online) continue;
    CpuState state = note ? state_of(*note, kernel.memory().arch()) : CpuState{};
    state.cpu = cpu;
    state.cpu_source = "crash_notes";
    state.answered = note.has_value();
    states.push_back(std::move(state));
  }
  // No buffer was ever written (a dump made by a hypervisor): the masks alone say nothing about registers.
  bool any = std::any_of(states.begin(), states.end(), [](const CpuState& s) { return s.answered; });
  return any ? states : std::vector<CpuState>{};
}

// "smp: Brought up 1 node, 2 CPUs" of kernel/smp.c.
std::optional<unsigned> cpus_brought_up(const KernelLog& log) {
  for (const LogLine& line : kernel_lines(log)) {
    size_t at = line.text.find("Brought up ");
    size_t comma = at == std::string_view::npos ? at : line.text.find(", ", at);
    if (comma == std::string_view::npos) continue;
    unsigned count = 0;
    const char* end = line.text.data() + line.text.size();
    if (std::from_chars(line.text.data() + comma + 2, end, count).ec == std::errc()) return count;
  }
  return std::nullopt;
}

// By the notes of the dump file: their order, the log's CPU line and the crash path decide what can be said.
std::vector<CpuState> from_file_notes(Kernel& kernel, const KernelLog& log,
                                      const std::optional<LogCpuLine>& log_cpu,
                                      std::vector<std::string>& problems) {
  const Arch& arch = kernel.memory().arch();
  std::vector<CpuState> states;
  std::vector<size_t> crash_path, same_pid;
  bool numbered = !kernel.vmcoreinfo().decimal("CRASHTIME");  // see below
  for (const Note& note : kernel.dump().notes()) {
    std::optional<CpuNote> cpu = parse_prstatus(arch, {note});
    if (!cpu || states.size() >= max_cpus) continue;
    numbered = numbered && cpu->pid == static_cast<int32_t>(states.size()) + 1;
    if (in_crash_path(kernel, cpu->registers)) crash_path.push_back(states.size());
    if (log_cpu && cpu->pid == log_cpu->pid) same_pid.push_back(states.size());
    states.push_back(state_of(*cpu, arch));
  }
  if (states.empty()) {
    problems.push_back("the dump has no register notes (NT_PRSTATUS)");
    return states;
  }
  // QEMU's dump-guest-memory numbers its notes: pr_pid is the CPU number + 1, and there is no crash time.
  if (numbered) {
    for (size_t i = 0; i < states.size(); ++i) {
      states[i].cpu = static_cast<unsigned>(i);
      states[i].cpu_source = "hypervisor note";
      states[i].pid.reset();
    }
    return states;
  }
  std::optional<size_t> crashed;
  if (crash_path.size() == 1) {
    crashed = crash_path[0];
  } else if (same_pid.size() == 1) {
    crashed = same_pid[0];
  } else if (states.size() == 1) {
    crashed = 0;
  }
  if (crashed) {
    states[*crashed].crashed = true;
    if (log_cpu) {
      states[*crashed].cpu = log_cpu->cpu;
      states[*crashed].cpu_source = "log";
    }
  }
  std::optional<unsigned> started = cpus_brought_up(log);
  // With a note of every CPU the order is the CPU order, unless CPUs were taken offline.
  bool order_fits = started == states.size() && (!crashed || !log_cpu || log_cpu->cpu == *crashed);
  for (size_t i = 0; i < states.size(); ++i) {
    if (!states[i].cpu && order_fits) {
      states[i].cpu = static_cast<unsigned>(i);
      states[i].cpu_source = "note order (a guess)";
    } else if (!states[i].cpu) {
      states[i].cpu_source = "unknown";
    }
  }
  if (started && *started > states.size()) {
    problems.push_back(
        fmt::format("{} CPUs were brought up but only {} left registers: the others were offline or did "
                    "not answer",
                    *started, states.size()));
  }
  problems.push_back(
      "CPU numbers are taken from the log and the order of the notes: the symbols crash_notes and "
      "__per_cpu_offset are unknown (a vmlinux would give them)");
  return states;
}

std::optional<unsigned> panic_cpu(Kernel& kernel, const std::optional<LogCpuLine>& log_cpu) {
  if (std::optional<VirtAddr> symbol = kernel.symbol("panic_cpu")) {
    std::optional<uint32_t> value = kernel.memory().u32(*symbol);
    // PANIC_CPU_INVALID is -1: nobody panicked.
    if (value && *value < max_cpus) return *value;
  }
  if (log_cpu) return log_cpu->cpu;
  return std::nullopt;
}

}  // namespace

bool in_crash_path(Kernel& kernel, const Registers& registers) {
  std::optional<uint64_t> pc = registers.get(kernel.memory().arch().roles().pc);
  std::optional<SymbolHit> hit = pc ? kernel.symbols().lookup(*pc) : std::nullopt;
  if (!hit) return false;
  static constexpr std::array<std::string_view, 4> path = {"__crash_kexec", "crash_kexec", "crash_setup_regs",
                                                           "machine_crash_shutdown"};
  return std::find(path.begin(), path.end(), hit->symbol.name) != path.end();
}

std::vector<CpuState> collect_cpus(Kernel& kernel, const KernelLog& log,
                                   const std::optional<LogCpuLine>& log_cpu,
                                   std::vector<std::string>& problems) {
  std::vector<CpuState> states;
  if (CrashNotes notes(kernel); notes.known()) states = from_crash_notes(kernel, notes);
  if (states.empty()) states = from_file_notes(kernel, log, log_cpu, problems);

  bool known = std::any_of(states.begin(), states.end(), [](const CpuState& s) { return s.crashed; });
  std::optional<unsigned> crashed = panic_cpu(kernel, log_cpu);
  for (CpuState& state : states) {
    if (!known && crashed && state.cpu == crashed) state.crashed = true;
    add_task(kernel, state);
    if (state.crashed && state.comm.empty() && log_cpu && log_cpu->pid == state.pid)
      state.comm = log_cpu->comm;
    if (!state.answered) {
      problems.push_back(fmt::format(
          "CPU {} was online but left no registers: it did not answer the stop request", *state.cpu));
    }
  }
  std::stable_sort(states.begin(), states.end(), [](const CpuState& a, const CpuState& b) {
    return a.cpu.value_or(UINT32_MAX) < b.cpu.value_or(UINT32_MAX);
  });
  return states;
}

}  // namespace kdk
