// Arguments and local variables of frames, as answers tell them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kdk {

struct Variable {
  // What is known of its value at this place of the function.
  enum class State : uint8_t {
    known,
    optimized_out,  // the compiler left it nowhere
    unavailable,  // it is in a register that is not known in this frame, or in memory that is not in the dump
    unsupported,  // described in a way that is not understood here
  };
  std::string name, type;  // escaped
  bool parameter = false;
  State state = State::optimized_out;
  std::string value;                // printed by its type; empty unless known
  std::optional<uint64_t> address;  // where it is in memory
};
std::string_view to_string(Variable::State state);

// Those of one function of a trace.
struct FunctionVariables {
  size_t frame = 0;    // index into Backtrace::frames
  size_t inlined = 0;  // index into Frame::inlines; their number: the function that has the frame
  std::string function;
  std::vector<Variable> items;  // parameters first, then as in the source, inner blocks last
};

}  // namespace kdk
