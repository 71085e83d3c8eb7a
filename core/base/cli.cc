#include "core/base/cli.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <exception>
#include <new>
#include <string>
#include <system_error>

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
      // A write that failed inside the program left no errno here; a pipe without a reader still shows.
      pollfd out{STDOUT_FILENO, POLLOUT, 0};
      bool no_reader = errno == EPIPE || (errno == 0 && poll(&out, 1, 0) > 0 && (out.revents & POLLERR) != 0);
      if (no_reader) return code;  // the reader had enough
      std::string why =
          errno != 0 ? std::generic_category().message(errno) : "not everything could be written";
      log_error("writing standard output: {}", why);
      return exit_failed;
    }
    return code;
  } catch (...) {
    return exit_failed;  // reporting itself failed: nothing more can be said
  }
}

}  // namespace kdk
