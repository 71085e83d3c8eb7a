// Numbers in the text files of /proc and /sys.
#pragma once

#include <charconv>
#include <cstdint>
#include <optional>
#include <string_view>

namespace kdk {

// The whole of `text` as a number in `base`; "0x" is allowed in front of hex digits. nullopt for anything
// else (empty, sign, trailing characters, more than 64 bits).
inline std::optional<uint64_t> parse_number(std::string_view text, int base) {
  if (base == 16 && (text.starts_with("0x") || text.starts_with("0X"))) text.remove_prefix(2);
  uint64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// Cuts `text` at the first `separator` and returns the part before it; the whole rest when there is none.
inline std::string_view next_token(std::string_view& text, char separator) {
  size_t at = text.find(separator);
  std::string_view token = text.substr(0, at);
  text.remove_prefix(at == std::string_view::npos ? text.size() : at + 1);
  return token;
}

}  // namespace kdk
