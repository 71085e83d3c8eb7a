// Reads what a booting crash kernel says on its serial console and judges how far it came. The text is a
// guest's: it may say anything, at any length.
//
// Sources of the kernel's sentences: init/main.c (run_init_process, "Run %s as init process"),
// init/initramfs.c ("Initramfs unpacking failed", "Freeing initrd memory"), mm/mm_init.c ("Memory: "),
// kernel/panic.c, mm/oom_kill.c, fs/proc/vmcore.c. kdump-capture's are in docs/kdump-capture.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/bytes.h"

namespace kdk {

// Ascending.
enum class BootStage { nothing, kernel, init, capture };
std::string_view to_string(BootStage stage);

class ConsoleWatch {
 public:
  // `expected`: a line that holds this text means that the capture program runs, too; empty: only
  // kdump-capture's own words do.
  explicit ConsoleWatch(std::string expected = {}) : expected_(std::move(expected)) {}

  void feed(Bytes text);
  // The text has ended: what came without a newline counts.
  void finish();

  BootStage stage() const { return stage_; }
  // Why it will not come further; empty: nothing fatal was said.
  const std::string& failure() const { return failure_; }
  // What went wrong on the way: sentences, in order.
  const std::vector<std::string>& problems() const { return problems_; }
  const std::string& init() const { return init_; }  // the program the kernel ran
  const std::vector<std::string>& capture_said() const { return capture_said_; }
  bool capture_finished() const { return capture_finished_; }
  std::optional<uint64_t> memory_available() const { return memory_available_; }  // bytes, at the start
  std::optional<uint64_t> memory_total() const { return memory_total_; }
  // The last lines, with the kernel's time stamps.
  const std::vector<std::string>& last_lines() const { return last_lines_; }
  uint64_t bytes() const { return bytes_; }

 private:
  void take_line();
  void judge(std::string_view line);
  void reach(BootStage stage);
  void add_problem(std::string text);
  void judge_kernel(std::string_view line);
  void judge_capture(std::string_view line);

  std::string expected_;
  std::string line_;
  BootStage stage_ = BootStage::nothing;
  std::string failure_;
  std::vector<std::string> problems_;
  std::string init_;
  std::vector<std::string> capture_said_;
  bool capture_finished_ = false;
  std::optional<uint64_t> memory_available_, memory_total_;
  std::vector<std::string> last_lines_;
  uint64_t bytes_ = 0;
};

}  // namespace kdk
