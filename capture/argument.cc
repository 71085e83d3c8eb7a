#include "capture/argument.h"

#include <charconv>
#include <limits>

namespace kdk {

std::vector<unsigned> parse_levels(std::string_view text) {
  std::vector<unsigned> levels;
  for (;;) {
    const size_t comma = text.find(',');
    const std::string_view word = text.substr(0, comma);
    unsigned level = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), level);
    if (error != std::errc() || end != word.data() + word.size() || level > 31) return {};
    levels.push_back(level);
    if (comma == std::string_view::npos) return levels;
    text.remove_prefix(comma + 1);
  }
}

std::optional<uint64_t> parse_size(std::string_view text) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || number == 0) return std::nullopt;
  std::string_view unit(end, static_cast<size_t>(text.data() + text.size() - end));
  unsigned shift = 0;
  if (!unit.empty()) {
    constexpr std::string_view letters = "kmgtKMGT";
    const size_t letter = letters.find(unit.front());
    if (letter == std::string_view::npos) return std::nullopt;
    shift = static_cast<unsigned>(letter % 4 + 1) * 10;
    unit.remove_prefix(1);
    if (!unit.empty() && unit != "B" && unit != "iB") return std::nullopt;
  }
  if (number > (std::numeric_limits<uint64_t>::max() >> 1) >> shift) return std::nullopt;
  return number << shift;
}

}  // namespace kdk
