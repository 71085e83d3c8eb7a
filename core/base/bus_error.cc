#include "core/base/bus_error.h"

#include <csignal>
#include <cstdlib>
#include <mutex>

namespace kdk {
namespace detail {
thread_local sigjmp_buf* bus_error_target = nullptr;
}

namespace {

extern "C" void on_bus_error(int) {
  if (detail::bus_error_target != nullptr) siglongjmp(*detail::bus_error_target, 1);
  // Not ours: restore the default action; returning repeats the access, which now ends the process as it should.
  std::signal(SIGBUS, SIG_DFL);
}

}  // namespace

void install_bus_error_handler() {
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction action {};
    action.sa_handler = on_bus_error;
    // NODEFER: siglongjmp does not restore the mask (saving it would cost a system call per guarded page).
    action.sa_flags = SA_NODEFER;
    sigaction(SIGBUS, &action, nullptr);
  });
}

}  // namespace kdk
