// Values of variables: DWARF location descriptions (DWARF 5 section 2.6) and constants, evaluated in a frame
// to bytes. Bounded, whatever the file says.
#pragma once

#include <elfutils/libdw.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "analyze/unwind/dwarf_values.h"
#include "core/arch/arch.h"
#include "core/kernel/memory.h"

namespace kdk {

// One physical frame.
struct FrameContext {
  KernelMemory& memory;
  const Registers& registers;
  uint64_t load_offset = 0;  // run-time address - address in the file
  uint64_t pc = 0;           // run-time; of the call where the frame made one
  std::optional<uint64_t> cfa = {};
  Dwarf_Attribute* frame_base = nullptr;  // of the function; nullptr: it has none
  // What a register held when the function was entered: from its caller (DW_OP_entry_value).
  std::function<std::optional<uint64_t>(unsigned)> at_entry = {};
};

struct Location {
  enum class State : uint8_t {
    known,
    optimized_out,  // the compiler left it nowhere at this place
    unavailable,  // it is somewhere: in a register that is not known here, or memory that is not in the dump
    unsupported,  // described by an operation that is not known here
  };
  State state = State::optimized_out;
  std::vector<uint8_t> bytes;       // known: all of it, with zeros where `holes` say that it is nowhere
  std::vector<Hole> holes;          // in order; never all of it
  std::optional<uint64_t> address;  // where it is, when that is one place in memory
  // Instead of bytes: it points this far into a variable that is nowhere in memory (DWARF 5
  // section 2.6.1.1.4, DW_OP_implicit_pointer). What that holds may still be known.
  struct Pointee {
    Dwarf_Die object;
    int64_t offset = 0;
  };
  std::optional<Pointee> pointee;
};

// The value of `size` bytes that an attribute (DW_AT_location, DW_AT_const_value) describes. Never throws.
Location locate(Dwarf_Attribute* attribute, const FrameContext& frame, uint64_t size);
// What an expression leaves on its stack (DW_AT_call_value, DW_AT_call_target).
std::optional<uint64_t> value_of(Dwarf_Attribute* attribute, const FrameContext& frame);

}  // namespace kdk
