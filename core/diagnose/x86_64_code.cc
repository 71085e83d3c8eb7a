// What the bytes of x86-64 code and stacks tell without any table.
// Source: Intel SDM volume 2 (CALL, PUSH, MOV, ENDBR64), volume 3 section 6.14 (the frame of an interrupt).
#include <algorithm>
#include <array>

#include "core/arch/x86_64.h"
#include "core/diagnose/unwind_x86_64.h"

namespace kdk {
namespace {

// Selectors of the kernel's and the user's code and stack: arch/x86/include/asm/segment.h.
constexpr uint64_t kernel_cs = 0x10, kernel_ss = 0x18, user_cs = 0x33, user32_cs = 0x23, user_ss = 0x2b;

// rflags: bit 1 is always set, bits above VIP/ID (21) and 3, 5, 15 never are.
constexpr uint64_t rflags_always = 1 << 1;
constexpr uint64_t rflags_never = ~uint64_t{0x3fffff} | 1 << 3 | 1 << 5 | 1 << 15;

// CALL r/m64 (FF /2) of these bytes exactly: register or memory operand with its SIB and displacement.
bool is_indirect_call(Bytes insn) {
  if (insn.size() < 2 || insn[0] != 0xff) return false;
  const unsigned modrm = insn[1], mod = modrm >> 6, rm = modrm & 7;
  if ((modrm >> 3 & 7) != 2) return false;
  size_t length = 2;
  if (mod != 3 && rm == 4) {
    if (insn.size() < 3) return false;
    ++length;
    if (mod == 0 && (insn[2] & 7) == 5) length += 4;
  }
  if (mod == 1) length += 1;
  if (mod == 2 || (mod == 0 && rm == 5)) length += 4;
  return length == insn.size();
}

bool starts_with(Bytes bytes, std::initializer_list<uint8_t> what) {
  return bytes.size() >= what.size() && std::equal(what.begin(), what.end(), bytes.begin());
}

}  // namespace

std::optional<CallSite> call_before(KernelMemory& memory, CodeMap& code, uint64_t address) {
  constexpr size_t longest = 7;
  std::array<uint8_t, longest> buffer{};
  if (address < longest || !memory.read(VirtAddr{address - longest}, buffer)) return std::nullopt;
  const Bytes bytes(buffer);
  if (bytes[longest - 5] == 0xe8) {  // CALL rel32
    const uint64_t target = address + static_cast<uint64_t>(int64_t{*load<il32>(bytes, longest - 4)});
    if (code.known_code(target)) return CallSite{target};
  }
  for (size_t length = 2; length <= longest; ++length) {
    if (is_indirect_call(bytes.subspan(longest - length))) return CallSite{};
  }
  return std::nullopt;
}

std::optional<uint64_t> frame_prologue(KernelMemory& memory, uint64_t function) {
  std::array<uint8_t, 16> bytes{};
  if (!memory.read(VirtAddr{function}, bytes)) return std::nullopt;
  Bytes rest(bytes);
  auto skip = [&](size_t n) { rest = rest.subspan(n); };
  if (starts_with(rest, {0xf3, 0x0f, 0x1e, 0xfa})) skip(4);                                     // endbr64
  if (starts_with(rest, {0xe8}) || starts_with(rest, {0x0f, 0x1f, 0x44, 0x00, 0x00})) skip(5);  // __fentry__
  if (starts_with(rest, {0x66, 0x90})) skip(2);  // generated code's tail call counter
  if (!starts_with(rest, {0x55, 0x48, 0x89, 0xe5})) return std::nullopt;
  return bytes.size() - rest.size();
}

bool plausible(const InterruptFrame& frame, CodeMap& code) {
  // FRED keeps other things above a selector (arch/x86/include/asm/ptrace.h, struct fred_cs, fred_ss).
  const uint64_t cs = frame.cs & 0xffff, ss = frame.ss & 0xffff;
  if ((frame.rflags & rflags_always) == 0 || (frame.rflags & rflags_never) != 0) return false;
  if (frame.from_user()) {
    constexpr uint64_t user_end = uint64_t{1} << 56;
    return (cs == user_cs || cs == user32_cs) && ss == user_ss && frame.rip < user_end &&
           frame.rsp < user_end;
  }
  return cs == kernel_cs && (ss == kernel_ss || ss == 0) && code.known_code(frame.rip);
}

}  // namespace kdk
