// Finds QEMU and runs it: as nobody where this process is root, without network, disks or devices of the
// host, for a limited time, and never longer than this process.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "core/base/file.h"
#include "loader/prove/virtual_machine.h"

namespace kdk {

// The program's path: `given`, else the one in PATH. Throws Error{missing} saying what to install.
std::string find_qemu(const std::string& given, const Board& board);

// Whether this host's kernel can run guests of `architecture` by itself. `why_not`: a sentence when it
// cannot.
bool can_use_kvm(const Architecture& architecture, std::string& why_not);

// A directory that only the child can use and that is removed in the end.
class ChildDirectory {
 public:
  ChildDirectory();
  ~ChildDirectory();
  ChildDirectory(const ChildDirectory&) = delete;
  ChildDirectory& operator=(const ChildDirectory&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

struct QemuRun {
  std::string program;
  std::vector<std::string> arguments;
  std::vector<int> descriptors;  // the child keeps these
  std::chrono::steady_clock::time_point deadline;
  // Called with what the guest's console said. False: that is enough, end it.
  std::function<bool(Bytes)> console;
  // Called at least every half second. False: that is enough.
  std::function<bool()> tick;
};

struct QemuEnd {
  enum class Why { exited, stopped, deadline, interrupted };
  Why why = Why::exited;
  int exit_code = 0;   // of `exited`; -N: signal N
  std::string errors;  // what it wrote on stderr, its last 4 KiB
};

// SIGINT, SIGTERM and SIGHUP end the child, and are said in `why`. Throws Error{io}.
QemuEnd run_qemu(const QemuRun& run);

}  // namespace kdk
