#include "capture/run/child_attempt.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <csignal>
#include <exception>

#include "capture/run/machine.h"
#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/log.h"

namespace kdk {
namespace {

constexpr size_t longest_line = 2048;  // below PIPE_BUF: a line arrives whole

class ChildAttempt : public Attempt {
 public:
  ChildAttempt(pid_t pid, Fd pipe) : pid_(pid), pipe_(std::move(pipe)) {}
  ~ChildAttempt() override {
    if (!reaped_ && ::waitpid(pid_, nullptr, WNOHANG) == 0) ::kill(-pid_, SIGKILL);
  }

  std::optional<AttemptEvent> next(std::chrono::milliseconds longest) override {
    if (std::optional<AttemptEvent> event = take_line()) return event;
    if (ended_) return look_for_end(longest);
    pollfd wait{pipe_.get(), POLLIN, 0};
    if (::poll(&wait, 1, static_cast<int>(longest.count())) <= 0) return std::nullopt;
    std::array<char, 4096> buffer{};
    const ssize_t n = ::read(pipe_.get(), buffer.data(), buffer.size());
    if (n < 0) return std::nullopt;  // EINTR, EAGAIN
    if (n == 0) ended_ = true;
    received_.append(buffer.data(), static_cast<size_t>(n));
    return take_line();
  }

  void stop() override { ::kill(pid_, SIGTERM); }
  // With what it started (an ssh client).
  void kill() override { ::kill(-pid_, SIGKILL); }

 private:
  // "KIND AMOUNT TEXT\n"
  std::optional<AttemptEvent> take_line() {
    const size_t end = received_.find('\n');
    if (end == std::string::npos) return std::nullopt;
    const std::string line = received_.substr(0, end);
    received_.erase(0, end + 1);
    AttemptEvent event;
    const size_t space = line.find(' ', 2);
    if (line.size() < 4 || space == std::string::npos) return std::nullopt;  // cannot be: the child is us
    event.kind = static_cast<AttemptEvent::Kind>(line[0] - 'a');
    std::from_chars(line.data() + 2, line.data() + space, event.amount);
    event.text = line.substr(space + 1);
    return event;
  }

  // The pipe is closed: the child ends now or has ended.
  std::optional<AttemptEvent> look_for_end(std::chrono::milliseconds longest) {
    int status = 0;
    pid_t done = ::waitpid(pid_, &status, WNOHANG);
    if (done == 0) {
      ::poll(nullptr, 0, static_cast<int>(std::min<int64_t>(longest.count(), 20)));
      done = ::waitpid(pid_, &status, WNOHANG);
    }
    if (done == 0) return std::nullopt;
    reaped_ = true;
    AttemptEvent event{AttemptEvent::Kind::ended, "", 0};
    if (done < 0) event.text = "its end was missed";
    if (done > 0 && WIFSIGNALED(status)) {
      const int signal = WTERMSIG(status);
      event.text = fmt::format("killed by signal {} ({}{})", signal, ::strsignal(signal),
                               signal == SIGKILL ? "; short of memory?" : "");
    }
    return event;
  }

  const pid_t pid_;
  Fd pipe_;
  std::string received_;
  bool ended_ = false, reaped_ = false;
};

}  // namespace

void EventPipe::send(AttemptEvent::Kind kind, std::string_view text, uint64_t amount) noexcept {
  try {
    std::string line = fmt::format("{} {} {}", static_cast<char>('a' + static_cast<int>(kind)), amount,
                                   escape_untrusted(text));
    if (line.size() > longest_line) line.resize(longest_line);
    line += '\n';
    (void)!::write(fd_, line.data(), line.size());
  } catch (const std::exception&) {
    // out of memory: the parent sees how we end
  }
}

std::unique_ptr<Attempt> start_child(const std::function<void(EventPipe&)>& body) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw error_from_errno(errno, "pipe");
  Fd read_end(ends[0]), write_end(ends[1]);
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) throw error_from_errno(errno, "fork");
  if (pid == 0) {
    ::setpgid(0, 0);
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (::getppid() != parent) ::_exit(1);
    read_end.reset();
    // When memory runs out, the kernel is to take the try and not the one who watches over it.
    set_oom_score(500);
    EventPipe pipe(write_end.get());
    try {
      body(pipe);
    } catch (const std::exception& e) {
      pipe.send(AttemptEvent::Kind::failed, e.what());
    }
    std::fflush(nullptr);
    ::_exit(0);
  }
  ::setpgid(pid, pid);  // whoever comes first
  return std::make_unique<ChildAttempt>(pid, std::move(read_end));
}

}  // namespace kdk
