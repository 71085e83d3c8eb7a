#include "loader/prove/qemu.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <linux/kvm.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>

#include "loader/machine/parse.h"

namespace kdk {
namespace {

using Clock = std::chrono::steady_clock;

constexpr uid_t nobody = 65534;
constexpr size_t most_errors = 4096;
constexpr int cannot_run = 127;

volatile std::sig_atomic_t interrupted = 0;
extern "C" void note_signal(int) {
  interrupted = 1;
}

// Puts the handlers in, and back.
class SignalGuard {
 public:
  SignalGuard() {
    interrupted = 0;
    struct sigaction action {};
    action.sa_handler = note_signal;  // no SA_RESTART: poll shall return
    for (size_t i = 0; i < count; ++i) ::sigaction(signals[i], &action, &before_[i]);
  }
  ~SignalGuard() {
    for (size_t i = 0; i < count; ++i) ::sigaction(signals[i], &before_[i], nullptr);
  }
  SignalGuard(const SignalGuard&) = delete;
  SignalGuard& operator=(const SignalGuard&) = delete;

 private:
  static constexpr size_t count = 3;
  static constexpr int signals[count] = {SIGINT, SIGTERM, SIGHUP};
  struct sigaction before_[count];
};

struct Pipe {
  Fd read, write;
  Pipe() {
    int fds[2];
    if (::pipe2(fds, O_CLOEXEC) != 0) throw error_from_errno(errno, "pipe");
    read = Fd(fds[0]);
    write = Fd(fds[1]);
  }
};

// The group that may use /dev/kvm; nobody keeps it.
gid_t kvm_group() {
  struct stat status {};
  return ::stat("/dev/kvm", &status) == 0 ? status.st_gid : nobody;
}

// In the child, after fork: only what is safe there.
[[noreturn]] void become_qemu(const QemuRun& run, char* const* arguments, const Pipe& out, const Pipe& err,
                              gid_t kvm) {
  int null = ::open("/dev/null", O_RDONLY);
  if (null < 0 || ::dup2(null, STDIN_FILENO) < 0 || ::dup2(out.write.get(), STDOUT_FILENO) < 0 ||
      ::dup2(err.write.get(), STDERR_FILENO) < 0) {
    ::_exit(cannot_run);
  }
  for (int fd : run.descriptors) ::fcntl(fd, F_SETFD, 0);
  struct rlimit none {};
  ::setrlimit(RLIMIT_CORE, &none);
  std::signal(SIGPIPE, SIG_DFL);
  if (::geteuid() == 0 && (::setgroups(1, &kvm) != 0 || ::setgid(nobody) != 0 || ::setuid(nobody) != 0)) {
    ::_exit(cannot_run);
  }
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);  // after setuid, which forgets it
  ::execv(run.program.c_str(), arguments);
  static constexpr char failed[] = "cannot be started\n";
  [[maybe_unused]] ssize_t written = ::write(STDERR_FILENO, failed, sizeof failed - 1);
  ::_exit(cannot_run);
}

// Reads what is there. False: the other end is closed.
bool read_some(const Fd& fd, std::vector<uint8_t>& out) {
  out.resize(64 << 10);
  ssize_t got = ::read(fd.get(), out.data(), out.size());
  if (got < 0 && errno == EINTR)
    got = 0;
  else if (got <= 0)
    return false;
  out.resize(static_cast<size_t>(got));
  return true;
}

int wait_for(pid_t child) {
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

// Until the child is done or enough is known.
QemuEnd::Why watch(const QemuRun& run, Pipe& out, Pipe& err, std::string& errors) {
  constexpr int half_second = 500;
  std::vector<uint8_t> chunk;
  pollfd fds[] = {{out.read.get(), POLLIN, 0}, {err.read.get(), POLLIN, 0}};
  while (fds[0].fd >= 0 || fds[1].fd >= 0) {
    if (interrupted != 0) return QemuEnd::Why::interrupted;
    if (Clock::now() >= run.deadline) return QemuEnd::Why::deadline;
    if (!run.tick()) return QemuEnd::Why::stopped;
    if (::poll(fds, 2, half_second) <= 0) continue;
    if (fds[1].revents != 0) {
      if (!read_some(err.read, chunk))
        fds[1].fd = -1;
      else
        errors += as_text(chunk);
      if (errors.size() > most_errors) errors.erase(0, errors.size() - most_errors);
    }
    if (fds[0].revents != 0) {
      if (!read_some(out.read, chunk))
        fds[0].fd = -1;
      else if (!run.console(chunk))
        return QemuEnd::Why::stopped;
    }
  }
  return QemuEnd::Why::exited;
}

}  // namespace

std::string find_qemu(const std::string& given, const Board& board) {
  if (!given.empty()) {
    if (::access(given.c_str(), X_OK) != 0) throw error_from_errno(errno, given);
    return given;
  }
  const char* path = std::getenv("PATH");
  std::string_view rest = path != nullptr ? path : "/usr/bin:/usr/libexec";
  while (!rest.empty()) {
    std::string candidate = fmt::format("{}/{}", next_token(rest, ':'), board.qemu);
    if (::access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  bool arm64 = board.architecture == &arm64_architecture;
  throw Error(Errc::missing, fmt::format("{} is not installed", board.qemu))
      .with_hint(fmt::format("install {}, or name it with --qemu; plan does what can be done without it",
                             arm64 ? "qemu-system-arm" : "qemu-system-x86"));
}

bool can_use_kvm(const Architecture& architecture, std::string& why_not) {
  struct utsname uts {};
  if (::uname(&uts) != 0 || uts.machine != architecture.machine_name) {
    why_not = "this host is of another architecture";
    return false;
  }
  Fd kvm(::open("/dev/kvm", O_RDWR | O_CLOEXEC));
  if (!kvm) {
    why_not = "/dev/kvm cannot be opened";
    return false;
  }
  Fd machine(::ioctl(kvm.get(), KVM_CREATE_VM, 0));
  Fd cpu(machine ? ::ioctl(machine.get(), KVM_CREATE_VCPU, 0) : -1);
  if (!cpu) why_not = "/dev/kvm makes no virtual machine";
  return static_cast<bool>(cpu);
}

ChildDirectory::ChildDirectory() {
  std::string name = (std::filesystem::temp_directory_path() / "kdump-load-test-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) throw error_from_errno(errno, name);
  if (::geteuid() == 0 && ::chown(name.c_str(), nobody, nobody) != 0) {
    int why = errno;
    ::rmdir(name.c_str());
    throw error_from_errno(why, name);
  }
  path_ = name;
}

ChildDirectory::~ChildDirectory() {
  std::error_code ignored;  // nothing of worth is left there
  std::filesystem::remove_all(path_, ignored);
}

QemuEnd run_qemu(const QemuRun& run) {
  SignalGuard guard;
  Pipe out, err;
  std::vector<std::string> words = {run.program};
  words.insert(words.end(), run.arguments.begin(), run.arguments.end());
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  gid_t kvm = kvm_group();
  pid_t child = ::fork();
  if (child < 0) throw error_from_errno(errno, "fork");
  if (child == 0) become_qemu(run, arguments.data(), out, err, kvm);
  out.write.reset();
  err.write.reset();
  QemuEnd end;
  try {
    end.why = watch(run, out, err, end.errors);
  } catch (...) {
    ::kill(child, SIGKILL);
    wait_for(child);
    throw;
  }
  if (end.why != QemuEnd::Why::exited) ::kill(child, SIGKILL);
  end.exit_code = wait_for(child);
  return end;
}

}  // namespace kdk
