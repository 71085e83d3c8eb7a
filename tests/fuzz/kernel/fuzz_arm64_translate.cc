// arm64 page-table walk over arbitrary table bytes, in every geometry.
//
// Input: byte 0 chooses page size and address sizes, bytes 1 to 8 an address; the rest is physical memory,
// repeated without end, so that every table address leads to table bytes and walks go deep.
#include <fmt/format.h>

#include "tests/fuzz/kernel/fuzz_translate.h"

namespace {

using namespace kdk;
using namespace kdk::fuzz;

struct Geometry {
  uint32_t page_size;
  unsigned va_bits, build;
};
constexpr Geometry geometries[] = {{4096, 39, 39},  {4096, 48, 48},  {4096, 52, 52},  {4096, 48, 52},
                                   {16384, 36, 36}, {16384, 47, 47}, {16384, 48, 48}, {16384, 52, 52},
                                   {16384, 47, 52}, {65536, 42, 42}, {65536, 48, 48}, {65536, 52, 52},
                                   {65536, 48, 52}};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 9) return 0;
  const Geometry& g = geometries[data[0] % std::size(geometries)];
  const uint64_t chosen = *load<ul64>({data, size}, 1);
  RepeatedMemory memory({data + 9, size - 9});
  const Vmcoreinfo info = Vmcoreinfo::parse(fmt::format(
      "NUMBER(VA_BITS)={}\nNUMBER(TCR_EL1_T1SZ)={:#x}\nNUMBER(kimage_voffset)=0xffff800040000000\n"
      "SYMBOL(swapper_pg_dir)=ffff800080000000\nSYMBOL(_stext)=ffff800080010000\nNUMBER(PHYS_OFFSET)={:#x}\n",
      g.build, 64 - g.va_bits, chosen & ~uint64_t{0xfffffff}));
  const auto translator = arm64().make_translator(info, g.page_size, memory);
  const uint64_t start = translator->layout().kernel_start;
  for (uint64_t va :
       {chosen, start, start | chosen, ~uint64_t{0}, uint64_t{0xffff800080010000}, uint64_t{0}}) {
    check_translation(*translator, va);
  }
  check_walk(*translator);
  return 0;
}
