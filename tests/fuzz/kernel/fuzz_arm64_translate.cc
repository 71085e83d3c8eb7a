// arm64 page-table walk over arbitrary table bytes, in every geometry.
//
// Input: byte 0 chooses page size and address sizes, bytes 1 to 8 an address; the rest is physical memory,
// repeated without end, so that every table address leads to table bytes and walks go deep.
#include <cstdlib>
#include <cstring>

#include <fmt/format.h>

#include "core/arch/arch.h"

namespace {

using namespace kdk;

class RepeatedMemory : public PhysReader {
 public:
  explicit RepeatedMemory(Bytes bytes) : bytes_(bytes) {}
  bool read_phys(PhysAddr address, MutableBytes out) noexcept override {
    // A part that cannot be read, so that walks end there too.
    if (bytes_.empty() || address.value >> 44 == 0xbad) return false;
    for (size_t i = 0; i < out.size(); ++i) out[i] = bytes_[(address.value + i) % bytes_.size()];
    return true;
  }

 private:
  Bytes bytes_;
};

struct Geometry {
  uint32_t page_size;
  unsigned va_bits, build;
};
constexpr Geometry geometries[] = {{4096, 39, 39},  {4096, 48, 48},  {4096, 52, 52},  {4096, 48, 52},
                                   {16384, 36, 36}, {16384, 47, 47}, {16384, 48, 48}, {16384, 52, 52},
                                   {16384, 47, 52}, {65536, 42, 42}, {65536, 48, 48}, {65536, 52, 52},
                                   {65536, 48, 52}};

void check(bool ok) {
  if (!ok) std::abort();
}

void check_translation(Translator& translator, uint64_t va) {
  const Translation t = translator.translate({va});
  if (!t) return;
  check(t.contiguous > 0 && t.contiguous <= uint64_t{1} << 42);
  check(t.pa.value >> translator.layout().pa_bits == 0);
  const Translation last = translator.translate({va + t.contiguous - 1});
  check(last && last.pa.value == t.pa.value + t.contiguous - 1);
}

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
  // The walk promises to end by itself; one table of entries that all lead to distinct tables is what can be
  // large.
  uint64_t visits = 0, last = 0;
  translator->walk_tables([&](const Translator::TableEntry& entry) {
    check(entry.size != 0 && entry.va.value >= start && entry.va.value >= last);
    last = entry.va.value;
    return ++visits < 2000;
  });
  return 0;
}
