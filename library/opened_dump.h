// A dump and what core makes of it, opened step by step: the kernel when memory is first asked for, the log
// and the modules when they are. The half of kdump-analyze's Session and of a kdumpkit_dump that they share.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "core/formats/dump.h"
#include "core/kernel/kernel.h"
#include "core/kernel/modules.h"
#include "core/kernel/printk.h"

namespace kdk {

// Not thread-safe. Several may share a dump, each for its thread.
class OpenedDump {
 public:
  explicit OpenedDump(std::shared_ptr<const Dump> dump) : dump_(std::move(dump)) {}

  const Dump& dump() const { return *dump_; }
  const std::shared_ptr<const Dump>& shared() const { return dump_; }

  // nullptr when the dump does not allow it (no VMCOREINFO, unknown machine): then kernel_error() says why.
  Kernel* kernel();
  const std::string& kernel_error() const { return kernel_error_; }
  // The kernel, and whether it has been asked for: for callers that report without making the dump pay for
  // it.
  Kernel* kernel_if_opened() { return kernel_.get(); }
  // Symbols and types are not loaded for it (Kernel opens them on first use).
  const KernelLog& log();
  // With their symbols added to kernel().
  const ModuleList& modules();

 private:
  std::shared_ptr<const Dump> dump_;
  bool kernel_tried_ = false;
  std::unique_ptr<Kernel> kernel_;
  std::string kernel_error_;
  std::optional<KernelLog> log_;
  std::optional<ModuleList> modules_;
};

}  // namespace kdk
