// Messages for people, on stderr. Results go to stdout; nothing else does.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>

namespace kdk {

enum class LogLevel { quiet, error, warning, info, debug };

// Messages above this level are dropped. Default: warning.
void set_log_level(LogLevel level);
LogLevel log_level();

// One line "program: level: text" on stderr; thread-safe. Control bytes in the text are escaped: it may hold strings
// that came out of a dump.
void log_message(LogLevel level, std::string_view text);
// Sets the "program" prefix; run_main does this.
void set_log_program(std::string_view name);

template <typename... Args>
void log_error(fmt::format_string<Args...> f, Args&&... args) {
  log_message(LogLevel::error, fmt::format(f, std::forward<Args>(args)...));
}
template <typename... Args>
void log_warning(fmt::format_string<Args...> f, Args&&... args) {
  log_message(LogLevel::warning, fmt::format(f, std::forward<Args>(args)...));
}
template <typename... Args>
void log_info(fmt::format_string<Args...> f, Args&&... args) {
  if (log_level() >= LogLevel::info) log_message(LogLevel::info, fmt::format(f, std::forward<Args>(args)...));
}
template <typename... Args>
void log_debug(fmt::format_string<Args...> f, Args&&... args) {
  if (log_level() >= LogLevel::debug) log_message(LogLevel::debug, fmt::format(f, std::forward<Args>(args)...));
}

// Makes untrusted text safe for a terminal or a log line: control bytes (except those in `keep`) become \xNN, invalid
// UTF-8 becomes U+FFFD.
std::string escape_untrusted(std::string_view text, std::string_view keep = {});

}  // namespace kdk
