// The words of an expression.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace kdk {

struct Token {
  enum class Kind : uint8_t { name, number, character, sign, end };
  Kind kind = Kind::end;
  std::string text;
  uint64_t number = 0;
  size_t at = 0;  // in the expression
  bool operator==(std::string_view sign) const { return kind != Kind::character && text == sign; }
};

// Ends with a token of kind `end`. Throws Error{format} for a character that means nothing.
std::vector<Token> tokens_of(std::string_view expression);

}  // namespace kdk
