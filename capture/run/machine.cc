#include "capture/run/machine.h"

#include <fcntl.h>
#include <linux/watchdog.h>
#include <sys/ioctl.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <ctime>

#include "core/base/error.h"
#include "core/base/log.h"

namespace kdk {
namespace {

// sync(2) on a dead disk never returns: a child waits for it, and we for the child, a while.
void sync_for_a_while() {
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::sync();
    ::_exit(0);
  }
  if (pid < 0) return ::sync();
  constexpr int tenths = 300;
  for (int i = 0; i < tenths && ::waitpid(pid, nullptr, WNOHANG) == 0; ++i) ::usleep(100'000);
}

void run_shell() {
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::setsid();
    const int console = ::open("/dev/console", O_RDWR);
    if (console >= 0) {
      for (const int fd : {0, 1, 2}) ::dup2(console, fd);
      (void)::ioctl(console, TIOCSCTTY, 1);
    }
    ::execl("/bin/sh", "sh", static_cast<char*>(nullptr));
    ::_exit(127);
  }
  int status = 0;
  while (pid > 0 && ::waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
  if (pid < 0 || (WIFEXITED(status) && WEXITSTATUS(status) == 127)) log_error("there is no /bin/sh to run");
}

}  // namespace

Watchdog::Watchdog(const std::string& which, std::chrono::seconds timeout) {
  if (which == "none") return;
  const bool find = which == "auto";
  for (const std::string& device :
       find ? std::vector<std::string>{"/dev/watchdog0", "/dev/watchdog"} : std::vector<std::string>{which}) {
    const int fd = ::open(device.c_str(), O_WRONLY | O_CLOEXEC);
    if (fd < 0) continue;
    fd_ = Fd(fd);
    device_ = device;
    break;
  }
  if (!fd_) {
    if (!find) throw error_from_errno(errno, which);
    return;
  }
  int seconds = static_cast<int>(timeout.count());  // what the driver makes of it is its business
  (void)::ioctl(fd_.get(), WDIOC_SETTIMEOUT, &seconds);
  // A pretimeout panics, and a panic is where we are.
  int none = 0;
  (void)::ioctl(fd_.get(), WDIOC_SETPRETIMEOUT, &none);
}

void Watchdog::feed() noexcept {
  if (fd_) (void)!::write(fd_.get(), ".", 1);
}

void Watchdog::disarm() noexcept {
  if (!fd_) return;
  (void)!::write(fd_.get(), "V", 1);  // the magic close
  fd_.reset();
}

void set_oom_score(int score) {
  const int fd = ::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  const std::string text = std::to_string(score);
  (void)!::write(fd, text.data(), text.size());
  ::close(fd);
}

void perform(FinalAction action) {
  if (action == FinalAction::none) return;
  sync_for_a_while();
  if (action == FinalAction::shell) return run_shell();
  const int how = action == FinalAction::reboot     ? RB_AUTOBOOT
                  : action == FinalAction::poweroff ? RB_POWER_OFF
                                                    : RB_HALT_SYSTEM;
  (void)::reboot(how);
  log_error("{}: {}", to_string(action), std::generic_category().message(errno));
  // The kernel's own way, past whatever refused.
  const int fd = ::open("/proc/sysrq-trigger", O_WRONLY | O_CLOEXEC);
  if (fd >= 0 && action == FinalAction::reboot) (void)!::write(fd, "b", 1);
  if (fd >= 0 && action == FinalAction::poweroff) (void)!::write(fd, "o", 1);
  if (fd >= 0) ::close(fd);
}

}  // namespace kdk
