// Progress of a capture for people and programs, on stderr: a bar with rate and time left on a terminal, a
// plain line now and then on a serial console (which must not be flooded), or JSON lines.
#pragma once

#include <sys/types.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace kdk {

enum class ProgressMode { automatic, tty, plain, json, none };
// By mode.
constexpr std::array<std::string_view, 5> progress_mode_names = {"auto", "tty", "plain", "json", "none"};
constexpr std::string_view to_string(ProgressMode mode) {
  return progress_mode_names[static_cast<size_t>(mode)];
}
std::optional<ProgressMode> parse_progress_mode(std::string_view name);

// Whether a line can be drawn over again and again on this character device: on a virtual console and on a
// pseudo terminal, but not on a serial line or /dev/console, which is one in most crash kernels.
bool draws_bars(dev_t device);

// What a progress line tells.
struct ProgressNumbers {
  std::string_view stage;
  uint64_t done = 0, total = 0;  // pages
  uint64_t bytes_written = 0;
  double pages_per_second = 0;  // of late; 0: not known yet
};
// "dump [#####.....]  50 %  12 MiB written  340 MiB/s  3 s left", in exactly `columns` columns or fewer. The
// rate is that of the memory that was gone through.
std::string progress_bar(const ProgressNumbers& numbers, uint32_t page_size, unsigned columns);

class Progress {
 public:
  // `automatic` becomes tty when stderr is a terminal that draws bars, else plain.
  explicit Progress(ProgressMode mode);

  // Bytes in a page; before it is known there are no rates in bytes.
  void set_page_size(uint32_t bytes) { page_size_ = bytes; }
  // A new stage begins ("log", "scan", "dump", ...); `what` is a sentence for people.
  void stage(std::string_view name, std::string_view what);
  // Pages done of the stage's total, and bytes written so far (0 where nothing is written).
  void update(uint64_t done, uint64_t total, uint64_t bytes_written);
  // Ends the changing line, so that other messages start on a line of their own.
  void finish();

 private:
  using Clock = std::chrono::steady_clock;
  void measure(Clock::time_point now, uint64_t done);

  ProgressMode mode_;
  uint32_t page_size_ = 0;
  std::string stage_, what_;
  Clock::time_point stage_start_, last_;
  uint64_t last_done_ = 0;
  double rate_ = 0;  // pages per second
  unsigned last_percent_ = 0;
  bool line_open_ = false;
};

}  // namespace kdk
