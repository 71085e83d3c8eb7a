// Progress of a capture for people and programs, on stderr: one changing line on a terminal, a plain line now
// and then on a console (a serial console must not be flooded), or JSON lines.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace kdk {

enum class ProgressMode { automatic, tty, plain, json, none };
std::optional<ProgressMode> parse_progress_mode(std::string_view name);

class Progress {
 public:
  // `automatic` becomes tty when stderr is a terminal, else plain.
  explicit Progress(ProgressMode mode);

  // A new stage begins ("log", "scan", "dump", ...); `what` is a sentence for people.
  void stage(std::string_view name, std::string_view what);
  // Pages done of the stage's total, and bytes written so far (0 where nothing is written).
  void update(uint64_t done, uint64_t total, uint64_t bytes_written);
  // Ends the changing line, so that other messages start on a line of their own.
  void finish();

 private:
  using Clock = std::chrono::steady_clock;
  ProgressMode mode_;
  std::string stage_, what_;
  Clock::time_point stage_start_, last_;
  unsigned last_percent_ = 0;
  bool line_open_ = false;
};

}  // namespace kdk
