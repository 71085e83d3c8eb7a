// Instructions of arm64 that every kernel has and capstone 4 does not know. Source: Arm Architecture
// Reference Manual (DDI 0487), C6.2 under the names of the instructions.
#include <fmt/format.h>

#include <array>

#include "analyze/inspect/disassembler.h"

namespace kdk {
namespace {

uint32_t field(uint32_t word, unsigned high, unsigned low) {
  return (word >> low) & ((uint32_t{1} << (high - low + 1)) - 1);
}

std::string general(uint32_t number, bool wide) {
  if (number == 31) return wide ? "xzr" : "wzr";
  return fmt::format("{}{}", wide ? 'x' : 'w', number);
}
std::string base(uint32_t number) {
  return number == 31 ? "sp" : fmt::format("x{}", number);
}

// HINT #imm: CRm and op2 are bits 11 to 5.
std::string_view hint(uint32_t number) {
  switch (number) {
    case 7:
      return "xpaclri";
    case 8:
      return "pacia1716";
    case 10:
      return "pacib1716";
    case 12:
      return "autia1716";
    case 14:
      return "autib1716";
    case 16:
      return "esb";
    case 20:
      return "csdb";
    case 24:
      return "paciaz";
    case 25:
      return "paciasp";
    case 26:
      return "pacibz";
    case 27:
      return "pacibsp";
    case 28:
      return "autiaz";
    case 29:
      return "autiasp";
    case 30:
      return "autibz";
    case 31:
      return "autibsp";
    case 32:
      return "bti";
    case 34:
      return "bti c";
    case 36:
      return "bti j";
    case 38:
      return "bti jc";
    default:
      return {};
  }
}

// LDADD and its like, SWP: size 111 0 00 A R 1 Rs o3 opc 00 Rn Rt.
std::optional<std::string> atomic(uint32_t word) {
  if ((word & 0x3f200c00) != 0x38200000) return std::nullopt;
  static constexpr std::array<std::string_view, 8> operations = {"add",  "clr",  "eor",  "set",
                                                                 "smax", "smin", "umax", "umin"};
  const bool swap = field(word, 15, 15) != 0;
  const uint32_t opcode = field(word, 14, 12), size = field(word, 31, 30);
  if (swap && opcode != 0) return std::nullopt;
  const bool acquire = field(word, 23, 23) != 0, release = field(word, 22, 22) != 0, wide = size == 3;
  const uint32_t target = field(word, 4, 0);
  // Without a result and without acquire it is a store.
  const bool store = !swap && target == 31 && !acquire;
  std::string name = swap ? "swp" : fmt::format("{}{}", store ? "st" : "ld", operations[opcode]);
  if (acquire) name += 'a';
  if (release) name += 'l';
  if (size == 0) name += 'b';
  if (size == 1) name += 'h';
  std::string out = fmt::format("{} {}", name, general(field(word, 20, 16), wide));
  if (!store) out += ", " + general(target, wide);
  return out + fmt::format(", [{}]", base(field(word, 9, 5)));
}

// CAS: size 0010001 L 1 Rs o0 11111 Rn Rt.
std::optional<std::string> compare_and_swap(uint32_t word) {
  if ((word & 0x3fa07c00) != 0x08a07c00) return std::nullopt;
  const uint32_t size = field(word, 31, 30);
  std::string name = "cas";
  if (field(word, 22, 22) != 0) name += 'a';
  if (field(word, 15, 15) != 0) name += 'l';
  if (size == 0) name += 'b';
  if (size == 1) name += 'h';
  return fmt::format("{} {}, {}, [{}]", name, general(field(word, 20, 16), size == 3),
                     general(field(word, 4, 0), size == 3), base(field(word, 9, 5)));
}

}  // namespace

std::optional<std::string> decode_arm64_extra(uint32_t word) {
  if ((word & 0xffff0000) == 0) return fmt::format("udf #{:#x}", word);
  if ((word & 0xfffff01f) == 0xd503201f) {
    const std::string_view name = hint(field(word, 11, 5));
    if (!name.empty()) return std::string(name);
  }
  switch (word) {
    case 0xd65f0bff:
      return "retaa";
    case 0xd65f0fff:
      return "retab";
    case 0xd69f0bff:
      return "eretaa";
    case 0xd69f0fff:
      return "eretab";
    default:
      break;
  }
  if (auto text = atomic(word)) return text;
  return compare_and_swap(word);
}

}  // namespace kdk
