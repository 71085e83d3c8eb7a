#include "core/base/cli.h"

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <exception>
#include <new>

#include "core/base/error.h"
#include "core/base/log.h"

namespace kdk {

int run_main(std::string_view program, const std::function<int()>& body) noexcept {
  try {
    // A reader that went away (head, less) is an EPIPE from write, reported below like any other write error.
    std::signal(SIGPIPE, SIG_IGN);
    set_log_program(program);
    int code = exit_failed;
    try {
      code = body();
    } catch (const Error& e) {
      log_error("{}", e.message());
      if (!e.hint().empty()) {
        std::fprintf(stderr, "hint: %s\n", escape_untrusted(e.hint()).c_str());
      }
    } catch (const std::bad_alloc&) {
      log_error("out of memory");
    } catch (const std::exception& e) {
      log_error("internal error, please report it: {}", e.what());
    }
    errno = 0;
    if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
      if (errno == EPIPE) return code == exit_done ? exit_done : code;  // the reader had enough
      log_error("writing standard output: {}", error_from_errno(errno, "stdout").message());
      return exit_failed;
    }
    return code;
  } catch (...) {
    return exit_failed;  // reporting itself failed: nothing more can be said
  }
}

}  // namespace kdk
