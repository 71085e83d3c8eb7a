#include "analyze/triage/crash_signature.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

#include "analyze/triage/function_name.h"
#include "analyze/triage/report.h"
#include "core/base/sha256.h"
#include "core/diagnose/log_trace.h"

namespace kdk {
namespace {

constexpr size_t max_functions = 8;

struct Function {
  std::string name;  // of the binary
  uint64_t offset = 0;
  std::string module;
};

// How a failure is reported and how a system call or thread begins: on the stack of every crash, hence no
// part of what sets it apart. Source: kernel/panic.c, lib/bug.c, arch/arm64/kernel/{traps,entry-common,
// debug-monitors,syscall}.c, arch/x86/{kernel/traps.c,entry/}, kernel/sched/core.c (the way into a sleep).
bool common_to_all(std::string_view name) {
  static constexpr auto names = std::to_array<std::string_view>({
      "__crash_kexec",
      "__die",
      "__die_body",
      "__die_header",
      "__schedule",
      "__switch_to",
      "__switch_to_asm",
      "__warn",
      "arm64_notify_die",
      "asm_exc_general_protection",
      "asm_exc_invalid_op",
      "asm_exc_page_fault",
      "bad_area_nosemaphore",
      "brk_handler",
      "bug_brk_handler",
      "bug_handler",
      "call_brk_handler",
      "check_panic_on_warn",
      "crash_kexec",
      "crash_setup_regs",
      "die",
      "die_addr",
      "die_kernel_fault",
      "do_debug_exception",
      "do_el0_svc",
      "do_error_trap",
      "do_mem_abort",
      "do_syscall_64",
      "do_trap",
      "el0_svc",
      "el0_svc_common",
      "el0t_64_sync",
      "el0t_64_sync_handler",
      "el1_abort",
      "el1_brk64",
      "el1_dbg",
      "el1h_64_sync",
      "el1h_64_sync_handler",
      "entry_SYSCALL_64",
      "entry_SYSCALL_64_after_hwframe",
      "exc_general_protection",
      "exc_invalid_op",
      "exc_page_fault",
      "early_fixup_exception",
      "handle_bug",
      "handle_page_fault",
      "io_schedule",
      "invoke_syscall",
      "kernelmode_fixup_or_oops",
      "machine_kexec",
      "nmi_panic",
      "no_context",
      "oops_end",
      "oops_exit",
      "page_fault_oops",
      "panic",
      "preempt_schedule",
      "preempt_schedule_common",
      "preempt_schedule_irq",
      "report_bug",
      "ret_from_fork",
      "ret_from_fork_asm",
      "schedule",
      "schedule_preempt_disabled",
      "schedule_timeout",
      "vpanic",
      "warn_slowpath_fmt",
      "warn_slowpath_null",
      "x64_sys_call",
  });
  bool entry = name.substr(0, 4) == "asm_" || name.find("sysvec_") == 0 || name.find("__sysvec_") == 0;
  return entry || std::find(names.begin(), names.end(), name) != names.end();
}

// Adds the next function outwards. One that calls itself counts once: how deep it got is chance. A system
// call's wrapper is there or not as the compiler liked, so it counts only where it failed itself.
void add(std::vector<Function>& functions, Function function) {
  std::string name = common_name(function.name);
  if (common_to_all(name)) return;
  if (!functions.empty()) {
    if (name.substr(0, 4) == "sys_") return;
    if (name == common_name(functions.back().name) && function.module == functions.back().module) return;
  }
  functions.push_back(std::move(function));
}

bool reliable(const Frame& frame) {
  return frame.trust != Trust::scan && frame.trust != Trust::inferred &&
         frame.kind != FrameKind::lr_candidate;
}

// From the function that failed outwards, to the next exception: what an interrupt happened to meet says
// nothing about the interrupt's bug.
std::vector<Function> failed_stack(const Crash& crash) {
  const CpuState* cpu = crashing_cpu(crash);
  const Frame* first = culprit(crash).frame;
  std::vector<Function> out;
  if (cpu == nullptr) return out;
  bool started = first == nullptr;
  for (const Frame& frame : cpu->backtrace.frames) {
    started = started || &frame == first;
    if (!started) continue;
    if (&frame != first && frame.kind == FrameKind::exception && !out.empty()) break;
    if (!frame.symbol.empty() && (&frame == first || reliable(frame)))
      add(out, {frame.symbol, frame.symbol_offset, frame.module});
  }
  return out;
}

// The first task that the hung task detector wrote about: it had been blocked longest when found.
// Source: kernel/hung_task.c (check_hung_task).
std::vector<Function> blocked_stack(const KernelLog& log) {
  std::vector<Function> out;
  bool found = false, in_trace = false;
  for (const LogLine& line : kernel_lines(log)) {
    if (line.text.find("INFO: task ") != line.text.npos &&
        line.text.find("blocked for more than") != line.text.npos) {
      if (found) break;
      found = true;
    }
    if (!found) continue;
    if (line.text.find("Call trace:") != line.text.npos || line.text.find("Call Trace:") != line.text.npos) {
      in_trace = true;
      continue;
    }
    if (!in_trace || line.text.find("<TASK>") != line.text.npos) continue;
    auto entry = parse_trace_entry(line.text);
    if (!entry) break;
    if (entry->marker.empty()) add(out, {entry->function, entry->offset, entry->module});
  }
  return out;
}

Signature signature(std::string text) {
  std::string hash = sha256_hex(as_bytes(text));
  return {std::move(text), std::move(hash)};
}

}  // namespace

std::string_view source_name(std::string_view symbol) {
  for (std::string_view mark : {".isra.", ".constprop.", ".part.", ".cold", ".llvm.", ".lto_priv."}) {
    symbol = symbol.substr(0, symbol.find(mark));
  }
  return symbol;
}

std::string common_name(std::string_view function) {
  function = source_name(function);
  for (std::string_view prefix :
       {"__arm64_sys_", "__arm64_compat_sys_", "__x64_sys_", "__ia32_sys_", "__do_sys_", "__se_sys_"}) {
    if (function.substr(0, prefix.size()) == prefix)
      return fmt::format("sys_{}", function.substr(prefix.size()));
  }
  return std::string(function);
}

std::optional<Signatures> sign(const Crash& crash, const KernelLog& log, const std::string& build_id) {
  std::vector<Function> functions;
  if (crash.crash_class.name == "hung_task") functions = blocked_stack(log);
  if (functions.empty()) functions = failed_stack(crash);
  bool classless = crash.crash_class.name == "unknown" || crash.crash_class.name == "no_panic";
  if (functions.empty() && classless) return std::nullopt;
  if (functions.size() > max_functions) functions.resize(max_functions);
  std::string head = fmt::format("class {}\n", crash.crash_class.name);
  std::string family = "kdumpkit family v3\n" + head, exact = "kdumpkit exact v3\n" + head;
  exact += fmt::format("build-id {}\n", build_id.empty() ? "unknown" : build_id);
  for (const Function& function : functions) {
    std::string module = function.module.empty() ? "" : fmt::format(" [{}]", function.module);
    family += fmt::format("function {}{}\n", common_name(function.name), module);
    exact += fmt::format("function {}+{:#x}{}\n", function.name, function.offset, module);
  }
  return Signatures{signature(std::move(family)), signature(std::move(exact))};
}

}  // namespace kdk
