#include "loader/prove/boot_rom.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "core/base/bytes.h"
#include "core/base/error.h"

namespace kdk {
namespace {

// Everything is found from where SeaBIOS put the ROM (cs), so that may be anywhere below 1 MiB. The stack is
// SeaBIOS' own.
constexpr std::array<uint8_t, 112> code = {
    0x55, 0xaa, 0x01,                                            //   0: .byte 0x55, 0xaa, 1
    0xfa,                                                        //   3: .code16; cli
    0xfc,                                                        //   4: cld
    0x66, 0x31, 0xc0,                                            //   5: xorl %eax,%eax
    0x8c, 0xc8,                                                  //   8: movw %cs,%ax
    0x66, 0xc1, 0xe0, 0x04,                                      //  10: shll $4,%eax
    0x66, 0x89, 0xc6,                                            //  14: movl %eax,%esi
    0x67, 0x66, 0x8d, 0x46, 0x70,                                //  17: leal 0x70(%esi),%eax
    0x66, 0x50,                                                  //  22: pushl %eax
    0x6a, 0x17,                                                  //  24: pushw $0x17
    0x89, 0xe5,                                                  //  26: movw %sp,%bp
    0x66, 0x0f, 0x01, 0x56, 0x00,                                //  28: lgdtl (%bp)
    0x66, 0xb8, 0x00, 0x00, 0x00, 0x00,                          //  33: movl $0,%eax
    0x0f, 0x22, 0xd8,                                            //  39: movl %eax,%cr3
    0x66, 0xb8, 0x20, 0x00, 0x00, 0x00,                          //  42: movl $0x20,%eax
    0x0f, 0x22, 0xe0,                                            //  48: movl %eax,%cr4
    0x66, 0xb9, 0x80, 0x00, 0x00, 0xc0,                          //  51: movl $0xc0000080,%ecx
    0x66, 0xb8, 0x00, 0x01, 0x00, 0x00,                          //  57: movl $0x100,%eax
    0x66, 0x31, 0xd2,                                            //  63: xorl %edx,%edx
    0x0f, 0x30,                                                  //  66: wrmsr
    0x0f, 0x20, 0xc0,                                            //  68: movl %cr0,%eax
    0x66, 0x0d, 0x01, 0x00, 0x00, 0x80,                          //  71: orl $0x80000001,%eax
    0x0f, 0x22, 0xc0,                                            //  77: movl %eax,%cr0
    0x67, 0x66, 0x8d, 0x46, 0x5d,                                //  80: leal 0x5d(%esi),%eax
    0x6a, 0x00,                                                  //  85: pushw $0
    0x6a, 0x10,                                                  //  87: pushw $0x10
    0x66, 0x50,                                                  //  89: pushl %eax
    0x66, 0xcb,                                                  //  91: lretl
    0x48, 0xb8, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,  //  93: .code64; movabs $0,%rax
    0xff, 0xe0,                                                  // 103: jmp *%rax
    0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc,                    // 105: int3
};
constexpr uint64_t page_tables_at = 35;
constexpr uint64_t entry_at = 95;
constexpr uint64_t gdt_at = 112;  // 0x70 in the code; its limit there is 0x17
constexpr std::array<uint64_t, 3> gdt = {0, 0, 0x00af9b000000ffff};  // 0x10: 64-bit code
constexpr uint64_t rom_size = 512;                                   // one unit, as byte 2 says

constexpr uint64_t page = 4096;
constexpr uint64_t gib = uint64_t{1} << 30;
constexpr uint64_t large_page = uint64_t{2} << 20;
constexpr uint64_t entries = 512;
constexpr uint64_t present_writable = 3;
constexpr uint64_t is_large = 0x80;

}  // namespace

std::vector<uint8_t> make_boot_rom(uint64_t entry, uint32_t page_tables) {
  std::vector<uint8_t> rom(rom_size);
  std::copy(code.begin(), code.end(), rom.begin());
  store(rom, page_tables_at, ul32(page_tables));
  store(rom, entry_at, ul64(entry));
  for (size_t i = 0; i < gdt.size(); ++i) store(rom, gdt_at + i * sizeof(ul64), ul64(gdt[i]));
  unsigned sum = std::accumulate(rom.begin(), rom.end(), 0u);
  rom.back() = static_cast<uint8_t>(0x100 - (sum & 0xff));  // all bytes add up to 0
  return rom;
}

std::vector<uint8_t> make_identity_map(const Range& at, uint64_t top) {
  uint64_t directories = (top + gib - 1) / gib;
  uint64_t size = (2 + directories) * page;
  if (directories > entries || size > at.size)
    throw Error(Errc::unsupported, "the virtual machine has too much memory to map");
  std::vector<uint8_t> tables(size);
  uint64_t second = page, first_directory = 2 * page;
  store(tables, 0, ul64((at.start + second) | present_writable));
  for (uint64_t i = 0; i < directories; ++i) {
    uint64_t directory = first_directory + i * page;
    store(tables, second + i * sizeof(ul64), ul64((at.start + directory) | present_writable));
    for (uint64_t j = 0; j < entries; ++j) {
      store(tables, directory + j * sizeof(ul64),
            ul64((i * gib + j * large_page) | present_writable | is_large));
    }
  }
  return tables;
}

}  // namespace kdk
