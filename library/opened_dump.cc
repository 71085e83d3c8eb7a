#include "library/opened_dump.h"

#include "core/base/error.h"

namespace kdk {

Kernel* OpenedDump::kernel() {
  if (!kernel_tried_) {
    kernel_tried_ = true;
    // A dump without a readable kernel still has notes and facts to show: kernel_error_ says what went wrong.
    try {
      kernel_ = std::make_unique<Kernel>(*dump_);
    } catch (const Error& error) {
      kernel_error_ = error.message();
    }
  }
  return kernel_.get();
}

const KernelLog& OpenedDump::log() {
  if (!log_) {
    log_.emplace();
    if (kernel() != nullptr) {
      log_ = read_log(kernel_->memory());
    } else {
      log_->problems.push_back(kernel_error_);
    }
  }
  return *log_;
}

const ModuleList& OpenedDump::modules() {
  if (!modules_) {
    if (kernel() != nullptr) {
      modules_ = read_modules(*kernel_);
    } else {
      modules_.emplace();
      modules_->why_not = kernel_error_;
    }
  }
  return *modules_;
}

}  // namespace kdk
