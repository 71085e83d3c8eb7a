// The instruction that the exception behind a crash was raised by, with what its registers held.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/kernel/kernel.h"

namespace kdk {

struct FaultingCode {
  uint64_t address = 0;
  std::vector<uint8_t> bytes;
  std::string text;     // AT&T syntax on x86-64
  bool known = false;   // else `text` is a raw word or byte
  std::string comment;  // the symbol that a branch, call or address leads to; escaped
  struct Operand {
    std::string name;  // as Arch::register_names() has it
    uint64_t value = 0;
  };
  std::vector<Operand> operands;   // registers that it names, those that are known
  std::optional<uint64_t> memory;  // the address that a register and a number in it make
};

// nullopt: the registers do not tell a kernel address, or its code is not in the dump. Never throws.
std::optional<FaultingCode> faulting_code(Kernel& kernel, const Registers& registers);

}  // namespace kdk
