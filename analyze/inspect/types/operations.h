// What one value can be asked for: its members, what it points to, arithmetic.
#pragma once

#include <functional>
#include <string_view>

#include "analyze/inspect/types/expression.h"
#include "analyze/inspect/types/value.h"

namespace kdk {

class Operations {
 public:
  explicit Operations(ValueReader& reader) : reader_(reader), types_(reader.types()) {}

  Value literal(uint64_t number);
  Value pointer(CType to, uint64_t address);  // a value of type `to *`
  Value member(const Value& of, std::string_view name);
  Value follow(const Value& pointer);  // *pointer
  Value index(const Value& of, uint64_t index);
  Value address_of(const Value& place);
  Value cast(CType type, const Value& value);
  Value unary(std::string_view sign, const Value& value);
  Value binary(std::string_view sign, const Value& left, const Value& right);
  uint64_t number(const Value& value) { return reader_.number(value); }
  // Where a value is, or what it points to.
  uint64_t address(const Value& value);

 private:
  bool is_pointer(const Value& value);
  bool is_signed(const Value& value);
  // Of what a pointer points to, for arithmetic; at least 1, as with void.
  uint64_t stride(const Value& pointer);

  ValueReader& reader_;
  CTypes& types_;
};

}  // namespace kdk
