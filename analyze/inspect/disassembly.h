// A function, or a range of code, instruction by instruction out of the dump's memory: with what
// alternatives, static keys and probes have made of it, which no vmlinux has.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/diagnose/frame.h"
#include "core/kernel/kernel.h"

namespace kdk {

struct DisassemblyRequest {
  std::string query;  // as it was asked; escaped
  uint64_t address = 0;
  std::optional<uint64_t> count = {};  // instructions from the address on; else the whole function
  bool up_to = false;                  // the function from its start to the address
  bool lines = false;
};

// File and line of an address, and the functions inlined there.
struct CodePosition {
  std::string file;  // escaped
  unsigned line = 0;
  std::vector<InlineFrame> inlines;
};

struct Instruction {
  uint64_t address = 0;
  std::vector<uint8_t> bytes;
  std::string text;
  bool known = true;
  std::string comment;  // what a branch, call or address leads to: a symbol, or a "text"; escaped
  std::optional<uint64_t> target, constant;  // as DecodedInstruction has them
  std::optional<CodePosition> position;  // where it differs from that of the instruction before
};

struct Disassembly {
  DisassemblyRequest request;
  std::string symbol, module;    // escaped
  uint64_t start = 0, size = 0;  // of the symbol; size 0: there is none
  std::vector<Instruction> instructions;
  std::string end;  // why it ends before it should; empty: it does not
};

using PositionLookup = std::function<std::optional<CodePosition>(uint64_t address)>;

// Throws Error{unsupported} for an architecture without a disassembler, Error{missing} when the address is in
// no symbol and no count says how far to go.
Disassembly disassemble(Kernel& kernel, DisassemblyRequest request, const PositionLookup& position);

}  // namespace kdk
