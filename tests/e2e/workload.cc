// What runs in the guest before the crash, so that every page class and task state exists in the dump:
//   workload fill FACTS FILE   plants marker pages, fills anonymous and huge pages, leaves sleeping processes
//   behind workload crash FACTS CPU FILE TEXT   writes down what the kernel says about itself, then crashes
//   it by writing TEXT to FILE
// And, for what must be refused, workload without-boot PROGRAM ARG...   runs it as root without CAP_SYS_BOOT.
// FACTS gets one line per fact (see the fact() calls); the host compares the report with them. A marker page
// is made of numbers computed from its name (fill_marker; facts.py computes the same), so no program text
// can be taken for one.
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

const size_t page_size = static_cast<size_t>(sysconf(_SC_PAGESIZE));

[[noreturn]] void fail(const std::string& what) {
  std::cerr << "workload: " << what << ": " << std::strerror(errno) << std::endl;
  std::exit(1);
}

std::string read_text(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

void write_text(const std::string& path, const std::string& text) {
  std::ofstream file(path);
  file << text << std::flush;
  if (!file) fail(path);
}

// splitmix64 numbers seeded with the marker's name (first eight bytes, little endian); one page of them
// unless `size` (a multiple of eight bytes) says otherwise.
void fill_marker(void* page, const char* name, size_t size = page_size) {
  uint64_t state = 0;
  std::memcpy(&state, name, std::min<size_t>(std::strlen(name), sizeof state));
  auto* word = static_cast<uint64_t*>(page);
  for (size_t i = 0; i < size / sizeof *word; ++i) {
    uint64_t z = state += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    word[i] = z ^ (z >> 31);
  }
}

// The page frame behind an address, from /proc/self/pagemap (Documentation/admin-guide/mm/pagemap.rst).
uint64_t frame_of(const void* address) {
  const int fd = open("/proc/self/pagemap", O_RDONLY);
  uint64_t entry = 0;
  const auto offset = static_cast<off_t>(reinterpret_cast<uintptr_t>(address) / page_size * sizeof entry);
  if (fd < 0 || pread(fd, &entry, sizeof entry, offset) != sizeof entry || !(entry >> 63)) fail("pagemap");
  close(fd);
  return entry & ((uint64_t{1} << 55) - 1);
}

class Facts {
 public:
  explicit Facts(const char* path) : file_(std::fopen(path, "w")) {
    if (!file_) fail(path);
  }
  ~Facts() {
    std::fflush(file_);
    fsync(fileno(file_));
    std::fclose(file_);
  }
  Facts(const Facts&) = delete;
  Facts& operator=(const Facts&) = delete;

  template <typename... Parts>
  void fact(const Parts&... parts) {
    std::ostringstream line;
    const char* separator = "";
    ((line << std::exchange(separator, " ") << parts), ...);
    std::fprintf(file_, "%s\n", line.str().c_str());
  }

 private:
  FILE* file_;
};

void* map_pages(size_t size, int flags, int fd = -1) {
  void* pages = mmap(nullptr, size, PROT_READ | PROT_WRITE, flags | (fd < 0 ? MAP_ANONYMOUS : 0), fd, 0);
  if (pages == MAP_FAILED) fail("mmap");
  return pages;
}

void* plant(Facts& facts, const char* name, void* pages, size_t size) {
  for (size_t at = page_size; at < size; at += page_size)
    std::memset(static_cast<char*>(pages) + at, name[0], page_size);
  fill_marker(pages, name);
  facts.fact("marker", name, frame_of(pages));
  return pages;
}

// A child that keeps what it was born with and sleeps; `body` may put it to sleep in its own way.
template <typename Body>
pid_t sleeper(const std::string& name, Body body) {
  const pid_t child = fork();
  if (child < 0) fail("fork");
  if (child > 0) return child;
  setsid();
  prctl(PR_SET_NAME, name.c_str());
  body();
  for (;;) pause();
}

void fill(Facts& facts, const char* file_name) {
  constexpr size_t anonymous = 16 << 20;
  void* small = map_pages(anonymous, MAP_PRIVATE);
  madvise(small, anonymous, MADV_NOHUGEPAGE);
  plant(facts, "anon", small, anonymous);
  map_pages(anonymous, MAP_PRIVATE | MAP_POPULATE);  // transparent huge pages, where the kernel gives them

  write_text("/proc/sys/vm/nr_hugepages", "4");
  size_t huge_size = 0;
  std::istringstream meminfo(read_text("/proc/meminfo"));
  for (std::string line; std::getline(meminfo, line);)
    if (line.starts_with("Hugepagesize:")) huge_size = std::stoul(line.substr(13)) << 10;
  const size_t huge_pages = std::stoul(read_text("/proc/sys/vm/nr_hugepages"));
  if (huge_pages == 0) fail("no huge page could be reserved");
  plant(facts, "hugetlb", map_pages(huge_size, MAP_PRIVATE | MAP_HUGETLB), huge_size);

  const int file = open(file_name, O_RDWR | O_CREAT, 0600);
  constexpr size_t file_size = 1 << 20;
  if (file < 0 || ftruncate(file, file_size) != 0) fail(file_name);
  plant(facts, "cache", map_pages(file_size, MAP_SHARED, file), file_size);

  // A page in a pipe belongs to the kernel, so it stays in a dump of any level. Written from a buffer that is
  // overwritten afterwards: the only copy is the pipe's.
  int ends[2];
  if (pipe(ends) != 0) fail("pipe");
  std::vector<uint64_t> marker(page_size / sizeof(uint64_t));
  fill_marker(marker.data(), "kernel");
  if (write(ends[1], marker.data(), page_size) != static_cast<ssize_t>(page_size)) fail("write to pipe");
  std::fill(marker.begin(), marker.end(), 0);
  facts.fact("marker", "kernel", "?");

  // A secret in a kernel keyring, for what erases secrets from dumps. The kernel clears the buffer it read
  // the payload into, and so do we: its only copy is the key's.
  std::vector<uint64_t> secret(6);
  constexpr int user_keyring = -4;  // KEY_SPEC_USER_KEYRING
  fill_marker(secret.data(), "userkey", secret.size() * sizeof(uint64_t));
  const bool kept = syscall(SYS_add_key, "user", "kdk:secret", secret.data(),
                            secret.size() * sizeof(uint64_t), user_keyring) > 0;
  if (!kept && errno != ENOSYS) fail("add_key");  // ENOSYS: a kernel without keyrings
  explicit_bzero(secret.data(), secret.size() * sizeof(uint64_t));
  if (kept) facts.fact("key", "userkey", secret.size() * sizeof(uint64_t));

  for (int i = 0; i < 20; ++i) sleeper("kdk-sleeper-" + std::to_string(i), [] {});
  sleeper("kdk-threads", [] {
    for (int i = 0; i < 3; ++i) std::thread([] { pause(); }).detach();
  });
  // vfork's parent waits uninterruptibly for as long as the child sleeps.
  sleeper("kdk-blocked", [] {
    if (vfork() == 0)
      for (;;) pause();
  });
  sleeper("kdk-parent", [] {
    if (fork() == 0) _exit(0);  // never waited for: a zombie
  });
  sleeper("kdk-markers", [] {});  // holds the marker pages from here on
}

// "PID TID STATE COMM" of every thread, as /proc has them.
std::vector<std::string> tasks() {
  std::vector<std::string> all;
  for (const auto& process : std::filesystem::directory_iterator("/proc")) {
    const std::string pid = process.path().filename();
    if (!std::all_of(pid.begin(), pid.end(), isdigit)) continue;
    std::error_code gone;
    for (const auto& thread : std::filesystem::directory_iterator(process.path() / "task", gone)) {
      const std::string stat = read_text(thread.path() / "stat"), comm = read_text(thread.path() / "comm");
      const size_t state = stat.rfind(") ");
      if (state == std::string::npos) continue;  // it ended meanwhile
      const std::string tid = thread.path().filename();
      all.push_back(pid + " " + tid + " " + stat[state + 2] + " " + comm.substr(0, comm.find('\n')));
    }
  }
  return all;
}

void write_facts(const char* facts_name, int cpu, const std::vector<std::string>& tasks_seen) {
  Facts facts(facts_name);
  facts.fact("crash", getpid(), cpu);
  for (const char* source : {"modules", "meminfo"}) {
    std::istringstream lines(read_text(std::string("/proc/") + source));
    for (std::string line; std::getline(lines, line);) facts.fact(source, line);
  }
  for (const std::string& task : tasks_seen) facts.fact("task", task);
}

void crash(const char* facts_name, int cpu, const char* file, const std::string& text) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(cpu, &one);
  if (sched_setaffinity(0, sizeof one, &one) != 0) fail("sched_setaffinity");
  const int trigger = open(file, O_WRONLY);
  if (trigger < 0) fail(file);

  // Writing the facts down wakes and makes kernel threads: done when a second look finds the same tasks.
  std::vector<std::string> seen;
  for (int attempt = 0; attempt < 10; ++attempt) {
    seen = tasks();
    write_facts(facts_name, cpu, seen);
    sync();
    if (seen == tasks()) break;
  }
  if (write(trigger, text.data(), text.size()) < 0) fail(file);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string command = argc > 1 ? argv[1] : "";
  if (command == "fill" && argc == 4) {
    Facts facts(argv[2]);
    fill(facts, argv[3]);
  } else if (command == "crash" && argc == 6) {
    crash(argv[2], std::atoi(argv[3]), argv[4], argv[5]);
  } else if (command == "without-boot" && argc > 2) {
    if (prctl(PR_CAPBSET_DROP, CAP_SYS_BOOT, 0, 0, 0) != 0) fail("dropping CAP_SYS_BOOT");
    execvp(argv[2], argv + 2);  // what root gets at exec is what the bounding set leaves
    fail(argv[2]);
  } else {
    std::cerr << "usage: workload fill FACTS FILE | workload crash FACTS CPU FILE TEXT | "
                 "workload without-boot PROGRAM ARG..."
              << std::endl;
    return 2;
  }
}
