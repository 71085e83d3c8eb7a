#include "loader/prove/console.h"

#include <fmt/format.h>

#include <algorithm>

#include "loader/machine/parse.h"

namespace kdk {
namespace {

constexpr size_t longest_line = 1024;  // the rest of a longer one is dropped; the kernel's end before
constexpr size_t most_problems = 16;
constexpr size_t most_said = 32;
constexpr size_t most_last_lines = 20;
constexpr uint64_t kib = 1024;

bool cut_prefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

// "[    1.234567] ", and "[    1.234567][    T1] " of kernels that say who speaks.
std::string_view without_time(std::string_view line) {
  while (line.starts_with('[')) {
    size_t end = line.find(']');
    if (end == std::string_view::npos) break;
    bool stamp = std::all_of(line.begin() + 1, line.begin() + static_cast<ptrdiff_t>(end), [](char c) {
      return (c >= '0' && c <= '9') || c == ' ' || c == '.' || c == 'T' || c == 'C';
    });
    if (!stamp) break;
    line.remove_prefix(end + 1);
    cut_prefix(line, " ");
  }
  return line;
}

// "167620K/262144K available (...)".
void read_memory(std::string_view text, std::optional<uint64_t>& available, std::optional<uint64_t>& total) {
  std::optional<uint64_t> first = parse_number(next_token(text, 'K'), 10);
  if (!first || !cut_prefix(text, "/")) return;
  std::optional<uint64_t> second = parse_number(next_token(text, 'K'), 10);
  constexpr uint64_t most = UINT64_MAX / kib;
  if (!second || *first > most || *second > most || !text.starts_with(" available")) return;
  available = *first * kib;
  total = *second * kib;
}

}  // namespace

std::string_view to_string(BootStage stage) {
  switch (stage) {
    case BootStage::nothing:
      return "nothing";
    case BootStage::kernel:
      return "kernel";
    case BootStage::init:
      return "init";
    case BootStage::capture:
      return "capture";
  }
  return "unknown";
}

void ConsoleWatch::feed(Bytes text) {
  bytes_ += text.size();
  for (uint8_t byte : text) {
    if (byte == '\n') {
      take_line();
    } else if (byte != '\r' && line_.size() < longest_line) {
      line_ += static_cast<char>(byte);
    }
  }
}

void ConsoleWatch::finish() {
  if (!line_.empty()) take_line();
}

void ConsoleWatch::take_line() {
  if (last_lines_.size() == most_last_lines) last_lines_.erase(last_lines_.begin());
  last_lines_.push_back(line_);
  judge(without_time(line_));
  line_.clear();
}

void ConsoleWatch::reach(BootStage stage) {
  stage_ = std::max(stage_, stage);
}

void ConsoleWatch::add_problem(std::string text) {
  if (problems_.size() < most_problems) problems_.push_back(std::move(text));
}

void ConsoleWatch::judge(std::string_view line) {
  judge_capture(line);
  judge_kernel(line);
}

void ConsoleWatch::judge_kernel(std::string_view line) {
  std::string_view rest = line;
  if (line.starts_with("Linux version ") || line.starts_with("Booting Linux on ")) {
    reach(BootStage::kernel);
  } else if (cut_prefix(rest, "Memory: ")) {
    if (!memory_total_) read_memory(rest, memory_available_, memory_total_);
  } else if (cut_prefix(rest, "Run ") && rest.ends_with(" as init process")) {
    reach(BootStage::init);
    init_ = rest.substr(0, rest.find(' '));
  } else if (cut_prefix(rest, "Initramfs unpacking failed: ")) {
    add_problem(fmt::format("unpacking the initramfs failed: {}", rest));
  } else if (cut_prefix(rest, "check access for rdinit=")) {
    add_problem(fmt::format("the initramfs has no {}", rest.substr(0, rest.find(' '))));  // only of rdinit=
  } else if (line.starts_with("Failed to execute ") || line.starts_with("Starting init: ")) {
    add_problem(std::string(line));
    // It was said to run before it was tried.
    if (stage_ == BootStage::init) stage_ = BootStage::kernel;
    init_.clear();
  } else if (line.starts_with("Out of memory: ")) {
    add_problem(fmt::format("memory is short: {}", line));
  } else if (cut_prefix(rest, "Kdump: vmcore not initialized")) {
    add_problem("the kernel made no /proc/vmcore: " + std::string(line));
  } else if (cut_prefix(rest, "Kernel panic - not syncing: ") && failure_.empty()) {
    failure_ = fmt::format("the kernel panicked: {}", rest);
    // Without a word of it, the kernel looks for a root file system when the initramfs has no /init.
    if (stage_ < BootStage::init && rest.starts_with("VFS: Unable to mount root fs"))
      add_problem("the initramfs has no /init that could be started");
  } else if (cut_prefix(rest, "reboot: ") && failure_.empty()) {
    failure_ = fmt::format("the machine was shut down: {}", rest);
  }
}

// `expected_` may also be a word of the command line, which the kernel repeats before there is any program.
void ConsoleWatch::judge_capture(std::string_view line) {
  bool ours = line.starts_with("kdumpkit: ") || line.starts_with("kdump-capture: ");
  bool expected =
      stage_ >= BootStage::init && !expected_.empty() && line.find(expected_) != std::string_view::npos;
  if (!ours && !expected) return;
  reach(BootStage::capture);
  if (capture_said_.size() < most_said) capture_said_.emplace_back(line);
  if (line.starts_with("kdumpkit: capture finished")) capture_finished_ = true;
}

}  // namespace kdk
