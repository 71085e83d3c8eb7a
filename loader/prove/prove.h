// `kdump-load test`: would the crash kernel come up? Boots the same kernel, initramfs and command line, laid
// out by the same code, in a virtual machine whose crash regions are as large as the real ones, and watches
// how far it gets. The real machine is not touched.
//
// What it cannot show is part of the result: the virtual machine has other devices and an empty crashed
// kernel.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "loader/prove/console.h"
#include "loader/prove/virtual_machine.h"
#include "loader/state/request.h"

namespace kdk {

struct ProveOptions {
  std::string qemu;                    // empty: found in PATH
  std::chrono::seconds deadline{300};  // for the boot
  std::optional<Acceleration> use;     // absent: KVM where it works
  std::string expect;                  // see ConsoleWatch
  std::function<void(Bytes)> copy;     // gets all the console says
  bool already_loaded = false;         // what would be loaded is in the kernel: failed checks hinder nothing
};

struct ProveResult {
  enum class Verdict { reached, not_reached, not_tried };
  Verdict verdict = Verdict::not_tried;
  std::string cause;  // why not; empty when reached

  // What was tried. Absent when it did not come to that.
  struct Trial {
    LoadPlan real;  // of the real machine; without segment contents
    std::string test_command_line;
    VirtualMachine vm;
    std::string qemu;  // path
    ConsoleWatch console;
    double seconds = 0;                    // until the verdict
    std::vector<std::string> changes;      // of the command line
    std::vector<std::string> differences;  // between the machines
    std::vector<std::string> refusals;     // failed checks: `load` would refuse this
  };
  std::optional<Trial> trial;
};
std::string_view to_string(ProveResult::Verdict verdict);

// Throws Error when the machine, the files or the plan cannot be had, as `plan` does. What only the virtual
// machine lacks is in the result.
ProveResult prove(const Machine& machine, const LoadRequest& request, const ProveOptions& options);

std::string prove_to_text(const ProveResult& result);
// As schemas/load-test.schema.json describes; indented, without a final newline.
std::string prove_to_json(const ProveResult& result);

}  // namespace kdk
