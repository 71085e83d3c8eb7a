#include "core/base/bus_error.h"

#include <csignal>
#include <cstdlib>
#include <mutex>

namespace kdk {
namespace detail {
thread_local sigjmp_buf* bus_error_target = nullptr;
}

namespace {

struct sigaction previous {};

extern "C" void on_bus_error(int signal, siginfo_t* info, void* context) {
  if (detail::bus_error_target != nullptr) siglongjmp(*detail::bus_error_target, 1);
  // Not ours: that of whoever was here before us, which in a program that uses the library may be somebody.
  if ((previous.sa_flags & SA_SIGINFO) != 0) {
    previous.sa_sigaction(signal, info, context);
  } else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
    previous.sa_handler(signal);
  } else {
    // Restore the default action; returning repeats the access, which now ends the process as it should.
    std::signal(SIGBUS, SIG_DFL);
  }
}

}  // namespace

void install_bus_error_handler() {
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction action {};
    action.sa_sigaction = on_bus_error;
    // NODEFER: siglongjmp does not restore the mask (saving it would cost a system call per guarded page).
    action.sa_flags = SA_NODEFER | SA_SIGINFO;
    sigaction(SIGBUS, &action, &previous);
  });
}

}  // namespace kdk
