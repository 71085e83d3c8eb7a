// x86-64 page-table walk over arbitrary table bytes.
//
// Input: byte 0 chooses the number of levels and the encryption bit, bytes 1 to 8 an address; the rest is
// physical memory, repeated without end.
#include <fmt/format.h>

#include "tests/fuzz/kernel/fuzz_translate.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace kdk;
  if (size < 9) return 0;
  const uint64_t chosen = *load<ul64>({data, size}, 1);
  const uint64_t sme_mask = (data[0] & 2) != 0 ? uint64_t{1} << 47 : 0;
  fuzz::RepeatedMemory memory({data + 9, size - 9});
  const Vmcoreinfo info = Vmcoreinfo::parse(
      fmt::format("NUMBER(pgtable_l5_enabled)={}\nNUMBER(sme_mask)={}\nNUMBER(phys_base)=-16777216\n"
                  "SYMBOL(init_top_pgt)=ffffffff82610000\nSYMBOL(_stext)=ffffffff81000000\n",
                  data[0] & 1, sme_mask));
  const auto translator = x86_64().make_translator(info, 4096, memory);
  const uint64_t start = translator->layout().kernel_start;
  for (uint64_t va :
       {chosen, start, start | chosen, ~uint64_t{0}, uint64_t{0xffffffff81000000}, uint64_t{0}}) {
    fuzz::check_translation(*translator, va);
  }
  fuzz::check_walk(*translator);
  return 0;
}
