// Surviving SIGBUS while touching mapped memory: a file that shrinks under its mapping, or poisoned RAM behind
// /proc/vmcore. Both must cost one page of a dump, never the dump.
#pragma once

#include <csetjmp>

namespace kdk {

// Installs the process-wide SIGBUS handler (idempotent, thread-safe). A SIGBUS outside touch_guarded() still kills.
void install_bus_error_handler();

namespace detail {
extern thread_local sigjmp_buf* bus_error_target;
}

// Runs `f` on this thread; false when it was cut short by SIGBUS. `f` must not own anything across the access
// (no destructors run): plain copies and C compressors only. Call install_bus_error_handler() first.
template <typename F>
bool touch_guarded(F&& f) noexcept {
  sigjmp_buf here;
  sigjmp_buf* const outer = detail::bus_error_target;
  if (sigsetjmp(here, 0) != 0) {
    detail::bus_error_target = outer;
    return false;
  }
  detail::bus_error_target = &here;
  f();
  detail::bus_error_target = outer;
  return true;
}

}  // namespace kdk
