// kdump-init: the first process of the crash kernel. Mounts what the kernel offers, loads the modules of
// /modules/order, runs `kdump-capture run` and, should that come back, reboots. No shell, no library beyond
// the C library's system calls, nothing of the crashed system. Whatever fails is said, and the rest is tried
// all the same: the dump may not need it.
//
// `kdump-init --hook` is the same below somebody else's /init, that of dracut or initramfs-tools: in a crash kernel it does not
// come back; in another it does nothing.
//
// Its lines begin with "kdump-init:"; "kdumpkit:" is kdump-capture's, which others wait for.
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>

namespace {

void complain(const char* what) {
  std::fprintf(stderr, "kdump-init: %s: %s\n", what, std::strerror(errno));
}

// Before devtmpfs is there, the kernel may have found no /dev/console to give us.
void open_console() {
  const int console = ::open("/dev/console", O_RDWR);
  if (console < 0) return;
  for (const int fd : {0, 1, 2}) ::dup2(console, fd);
  if (console > 2) ::close(console);
}

void mount_kernel_file_systems() {
  struct Wanted {
    const char *type, *point;
  };
  for (const Wanted& wanted :
       {Wanted{"devtmpfs", "/dev"}, {"proc", "/proc"}, {"sysfs", "/sys"}, {"tmpfs", "/run"}}) {
    (void)::mkdir(wanted.point, 0755);  // somebody else's image may leave that to its own init
    if (::mount(wanted.type, wanted.point, wanted.type, MS_NOSUID, nullptr) == 0 || errno == EBUSY) continue;
    complain(wanted.point);
  }
}

void load_module(const char* file) {
  const int fd = ::open(file, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return complain(file);
  // EEXIST: another one has brought it. ENODEV: no device for it, which is its own business.
  if (::syscall(SYS_finit_module, fd, "", 0) != 0 && errno != EEXIST && errno != ENODEV) complain(file);
  ::close(fd);
  // It was in memory, and memory is short.
  ::unlink(file);
}

void load_modules() {
  std::FILE* order = std::fopen("/modules/order", "re");
  if (order == nullptr) return complain("/modules/order");
  char file[300] = "/modules/";
  const size_t start = std::strlen(file);
  while (std::fgets(file + start, static_cast<int>(sizeof file - start), order) != nullptr) {
    file[std::strcspn(file, "\n")] = '\0';
    if (file[start] != '\0') load_module(file);
  }
  std::fclose(order);
}

// Returns when kdump-capture has ended; what else becomes our child is buried on the way.
void capture() {
  const pid_t pid = ::fork();
  if (pid < 0) return complain("fork");
  if (pid == 0) {
    ::execl("/bin/kdump-capture", "kdump-capture", "run", static_cast<char*>(nullptr));
    complain("/bin/kdump-capture");
    ::_exit(127);
  }
  for (;;) {
    int status = 0;
    const pid_t ended = ::wait(&status);
    if (ended < 0 && errno == EINTR) continue;
    if (ended < 0) return complain("wait");
    if (ended != pid) continue;
    if (WIFSIGNALED(status)) {
      std::fprintf(stderr, "kdump-init: kdump-capture was killed by signal %d\n", WTERMSIG(status));
    } else {
      std::fprintf(stderr, "kdump-init: kdump-capture came back with exit code %d\n", WEXITSTATUS(status));
    }
    return;
  }
}

// What kdump-capture left in memory when it died. On a dead disk sync(2) never returns: a child waits for it,
// and we for the child, ten seconds.
void sync_for_a_while() {
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::sync();
    ::_exit(0);
  }
  for (int tenths = 0; pid > 0 && tenths < 100 && ::waitpid(pid, nullptr, WNOHANG) == 0; ++tenths)
    ::usleep(100'000);
}

}  // namespace

int main(int argc, char** argv) {
  const bool hook = argc == 2 && std::strcmp(argv[1], "--hook") == 0;
  if (::getpid() != 1 && !hook) {
    std::fprintf(stderr,
                 "kdump-init: is the first process of a crash kernel's initramfs, or a hook in it (--hook)\n");
    return 2;
  }
  if (hook && ::access("/proc/vmcore", F_OK) != 0) return 0;
  mount_kernel_file_systems();
  open_console();
  ::setenv("PATH", "/bin", 1);
  load_modules();
  capture();
  // Only when kdump-capture could not, or was told not to. There is nobody here to go on.
  std::fprintf(stderr, "kdump-init: rebooting\n");
  sync_for_a_while();
  ::reboot(RB_AUTOBOOT);
  complain("reboot");
  for (;;) ::pause();
}
