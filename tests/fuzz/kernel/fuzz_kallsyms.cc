// kallsyms tables. Input: u32 num_syms, u8 has relative base, u16 bytes of names, u16 bytes of the token
// table, 512 bytes of token index, names, token table; the rest is the table of addresses.
#include <cstdlib>

#include "core/kernel/kallsyms.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace kdk;
  constexpr uint64_t text = 0xffff800008000000;
  KallsymsImage image;
  try {
    Cursor in({data, size}, "input");
    image.num_syms = in.u32le();
    if (in.u8() != 0) image.relative_base = text;
    const uint16_t names = in.u16le(), tokens = in.u16le();
    image.token_index = in.take(512);
    image.names = in.take(names);
    image.token_table = in.take(tokens);
    image.offsets = in.take(in.remaining());
  } catch (const Error&) {
    return 0;
  }
  image.offsets_address = text + 0x100000;
  image.stext = text + 0x10000;
  std::string why;
  const auto kallsyms = Kallsyms::open(image, why);
  if ((kallsyms == nullptr) == why.empty()) abort();
  if (!kallsyms) return 0;
  SymbolTable packed, unpacked;
  add_kallsyms(kallsyms, packed);
  packed.finish();
  add_kallsyms(kallsyms, unpacked);
  unpacked.finish();
  if (unpacked.size() > kallsyms->size()) abort();
  // Packed or not, the answers are the same.
  const auto same = [](const auto& a, const auto& b) {
    return a.has_value() == b.has_value() &&
           (!a || (a->symbol.address == b->symbol.address && a->symbol.name == b->symbol.name &&
                   a->symbol.size == b->symbol.size && a->offset == b->offset));
  };
  constexpr size_t most_lookups = 256;
  uint64_t previous = 0;
  for (size_t i = 0; i < unpacked.size(); ++i) {
    const Symbol s = unpacked.at(i);
    if (s.name.empty() || s.address < previous) abort();
    previous = s.address;
    if (i >= most_lookups) continue;
    for (uint64_t address : {s.address, s.address + 1, s.address - 1}) {
      const auto hit = packed.lookup(address);
      if (!same(hit, unpacked.lookup(address)) || (hit && hit->symbol.address > address)) abort();
    }
    const auto one = packed.find(s.name), other = unpacked.find(s.name);
    if (!one || !other || one->address != other->address || kallsyms->address_of(s.name) != one->address) abort();
  }
  return 0;
}
