#include "capture/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace kdk {
namespace {

using std::chrono::duration;
using std::chrono::milliseconds;
using std::chrono::seconds;

bool stderr_draws_bars() {
  const char* term = ::getenv("TERM");
  struct stat status {};
  return ::isatty(STDERR_FILENO) == 1 && (term == nullptr || std::string_view(term) != "dumb") &&
         ::fstat(STDERR_FILENO, &status) == 0 && draws_bars(status.st_rdev);
}

// A terminal that does not say how wide it is has 80 columns.
unsigned columns() {
  winsize size{};
  return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col != 0 ? size.ws_col : 80;
}

std::string time_left(double left) {
  const auto whole = static_cast<uint64_t>(left + 0.5);
  if (whole < 100) return fmt::format("{} s left", whole);
  if (whole < 100 * 60) return fmt::format("{} min left", (whole + 30) / 60);
  return fmt::format("{} h left", (whole + 1800) / 3600);
}

unsigned percent_of(uint64_t done, uint64_t total) {
  return static_cast<unsigned>(100.0 * static_cast<double>(std::min(done, total)) /
                               static_cast<double>(total));
}

}  // namespace

std::optional<ProgressMode> parse_progress_mode(std::string_view name) {
  for (size_t i = 0; i < progress_mode_names.size(); ++i) {
    if (progress_mode_names[i] == name) return static_cast<ProgressMode>(i);
  }
  return std::nullopt;
}

// Numbers: Documentation/admin-guide/devices.txt.
bool draws_bars(dev_t device) {
  const unsigned kind = major(device);
  constexpr unsigned tty = 4, alternate = 5, first_pty = 136, last_pty = 143;
  constexpr unsigned first_serial = 64;  // of major 4
  if (kind == tty) return minor(device) < first_serial;
  if (kind == alternate) return minor(device) == 0;  // /dev/tty, the terminal of whoever asks
  return kind >= first_pty && kind <= last_pty;
}

std::string progress_bar(const ProgressNumbers& n, uint32_t page_size, unsigned columns) {
  const unsigned percent = n.total == 0 ? 0 : percent_of(n.done, n.total);
  std::string tail = fmt::format(" {:3d} %", percent);
  if (n.bytes_written != 0) tail += fmt::format("  {} MiB written", n.bytes_written >> 20);
  if (n.pages_per_second > 0) {
    if (page_size != 0) tail += fmt::format("  {:.0f} MiB/s", n.pages_per_second * page_size / (1 << 20));
    if (n.done < n.total)
      tail += "  " + time_left(static_cast<double>(n.total - n.done) / n.pages_per_second);
  }
  constexpr unsigned frame = 3, longest_bar = 40, shortest_bar = 8;  // " [", "]"
  const auto used = static_cast<unsigned>(n.stage.size() + tail.size() + frame);
  std::string line(n.stage);
  if (columns >= used + shortest_bar) {
    const unsigned length = std::min(columns - used, longest_bar), filled = length * percent / 100;
    line += fmt::format(" [{:#<{}}{:.<{}}]", "", filled, "", length - filled);
  }
  line += tail;
  if (line.size() > columns) line.resize(columns);
  return line;
}

Progress::Progress(ProgressMode mode) : mode_(mode) {
  if (mode_ == ProgressMode::automatic) mode_ = stderr_draws_bars() ? ProgressMode::tty : ProgressMode::plain;
}

void Progress::stage(std::string_view name, std::string_view what) {
  finish();
  stage_ = name;
  what_ = what;
  stage_start_ = last_ = Clock::now();
  last_percent_ = 0;
  last_done_ = 0;
  rate_ = 0;
  if (mode_ == ProgressMode::plain || mode_ == ProgressMode::tty) fmt::print(stderr, "{}\n", what_);
  if (mode_ == ProgressMode::json) fmt::print(stderr, "{{\"event\":\"stage\",\"stage\":\"{}\"}}\n", stage_);
}

// The rate of the last seconds: what was measured counts for less the older it is, half after three seconds
// or so. An average over the whole stage would be wrong for long after a slow disk woke up.
void Progress::measure(Clock::time_point now, uint64_t done) {
  const double passed = duration<double>(now - last_).count();
  if (passed <= 0 || done < last_done_) return;
  const double current = static_cast<double>(done - last_done_) / passed;
  const double weight = std::min(1.0, passed / 4);
  rate_ = rate_ == 0 ? current : rate_ + (current - rate_) * weight;
  last_done_ = done;
}

void Progress::update(uint64_t done, uint64_t total, uint64_t bytes_written) {
  if (mode_ == ProgressMode::none || total == 0) return;
  const Clock::time_point now = Clock::now();
  const unsigned percent = percent_of(done, total);
  // Plain: every tenth, but not more often than once in two seconds, and at least twice a minute.
  const auto since = now - last_;
  if (mode_ == ProgressMode::plain) {
    const bool due = percent >= last_percent_ + 10 && since >= seconds(2);
    if (!due && since < seconds(30)) return;
  } else if (since < milliseconds(200) && done < total) {
    return;
  }
  measure(now, done);
  last_ = now;
  last_percent_ = percent;
  const double passed = duration<double>(now - stage_start_).count();
  if (mode_ == ProgressMode::json) {
    fmt::print(stderr,
               "{{\"event\":\"progress\",\"stage\":\"{}\",\"pages_done\":{},\"pages_total\":{},\"bytes_"
               "written\":{},\"seconds\":{:.3f},\"pages_per_second\":{:.0f}}}\n",
               stage_, done, total, bytes_written, passed, rate_);
    return;
  }
  if (mode_ == ProgressMode::tty) {
    // One column less: a full line moves the cursor to the next one on some terminals. ESC [ K: what is left
    // of a longer line goes.
    const ProgressNumbers numbers{stage_, done, total, bytes_written, rate_};
    fmt::print(stderr, "\r{}\x1b[K", progress_bar(numbers, page_size_, columns() - 1));
    std::fflush(stderr);
    line_open_ = true;
    return;
  }
  std::string line = fmt::format("{}: {:3d} %", stage_, percent);
  if (bytes_written != 0) line += fmt::format(", {} MiB written", bytes_written >> 20);
  if (rate_ > 0 && page_size_ != 0) line += fmt::format(", {:.0f} MiB/s", rate_ * page_size_ / (1 << 20));
  if (rate_ > 0 && done < total)
    line += fmt::format(", about {}", time_left(static_cast<double>(total - done) / rate_));
  fmt::print(stderr, "{}\n", line);
}

void Progress::finish() {
  if (line_open_) fmt::print(stderr, "\n");
  line_open_ = false;
}

}  // namespace kdk
