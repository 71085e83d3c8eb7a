#include "loader/arch/x86_64_trampoline.h"

#include <algorithm>
#include <array>

#include "core/base/bytes.h"

namespace kdk::x86_64 {
namespace {

// The code reads what follows it relative to rip, so only the GDT's own address is absolute.
constexpr std::array<uint8_t, 48> code = {
    0xfa,                                      //  0: cli
    0xfc,                                      //  1: cld
    0x48, 0x8d, 0x25, 0xf7, 0x0f, 0x00, 0x00,  //  2: lea   stack_end(%rip),%rsp      # 4096
    0x0f, 0x01, 0x15, 0x40, 0x00, 0x00, 0x00,  //  9: lgdt  gdt_pointer(%rip)         # 80
    0xb8, 0x18, 0x00, 0x00, 0x00,              // 16: mov   $0x18,%eax
    0x8e, 0xd8,                                // 21: mov   %eax,%ds
    0x8e, 0xc0,                                // 23: mov   %eax,%es
    0x8e, 0xd0,                                // 25: mov   %eax,%ss
    0x48, 0x8b, 0x35, 0x3e, 0x00, 0x00, 0x00,  // 27: mov   boot_params(%rip),%rsi    # 96
    0x6a, 0x10,                                // 34: push  $0x10
    0xff, 0x35, 0x3e, 0x00, 0x00, 0x00,        // 36: push  kernel_entry(%rip)        # 104
    0x48, 0xcb,                                // 42: lretq
    0xf4,                                      // 44: hlt
    0xcc, 0xcc, 0xcc,                          // 45: int3
};
constexpr uint64_t gdt_at = 48;
constexpr uint64_t gdt_pointer_at = 80;
constexpr uint64_t boot_params_at = 96;
constexpr uint64_t kernel_entry_at = 104;
constexpr std::array<uint64_t, 4> gdt = {0, 0,                 // none
                                         0x00af9b000000ffff,   // 0x10: 64-bit code
                                         0x00cf93000000ffff};  // 0x18: flat data

}  // namespace

std::vector<uint8_t> make_trampoline(uint64_t at, uint64_t boot_params, uint64_t kernel_entry) {
  std::vector<uint8_t> bytes(trampoline_size);
  std::copy(code.begin(), code.end(), bytes.begin());
  for (size_t i = 0; i < gdt.size(); ++i) store(bytes, gdt_at + 8 * i, ul64(gdt[i]));
  store(bytes, gdt_pointer_at, ul16(sizeof(gdt) - 1));
  store(bytes, gdt_pointer_at + sizeof(ul16), ul64(at + gdt_at));
  store(bytes, boot_params_at, ul64(boot_params));
  store(bytes, kernel_entry_at, ul64(kernel_entry));
  return bytes;
}

TrampolineTargets read_trampoline(const std::vector<uint8_t>& bytes) {
  return {load<ul64>(bytes, boot_params_at).value_or(0), load<ul64>(bytes, kernel_entry_at).value_or(0)};
}

}  // namespace kdk::x86_64
