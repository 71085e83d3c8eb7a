// One instruction at a time out of bytes, as text: capstone, and by hand what its version does not know of
// arm64 (LSE atomics, pointer authentication, BTI, UDF). What nobody knows stays raw words.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/arch/arch.h"
#include "core/base/bytes.h"

namespace kdk {

struct DecodedInstruction {
  unsigned size = 0;   // bytes; at least 1
  bool known = false;  // else `text` is ".word 0x..." or ".byte 0x..."
  std::string text;    // mnemonic and operands: AT&T's on x86-64, the kernel's objdump has the same
  std::optional<uint64_t> target;  // of a branch, a call, or an address in memory relative to the instruction
  std::optional<uint64_t> constant;  // x86-64: a number in it that is no target; an address of the image may be one
  bool call = false, jump = false;
  bool page = false;  // arm64's ADRP: `target` is only the page, and the next instruction may say the rest
  // An address, or a sum, that is a register and a number.
  std::string base;  // by its name in Arch::register_names(); empty: there is none
  uint64_t displacement = 0;
  bool memory = false;  // they are an address in memory, not a sum
  // Registers that it names, by their names in Arch::register_names().
  std::vector<std::string> registers;
};

class Disassembler {
 public:
  // nullptr when there is none for this architecture.
  static std::unique_ptr<Disassembler> make(const Arch& arch);
  ~Disassembler();

  // The instruction at the start of `bytes`, which must not be empty. Never throws.
  DecodedInstruction decode(Bytes bytes, uint64_t address);

 private:
  struct Impl;
  explicit Disassembler(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// What capstone 4 lacks, from the Arm ARM, C4.1 (encoding index by top level). nullopt: not one of these.
std::optional<std::string> decode_arm64_extra(uint32_t word);

}  // namespace kdk
