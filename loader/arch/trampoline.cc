#include "loader/arch/trampoline.h"

#include "core/base/bytes.h"

namespace kdk {

std::vector<uint8_t> make_trampoline(uint64_t dtb, uint64_t kernel_entry) {
  static constexpr std::array<uint32_t, 6> code = {
      0x580000c0,  //  0: ldr  x0, 24
      0xaa1f03e1,  //  4: mov  x1, xzr
      0xaa1f03e2,  //  8: mov  x2, xzr
      0xaa1f03e3,  // 12: mov  x3, xzr
      0x58000084,  // 16: ldr  x4, 32
      0xd61f0080,  // 20: br   x4
                   // 24: .quad dtb
                   // 32: .quad kernel_entry
  };
  std::vector<uint8_t> bytes(trampoline_size);
  for (size_t i = 0; i < code.size(); ++i) store(bytes, 4 * i, ul32(code[i]));
  store(bytes, 24, ul64(dtb));
  store(bytes, 32, ul64(kernel_entry));
  return bytes;
}

}  // namespace kdk
