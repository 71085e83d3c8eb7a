#include "capture/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace kdk {

std::optional<ProgressMode> parse_progress_mode(std::string_view name) {
  if (name == "auto") return ProgressMode::automatic;
  if (name == "tty") return ProgressMode::tty;
  if (name == "plain") return ProgressMode::plain;
  if (name == "json") return ProgressMode::json;
  if (name == "none") return ProgressMode::none;
  return std::nullopt;
}

Progress::Progress(ProgressMode mode) : mode_(mode) {
  if (mode_ == ProgressMode::automatic) {
    mode_ = ::isatty(STDERR_FILENO) == 1 ? ProgressMode::tty : ProgressMode::plain;
  }
}

void Progress::stage(std::string_view name, std::string_view what) {
  finish();
  stage_ = name;
  what_ = what;
  stage_start_ = last_ = Clock::now();
  last_percent_ = 0;
  if (mode_ == ProgressMode::plain || mode_ == ProgressMode::tty) fmt::print(stderr, "{}\n", what_);
  if (mode_ == ProgressMode::json) fmt::print(stderr, "{{\"event\":\"stage\",\"stage\":\"{}\"}}\n", stage_);
}

void Progress::update(uint64_t done, uint64_t total, uint64_t bytes_written) {
  if (mode_ == ProgressMode::none || total == 0) return;
  const Clock::time_point now = Clock::now();
  const unsigned percent =
      static_cast<unsigned>(100.0 * static_cast<double>(std::min(done, total)) / static_cast<double>(total));
  // Plain: every tenth, but not more often than once in two seconds, and at least twice a minute.
  const auto since = now - last_;
  if (mode_ == ProgressMode::plain) {
    const bool due = percent >= last_percent_ + 10 && since >= std::chrono::seconds(2);
    if (!due && since < std::chrono::seconds(30)) return;
  } else if (since < std::chrono::milliseconds(200) && done < total) {
    return;
  }
  last_ = now;
  last_percent_ = percent;
  const double seconds = std::chrono::duration<double>(now - stage_start_).count();
  if (mode_ == ProgressMode::json) {
    fmt::print(stderr,
               "{{\"event\":\"progress\",\"stage\":\"{}\",\"pages_done\":{},\"pages_total\":{},\"bytes_"
               "written\":{}}}\n",
               stage_, done, total, bytes_written);
    return;
  }
  std::string line = fmt::format("{}: {:3d} %", stage_, percent);
  if (bytes_written != 0) line += fmt::format(", {} MiB written", bytes_written >> 20);
  if (percent >= 2 && percent < 100 && seconds >= 3) {
    line += fmt::format(", about {:.0f} s left", seconds * (100.0 - percent) / percent);
  }
  if (mode_ == ProgressMode::tty) {
    fmt::print(stderr, "\r{:<70}", line);
    std::fflush(stderr);
    line_open_ = true;
  } else {
    fmt::print(stderr, "{}\n", line);
  }
}

void Progress::finish() {
  if (line_open_) fmt::print(stderr, "\n");
  line_open_ = false;
}

}  // namespace kdk
