#include "analyze/inspect/types/tokens.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "core/base/error.h"
#include "core/base/log.h"

namespace kdk {
namespace {

constexpr size_t most_tokens = 4096;
constexpr std::array<std::string_view, 10> long_signs = {
    "->", "<<", ">>", "==", "!=", "<=", ">=", "&&", "||", "::"};
constexpr std::string_view signs = "+-*/%&|^~!<>()[].,";

bool is_name(char c, bool first) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '$' ||
         (!first && c >= '0' && c <= '9');
}

Error wrong(std::string_view expression, size_t at, std::string_view why) {
  return Error(Errc::format, fmt::format("{}: {} at \"{}\"", escape_untrusted(expression), why,
                                         escape_untrusted(expression.substr(at, 20))));
}

}  // namespace

std::vector<Token> tokens_of(std::string_view expression) {
  std::vector<Token> out;
  for (size_t at = 0; at < expression.size();) {
    if (out.size() == most_tokens) throw wrong(expression, at, "too long");
    const char c = expression[at];
    if (c == ' ' || c == '\t' || c == '\n') {
      ++at;
      continue;
    }
    Token token;
    token.at = at;
    size_t end = at + 1;
    if (is_name(c, true)) {
      // ISRA and other copies of a function have a point in their names; no member follows a function.
      while (end < expression.size() && is_name(expression[end], false)) ++end;
      token.kind = Token::Kind::name;
    } else if (c >= '0' && c <= '9') {
      const bool hex = expression.substr(at, 2) == "0x" || expression.substr(at, 2) == "0X";
      const char* first = expression.data() + at + (hex ? 2 : 0);
      const auto [last, error] =
          std::from_chars(first, expression.data() + expression.size(), token.number, hex ? 16 : 10);
      if (error != std::errc{}) throw wrong(expression, at, "not a number");
      end = static_cast<size_t>(last - expression.data());
      while (end < expression.size() &&
             std::string_view("uUlL").find(expression[end]) != std::string_view::npos)
        ++end;
      if (end < expression.size() && is_name(expression[end], false))
        throw wrong(expression, at, "not a number");
      token.kind = Token::Kind::number;
    } else if (c == '\'') {
      if (at + 2 >= expression.size() || expression[at + 2] != '\'')
        throw wrong(expression, at, "no character");
      token.kind = Token::Kind::character;
      token.number = static_cast<uint8_t>(expression[at + 1]);
      end = at + 3;
    } else {
      token.kind = Token::Kind::sign;
      const std::string_view two = expression.substr(at, 2);
      if (std::ranges::find(long_signs, two) != long_signs.end()) {
        end = at + 2;
      } else if (signs.find(c) == std::string_view::npos) {
        throw wrong(expression, at, "a character that means nothing here");
      }
    }
    token.text = expression.substr(at, end - at);
    at = end;
    out.push_back(std::move(token));
  }
  out.push_back({Token::Kind::end, "", 0, expression.size()});
  return out;
}

}  // namespace kdk
