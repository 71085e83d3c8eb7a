#include "loader/prove/prove.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/base/log.h"
#include "loader/kexec/kexec.h"
#include "loader/prove/boot_rom.h"
#include "loader/prove/qemu.h"

namespace kdk {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::seconds;
using Verdict = ProveResult::Verdict;
using Trial = ProveResult::Trial;

// After capture has started: how long to listen to what it says.
constexpr seconds listen(10);
// A guest that KVM runs has said something by then.
constexpr seconds kvm_patience(20);
constexpr seconds device_tree_patience(60);

// Something the virtual machine lacks: no verdict about the crash kernel.
struct CannotTry {
  std::string why;
};

std::string last_line(std::string_view text) {
  while (text.ends_with('\n')) text.remove_suffix(1);
  size_t newline = text.rfind('\n');
  return std::string(newline == std::string_view::npos ? text : text.substr(newline + 1));
}

std::vector<uint8_t> ask_device_tree(const Trial& trial) {
  ChildDirectory directory;
  std::filesystem::path file = directory.path() / "dtb";
  QemuRun run;
  run.program = trial.qemu;
  run.arguments = board_arguments(trial.vm);
  run.arguments[1] += ",dumpdtb=" + file.string();
  run.deadline = Clock::now() + device_tree_patience;
  run.console = [](Bytes) { return true; };
  run.tick = [] { return true; };
  QemuEnd end = run_qemu(run);
  if (end.why == QemuEnd::Why::interrupted) throw CannotTry{"interrupted"};
  if (end.why != QemuEnd::Why::exited || end.exit_code != 0) {
    throw CannotTry{fmt::format("{} gave no device tree: {}", trial.qemu, last_line(end.errors))};
  }
  return read_file(file, max_dtb_size);
}

// The same load again, on the virtual machine.
LoadPlan plan_for(const Trial& trial, LoadRequest request) {
  bool has_tree = trial.vm.board->architecture->has_device_tree;
  Machine machine = describe(trial.vm, has_tree ? ask_device_tree(trial) : std::vector<uint8_t>());
  request.dtb.clear();
  request.command_line = trial.test_command_line;
  request.uki_command_line = false;
  request.append.clear();
  request.add_defaults = false;
  request.call = LoadCall::kexec_load;
  LoadPlan plan = prepare_load(machine, request).plan;
  for (const Check& check : plan.checks) {
    bool here_too = std::any_of(trial.real.checks.begin(), trial.real.checks.end(), [&](const Check& c) {
      return c.name == check.name && c.status == Check::Status::failed;
    });
    // What is wrong for the real machine is to be shown; what is wrong for this one alone proves nothing.
    if (check.status == Check::Status::failed && !here_too)
      throw CannotTry{fmt::format("the virtual machine: check {}: {}", check.name, check.detail)};
  }
  return plan;
}

// All that goes into the virtual machine's memory, and QEMU's arguments for it.
class Placement {
 public:
  Placement(const Trial& trial, const LoadPlan& plan, std::string_view vmcoreinfo)
      : arguments_(board_arguments(trial.vm)) {
    for (const Segment& segment : plan.segments) place(segment.name, segment.data, segment.memory.start);
    place("crashed", make_crashed_memory(trial.vm, vmcoreinfo), trial.vm.crashed.start);
    if (plan.architecture == &x86_64_architecture) {
      place("page-tables", make_identity_map(trial.vm.page_tables, trial.vm.crash_regions.back().end()),
            trial.vm.page_tables.start);
      add("-option-rom",
          keep("boot-rom", make_boot_rom(*plan.entry, static_cast<uint32_t>(trial.vm.page_tables.start))));
    } else {
      add("-device", fmt::format("loader,addr={:#x},cpu-num=0", *plan.entry));
    }
    add("-chardev", "stdio,id=console,signal=off");
    add("-serial", "chardev:console");
  }

  const std::vector<std::string>& arguments() const { return arguments_; }
  std::vector<int> descriptors() const {
    std::vector<int> fds;
    for (const Fd& file : files_) fds.push_back(file.get());
    return fds;
  }

 private:
  void add(std::string option, std::string value) {
    arguments_.push_back(std::move(option));
    arguments_.push_back(std::move(value));
  }
  // The path by which the child opens it: its own descriptors have the same numbers.
  std::string keep(const std::string& name, Bytes content) {
    files_.push_back(memory_file(name, content));
    return fmt::format("/proc/self/fd/{}", files_.back().get());
  }
  void place(const std::string& name, Bytes content, uint64_t address) {
    add("-device", fmt::format("loader,file={},addr={:#x},force-raw=on", keep(name, content), address));
  }

  std::vector<std::string> arguments_;
  std::vector<Fd> files_;
};

std::string with_problems(std::string cause, const ConsoleWatch& console) {
  if (console.problems().empty()) return cause;
  return fmt::format("{} ({})", cause, fmt::join(console.problems(), "; "));
}

// What the end of the boot means.
void judge(const QemuEnd& end, const ProveOptions& options, ProveResult& result) {
  const Trial& trial = *result.trial;
  const ConsoleWatch& console = trial.console;
  auto not_reached = [&](std::string cause) {
    result.verdict = Verdict::not_reached;
    result.cause = with_problems(std::move(cause), console);
  };
  if (console.stage() == BootStage::capture) {
    result.verdict = Verdict::reached;
    if (!trial.refusals.empty()) {
      not_reached("the virtual machine got there, but kdump-load load refuses this: " +
                  trial.refusals.front());
    }
  } else if (end.why == QemuEnd::Why::interrupted) {
    throw CannotTry{"interrupted"};
  } else if (!console.failure().empty()) {
    not_reached(console.failure());
  } else if (end.why == QemuEnd::Why::deadline) {
    std::string said = console.last_lines().empty() ? "nothing" : "\"" + console.last_lines().back() + "\"";
    not_reached(fmt::format("capture had not started after {} s; the last thing said was {}",
                            options.deadline.count(), said));
  } else if (end.exit_code != 0 && console.stage() == BootStage::nothing) {
    throw CannotTry{
        fmt::format("{} failed (exit code {}): {}", trial.qemu, end.exit_code, last_line(end.errors))};
  } else {
    not_reached("the virtual machine reset itself without a word of why");
  }
}

// True when it has to be done again without KVM.
bool boot(const LoadPlan& plan, std::string_view vmcoreinfo, const ProveOptions& options,
          ProveResult& result) {
  Trial& trial = *result.trial;
  trial.console = ConsoleWatch(options.expect);
  Placement placement(trial, plan, vmcoreinfo);
  Clock::time_point start = Clock::now();
  std::optional<Clock::time_point> reached;
  bool kvm = trial.vm.acceleration == Acceleration::kvm;
  bool silent = false;
  QemuRun run{trial.qemu, placement.arguments(), placement.descriptors(), start + options.deadline, {}, {}};
  run.console = [&](Bytes text) {
    if (options.copy) options.copy(text);
    trial.console.feed(text);
    if (trial.console.stage() == BootStage::capture && !reached) reached = Clock::now();
    return trial.console.failure().empty() && !trial.console.capture_finished();
  };
  run.tick = [&] {
    silent = kvm && trial.console.bytes() == 0 && Clock::now() - start > kvm_patience;
    return !silent && !(reached && Clock::now() - *reached > listen);
  };
  QemuEnd end = run_qemu(run);
  trial.console.finish();
  trial.seconds = std::chrono::duration<double>(reached.value_or(Clock::now()) - start).count();
  bool failed = end.why == QemuEnd::Why::exited && end.exit_code != 0 && trial.console.bytes() == 0;
  if (kvm && !options.use && (silent || failed)) return true;
  judge(end, options, result);
  return false;
}

std::vector<std::string> list_differences(const Machine& machine, const Trial& trial) {
  const VirtualMachine& vm = trial.vm;
  const Architecture& architecture = *vm.board->architecture;
  std::vector<std::string> list = {
      "devices: a serial port and a bus without disks or network; the drivers of this machine, and the "
      "places "
      "the dump shall go to, were not tried",
      "devices start from reset, not in the state a crash leaves them in",
      fmt::format("CPU: {} of {}, {}", vm.cpus, vm.cpu,
                  vm.acceleration == Acceleration::kvm ? "run by KVM" : "emulated"),
      "the crashed kernel's memory is empty but for its notes: what capture makes of it says nothing"};
  if (vm.moved) {
    list.push_back(fmt::format("the crash region is at {}, not at {}", to_string(vm.crash_regions.back()),
                               to_string(trial.real.main_region())));
  }
  if (architecture.has_device_tree) {
    list.push_back(
        fmt::format("the device tree is QEMU's with the same edits; the one made of {} was not booted with",
                    trial.real.device_tree ? trial.real.device_tree->source : "this machine's"));
  }
  if (machine.firmware_bits) list.emplace_back("this machine has EFI firmware, the virtual one has not");
  if (trial.real.call == LoadCall::kexec_file_load) {
    list.emplace_back(
        "the segments are those of kexec_load; with kexec_file_load this machine's kernel places the same "
        "files by its own rules");
  }
  return list;
}

Trial prepare_trial(const Machine& machine, const LoadRequest& request, const ProveOptions& options) {
  Trial trial;
  trial.real = prepare_load(machine, request).plan;
  for (Segment& segment : trial.real.segments) segment.data = {};
  trial.real.unpacked_kernel = {};
  for (const Check& check : trial.real.checks) {
    if (check.status == Check::Status::failed && !options.already_loaded)
      trial.refusals.push_back(fmt::format("check {}: {}", check.name, check.detail));
  }
  return trial;
}

void set_up(const Machine& machine, Acceleration acceleration, Trial& trial) {
  trial.vm = make_virtual_machine(machine, trial.real, acceleration);
  TestCommandLine line = make_test_command_line(*trial.vm.board, trial.real.command_line.text);
  trial.test_command_line = std::move(line.text);
  trial.changes = std::move(line.changes);
  trial.differences = list_differences(machine, trial);
}

void try_it(const Machine& machine, const LoadRequest& request, const ProveOptions& options,
            ProveResult& result) {
  Trial& trial = *result.trial;
  const Board& board = find_board(*machine.architecture);
  trial.qemu = find_qemu(options.qemu, board);
  std::string why_not_kvm;
  bool kvm =
      options.use ? *options.use == Acceleration::kvm : can_use_kvm(*machine.architecture, why_not_kvm);
  if (!options.use && !kvm) log_info("KVM is not used: {}", why_not_kvm);
  std::string vmcoreinfo =
      machine.kcore ? machine.kcore->vmcoreinfo : std::string("OSRELEASE=unknown\nPAGESIZE=4096\n");
  for (bool again = true; again; kvm = false) {
    set_up(machine, kvm ? Acceleration::kvm : Acceleration::tcg, trial);
    try {
      again = boot(plan_for(trial, request), vmcoreinfo, options, result);
    } catch (const CannotTry&) {
      again = kvm && !options.use;
      if (!again) throw;
    }
    if (again) log_info("it does not work with KVM; trying again without");
  }
}

}  // namespace

std::string_view to_string(Verdict verdict) {
  switch (verdict) {
    case Verdict::reached:
      return "reached";
    case Verdict::not_reached:
      return "not_reached";
    case Verdict::not_tried:
      return "not_tried";
  }
  return "unknown";
}

ProveResult prove(const Machine& machine, const LoadRequest& request, const ProveOptions& options) {
  ProveResult result;
  result.trial = prepare_trial(machine, request, options);
  try {
    try_it(machine, request, options, result);
  } catch (const CannotTry& cannot) {
    result.verdict = Verdict::not_tried;
    result.cause = cannot.why;
  } catch (const Error& e) {
    result.verdict = Verdict::not_tried;
    result.cause = e.message() + (e.hint().empty() ? "" : "; " + e.hint());
  }
  return result;
}

}  // namespace kdk
