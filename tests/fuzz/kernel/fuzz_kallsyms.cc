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
  SymbolTable table;
  const KallsymsResult result = decode_kallsyms(image, table);
  table.finish();
  if (result.found != result.why_not.empty()) abort();
  if (!result.found && !table.empty()) abort();
  const auto finder = KallsymsFinder::open(image);
  if (result.found != static_cast<bool>(finder)) abort();
  // One by one or from the table, a name is found at the same place. (The table is in the order of addresses,
  // the finder in that of kallsyms, which differ only in input that no kernel wrote.)
  constexpr size_t most_lookups = 64;
  for (size_t i = 0; i < table.size(); ++i) {
    const Symbol s = table.at(i);
    if (!table.find(s.name)) abort();
    if (i < most_lookups && table.find_all(s.name).size() == 1 && finder->find(s.name) != s.address) abort();
    const auto hit = table.lookup(s.address + 1);
    if (hit && hit->symbol.address > s.address + 1) abort();
  }
  return 0;
}
