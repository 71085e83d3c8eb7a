#include "core/base/log.h"

#include <atomic>
#include <cstdio>
#include <mutex>

namespace kdk {
namespace {

std::atomic<LogLevel> current_level = LogLevel::warning;
std::mutex output_mutex;
std::string program_name = "kdumpkit";  // written once, before threads start

std::string_view level_name(LogLevel level) {
  switch (level) {
    case LogLevel::quiet: return "";
    case LogLevel::error: return "error";
    case LogLevel::warning: return "warning";
    case LogLevel::info: return "info";
    case LogLevel::debug: return "debug";
  }
  return "";
}

// Length of the valid UTF-8 sequence at the start of `s`, 0 when it is not valid (overlong forms and surrogates too).
size_t utf8_sequence(std::string_view s) {
  auto byte = [&](size_t i) { return static_cast<unsigned char>(s[i]); };
  auto continuation = [&](size_t i) { return i < s.size() && (byte(i) & 0xc0) == 0x80; };
  unsigned char c = byte(0);
  if (c < 0x80) return 1;
  if (c >= 0xc2 && c <= 0xdf) return continuation(1) ? 2 : 0;
  if (c >= 0xe0 && c <= 0xef) {
    if (!continuation(1) || !continuation(2)) return 0;
    if (c == 0xe0 && byte(1) < 0xa0) return 0;
    if (c == 0xed && byte(1) > 0x9f) return 0;
    return 3;
  }
  if (c >= 0xf0 && c <= 0xf4) {
    if (!continuation(1) || !continuation(2) || !continuation(3)) return 0;
    if (c == 0xf0 && byte(1) < 0x90) return 0;
    if (c == 0xf4 && byte(1) > 0x8f) return 0;
    return 4;
  }
  return 0;
}

}  // namespace

void set_log_level(LogLevel level) { current_level = level; }
LogLevel log_level() { return current_level; }
void set_log_program(std::string_view name) { program_name = name; }

void log_message(LogLevel level, std::string_view text) {
  if (level > current_level) return;
  std::string line = fmt::format("{}: {}: {}\n", program_name, level_name(level), escape_untrusted(text));
  std::lock_guard lock(output_mutex);
  std::fputs(line.c_str(), stderr);
}

std::string escape_untrusted(std::string_view text, std::string_view keep) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    unsigned char c = static_cast<unsigned char>(text[0]);
    size_t length = utf8_sequence(text);
    bool c1_control = length == 2 && c == 0xc2 && static_cast<unsigned char>(text[1]) < 0xa0;
    if (length == 0) {
      out += "\xef\xbf\xbd";
      length = 1;
    } else if (c1_control) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(text[1]));
    } else if ((c < 0x20 || c == 0x7f) && keep.find(text[0]) == std::string_view::npos) {
      out += fmt::format("\\x{:02x}", c);
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(length);
  }
  return out;
}

}  // namespace kdk
