// Values of the kernel's types: a place in its memory, or a number that an expression made; and the tree of
// what is in one, as renderers show it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/kernel/ctype.h"

namespace kdk {

struct Value {
  CType type;
  std::optional<VirtAddr> at;  // nullopt: `number` is the value
  unsigned bit = 0, bits = 0;  // of a bit field: its place from `at`, and width
  uint64_t number = 0;
  std::string label;  // an index or key that came with it, such as one of a tree
};

// What is in a value, all the way down.
struct ValueNode {
  enum class Kind : uint8_t {
    integer,  // number
    boolean,
    enumeration,  // number, and text when it has a name
    floating,     // number: its bits
    pointer,      // number; text: what it points to, when that has a name
    text,         // an array of characters, or what a pointer to characters leads to
    aggregate,    // children
    array,        // children
    function,     // a function's own address
    unknown,      // of no size: void, or a struct that is only declared
    unreadable,   // why_not
  };
  std::string name;  // of a member; "[3]"; empty: the whole, or an anonymous member
  std::string type;  // as C has it
  Kind kind = Kind::unknown;
  uint64_t address = 0;
  std::optional<uint64_t> offset;  // in the struct it is a member of, bytes
  unsigned bit = 0, bits = 0;      // of a bit field: the first bit, from `offset`; its width
  uint64_t size = 0;               // bytes
  bool is_signed = false;
  uint64_t number = 0;  // sign-extended where it is signed
  std::string text;     // escaped
  std::vector<ValueNode> children;
  uint64_t repeats = 0;   // further elements of an array that are equal to this one
  uint64_t left_out = 0;  // elements or members that are not shown
  std::string why_not;
};

struct ValueOptions {
  uint64_t most_elements = 200;   // of one array that are shown
  uint64_t most_nodes = 100'000;  // of one tree
  bool strings = true;            // read what char pointers lead to
};

// Reading of values. Every read is bounded and nothing is thrown for memory that is not there.
class ValueReader {
 public:
  // `symbols` names what pointers point to.
  ValueReader(CTypes& types, Kernel& kernel) : types_(types), kernel_(kernel) {}

  CTypes& types() { return types_; }

  // The value as a number: of an integer, enum, bit field or pointer; the address of an array or function.
  // Throws Error{fault} for memory that cannot be read, Error{unsupported} for a struct.
  uint64_t number(const Value& value);
  // All of it.
  ValueNode read(const Value& value, const ValueOptions& options = {});

 private:
  ValueNode node(std::string name, CType type, const Value& value, int depth);
  void scalar(ValueNode& out, const CTypes::Record& record, CType type, const Value& value);
  void aggregate(ValueNode& out, const CTypes::Record& record, CType type, VirtAddr at, int depth);
  void array(ValueNode& out, const CTypes::Record& record, CType type, VirtAddr at, int depth);
  void pointer_text(ValueNode& out, CType type);
  // Bits of a scalar that is in memory; nullopt: `why_not` says why.
  std::optional<uint64_t> load(const Value& value, uint64_t size, std::string& why_not);

  CTypes& types_;
  Kernel& kernel_;
  ValueOptions options_;
  uint64_t nodes_ = 0;
};

}  // namespace kdk
