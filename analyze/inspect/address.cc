#include "analyze/inspect/address.h"

#include <charconv>

namespace kdk {
namespace {

std::optional<uint64_t> parse_digits(std::string_view digits, int base) {
  uint64_t value = 0;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  if (digits.empty() || error != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
  return value;
}

}  // namespace

std::optional<uint64_t> parse_address(std::string_view text) {
  if (text.substr(0, 2) == "0x" || text.substr(0, 2) == "0X") return parse_digits(text.substr(2), 16);
  if (text.size() == 16) return parse_digits(text, 16);
  return std::nullopt;
}

std::optional<uint64_t> find_address(Kernel& kernel, std::string_view text) {
  if (const auto number = parse_address(text)) return number;
  if (const auto symbol = kernel.symbol(text)) return symbol->value;
  const size_t sign = text.find_last_of("+-");
  if (sign == std::string_view::npos || sign == 0) return std::nullopt;
  const std::string_view rest = text.substr(sign + 1);
  std::optional<uint64_t> offset = parse_address(rest);
  if (!offset) offset = parse_digits(rest, 10);
  const auto symbol = kernel.symbol(text.substr(0, sign));
  if (!offset || !symbol) return std::nullopt;
  return text[sign] == '+' ? symbol->value + *offset : symbol->value - *offset;
}

}  // namespace kdk
