// Loaded into kdump-capture (LD_PRELOAD) by faults_test.py: makes the calls below the program fail where the
// test says. What the program sees is what a disk, a signal or a broken memory module would show it.
//
//   KDK_FAULT=WHAT:N     at the Nth call (from 1) that changes a file below KDK_FAULT_DIR: WHAT is
//                          full    this write and all later ones fail with ENOSPC
//                          io      this call alone fails with EIO
//                          cut     this write writes half, the next ones fail with ENOSPC: how a disk gets
//                          full term    SIGTERM comes before it kill    SIGKILL comes before it
//   KDK_FAULT=short:N    every write writes at most N bytes
//   KDK_FAULT=bus:A-B    bytes A to B of what is mapped from KDK_FAULT_INPUT give SIGBUS (whole pages)
//   KDK_FAULT=read:A-B   reads that touch bytes A to B of KDK_FAULT_INPUT fail with EIO
//   KDK_FAULT_COUNT=FILE the number of counted calls so far goes there
//
// Counted are write, pwrite, fsync, fdatasync and rename.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace {

struct Fault {
  std::string_view what;
  long first = 0, last = 0;
  Fault() {
    const char* text = std::getenv("KDK_FAULT");
    if (text == nullptr) return;
    const char* colon = std::strchr(text, ':');
    what = std::string_view(text, colon != nullptr ? static_cast<size_t>(colon - text) : std::strlen(text));
    if (colon == nullptr) return;
    char* end = nullptr;
    first = std::strtol(colon + 1, &end, 0);
    last = *end == '-' ? std::strtol(end + 1, nullptr, 0) : first;
  }
};

// Before anything else of this library; the program's own start calls none of these.
const Fault& fault() {
  static const Fault it;
  return it;
}

template <typename F>
F next(const char* name) {
  return reinterpret_cast<F>(::dlsym(RTLD_NEXT, name));
}

bool is_below(const char* path, const char* variable) {
  const char* directory = std::getenv(variable);
  return directory != nullptr && std::string_view(path).starts_with(directory);
}

bool fd_is(int fd, const char* variable) {
  char link[64], path[PATH_MAX];
  std::snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  const ssize_t length = ::readlink(link, path, sizeof path - 1);
  if (length < 0) return false;
  path[length] = '\0';
  return is_below(path, variable);
}

std::atomic<long> calls = 0;

void note_count(long count) {
  const char* file = std::getenv("KDK_FAULT_COUNT");
  if (file == nullptr) return;
  const int fd = ::open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return;
  char text[32];
  const int length = std::snprintf(text, sizeof text, "%ld", count);
  static const auto real = next<ssize_t (*)(int, const void*, size_t)>("write");
  (void)!real(fd, text, static_cast<size_t>(length));
  ::close(fd);
}

// What becomes of a counted call: an errno, or how many bytes it may write.
struct Fate {
  int error = 0;
  size_t most = SIZE_MAX;
};

Fate next_fate(bool writes, size_t size) {
  const long count = ++calls;
  note_count(count);
  const Fault& f = fault();
  if (f.what == "short") return {0, static_cast<size_t>(f.first)};
  if (f.what == "full" && writes && count >= f.first) return {ENOSPC};
  if (f.what == "cut" && writes && count == f.first) return {0, size / 2};
  if (f.what == "cut" && writes && count > f.first) return {ENOSPC};
  if (count != f.first) return {};
  if (f.what == "io") return {EIO};
  if (f.what == "term") ::raise(SIGTERM);
  if (f.what == "kill") ::raise(SIGKILL);
  return {};
}

bool hits(long offset, size_t size) {
  return offset < fault().last && offset + static_cast<long>(size) > fault().first;
}

// Pages that give SIGBUS: of a file that has none.
void break_pages(void* mapped, size_t length, long offset) {
  const long page = ::sysconf(_SC_PAGESIZE);
  const long begin = (fault().first - offset) / page * page,
             end = (fault().last - offset + page - 1) / page * page;
  const long from = begin < 0 ? 0 : begin,
             to = end > static_cast<long>(length) ? static_cast<long>(length) : end;
  if (from >= to) return;
  const int empty = ::memfd_create("empty", MFD_CLOEXEC);
  static const auto real = next<void* (*)(void*, size_t, int, int, int, off_t)>("mmap");
  real(static_cast<char*>(mapped) + from, static_cast<size_t>(to - from), PROT_READ, MAP_PRIVATE | MAP_FIXED,
       empty, 0);
  ::close(empty);
}

template <typename Call>
ssize_t write_some(int fd, size_t size, const Call& call) {
  if (!fd_is(fd, "KDK_FAULT_DIR")) return call(size);
  const Fate fate = next_fate(true, size);
  if (fate.error != 0) {
    errno = fate.error;
    return -1;
  }
  return call(size < fate.most ? size : fate.most);
}

template <typename Call>
int change(bool counted, const Call& call) {
  if (counted) {
    const Fate fate = next_fate(false, 0);
    if (fate.error != 0) {
      errno = fate.error;
      return -1;
    }
  }
  return call();
}

}  // namespace

extern "C" {

ssize_t write(int fd, const void* data, size_t size) {
  static const auto real = next<ssize_t (*)(int, const void*, size_t)>("write");
  return write_some(fd, size, [&](size_t some) { return real(fd, data, some); });
}

ssize_t pwrite(int fd, const void* data, size_t size, off_t offset) {
  static const auto real = next<ssize_t (*)(int, const void*, size_t, off_t)>("pwrite");
  return write_some(fd, size, [&](size_t some) { return real(fd, data, some, offset); });
}

int fsync(int fd) {
  static const auto real = next<int (*)(int)>("fsync");
  return change(fd_is(fd, "KDK_FAULT_DIR"), [&] { return real(fd); });
}

int fdatasync(int fd) {
  static const auto real = next<int (*)(int)>("fdatasync");
  return change(fd_is(fd, "KDK_FAULT_DIR"), [&] { return real(fd); });
}

int rename(const char* from, const char* to) noexcept {
  static const auto real = next<int (*)(const char*, const char*)>("rename");
  return change(is_below(to, "KDK_FAULT_DIR"), [&] { return real(from, to); });
}

ssize_t pread(int fd, void* out, size_t size, off_t offset) {
  static const auto real = next<ssize_t (*)(int, void*, size_t, off_t)>("pread");
  if (fault().what == "read" && hits(offset, size) && fd_is(fd, "KDK_FAULT_INPUT")) {
    errno = EIO;
    return -1;
  }
  return real(fd, out, size, offset);
}

void* mmap(void* at, size_t length, int protection, int flags, int fd, off_t offset) noexcept {
  static const auto real = next<void* (*)(void*, size_t, int, int, int, off_t)>("mmap");
  void* mapped = real(at, length, protection, flags, fd, offset);
  if (mapped != MAP_FAILED && fault().what == "bus" && fd >= 0 && fd_is(fd, "KDK_FAULT_INPUT"))
    break_pages(mapped, length, offset);
  return mapped;
}

}  // extern "C"
