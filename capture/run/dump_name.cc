#include "capture/run/dump_name.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <ctime>
#include <utility>

namespace kdk {
namespace {

bool is_host_character(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '.';
}

// 'd' stands for a digit.
constexpr std::string_view time_form = "-dddd-dd-ddTdd-dd-ddZ";

bool has_form(std::string_view text) {
  return std::ranges::equal(text, time_form, [](char c, char form) {
    return form == 'd' ? std::isdigit(static_cast<unsigned char>(c)) != 0 : c == form;
  });
}

}  // namespace

std::string dump_name(std::string_view host, uint64_t seconds) {
  std::string name;
  if (host == "(none)") host = {};  // what the kernel has before anybody sets a name
  for (const char c : host.substr(0, 64)) {
    if (is_host_character(c)) name += c;
  }
  // No hidden files, no options.
  name.erase(0, name.find_first_not_of(".-"));
  if (name.empty()) name = "host";
  constexpr uint64_t year_9999 = 253'402'300'799;
  const time_t time = static_cast<time_t>(std::min(seconds, year_9999));
  tm utc{};
  ::gmtime_r(&time, &utc);
  return fmt::format("{}-{:04}-{:02}-{:02}T{:02}-{:02}-{:02}Z", name, utc.tm_year + 1900, utc.tm_mon + 1,
                     utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec);
}

std::optional<DumpName> parse_dump_name(std::string_view text) {
  DumpName name;
  for (const auto& [suffix, state] : {std::pair(std::string_view(".incomplete"), DumpState::incomplete),
                                      std::pair(std::string_view(".partial"), DumpState::partial)}) {
    if (!text.ends_with(suffix)) continue;
    text.remove_suffix(suffix.size());
    name.state = state;
    break;
  }
  // "-2" of a second dump within a second.
  const size_t dash = text.rfind("Z-");
  if (dash != std::string_view::npos) {
    const std::string_view number = text.substr(dash + 2);
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), name.number);
    if (error != std::errc() || end != number.data() + number.size()) return std::nullopt;
    text = text.substr(0, dash + 1);
  }
  if (text.size() <= time_form.size()) return std::nullopt;
  const std::string_view host = text.substr(0, text.size() - time_form.size());
  const std::string_view time = text.substr(host.size());
  if (!has_form(time) || !std::ranges::all_of(host, is_host_character)) return std::nullopt;
  name.host = host;
  name.time = time.substr(1);
  return name;
}

}  // namespace kdk
