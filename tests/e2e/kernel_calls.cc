// What the guest of test_signatures.py asks of its kernel, past our programs:
//   kernel_calls load FILE           kexec_file_load of FILE as a crash kernel
//   kernel_calls load-copy FILE      the same of a copy in memory
//   kernel_calls load-nothing        kexec_load of no segment: who may not use that call is refused before
//   kernel_calls add-key RING FILE   FILE, a certificate (DER), to the keyring with this serial number (hex)
// Prints "accepted" or the name of the kernel's errno.
#include <fcntl.h>
#include <linux/kexec.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>

namespace {

[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "kernel_calls: %s: %s\n", what.c_str(), std::strerror(errno));
  std::exit(1);
}

int print_result(long result) {
  constexpr int enotsupp = 524;  // of the kernel alone
  const char* name = result < 0 ? strerrorname_np(errno) : "accepted";
  if (name == nullptr) name = errno == enotsupp ? "ENOTSUPP" : "an errno without a name";
  std::puts(name);
  return 0;
}

std::string read_file(const char* path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) fail(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

int load(int kernel) {
  constexpr std::string_view line = "panic=1";
  // The size counts the NUL.
  return print_result(::syscall(SYS_kexec_file_load, kernel, -1, line.size() + 1, line.data(),
                                static_cast<unsigned long>(KEXEC_FILE_ON_CRASH | KEXEC_FILE_NO_INITRAMFS)));
}

int open_file(const std::string& path) {
  int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) fail(path);
  return file;
}

int load_copy(const char* path) {
  std::string content = read_file(path);
  int copy = ::memfd_create("copy", MFD_CLOEXEC);
  if (copy < 0 || ::write(copy, content.data(), content.size()) != static_cast<ssize_t>(content.size()))
    fail("memfd");
  int readable = open_file("/proc/self/fd/" + std::to_string(copy));
  ::close(copy);  // the kernel reads no file that is open for writing
  return load(readable);
}

int add_key(const char* ring, const char* path) {
  std::string content = read_file(path);
  auto serial = static_cast<int>(std::strtoul(ring, nullptr, 16));
  return print_result(::syscall(SYS_add_key, "asymmetric", "", content.data(), content.size(), serial));
}

}  // namespace

int main(int argc, char** argv) {
  std::string_view command = argc > 1 ? argv[1] : "";
  if (command == "load" && argc == 3) return load(open_file(argv[2]));
  if (command == "load-copy" && argc == 3) return load_copy(argv[2]);
  if (command == "load-nothing" && argc == 2)
    return print_result(
        ::syscall(SYS_kexec_load, 0UL, 0UL, nullptr, static_cast<unsigned long>(KEXEC_ON_CRASH)));
  if (command == "add-key" && argc == 4) return add_key(argv[2], argv[3]);
  std::fprintf(stderr, "kernel_calls: see kernel_calls.cc\n");
  return 2;
}
