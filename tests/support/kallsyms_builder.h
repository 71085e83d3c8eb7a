// Places kallsyms tables in a synthetic machine, in every form the kernel has had since v4.6, with VMCOREINFO
// keys.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/support/dump_builder.h"

namespace kdk::test {

struct KallsymsSymbol {
  uint64_t address = 0;
  char type = 'T';
  std::string name;
};

enum class KallsymsEncoding : uint8_t { absolute, base_relative, absolute_percpu, place_relative };

struct KallsymsForm {
  KallsymsEncoding encoding = KallsymsEncoding::base_relative;
  bool two_byte_lengths = true;  // lengths of 128 and more take two bytes (v6.1 and later)
};

// The five tables as bytes, for Kallsyms::open(). `base`: relative base; `place`: address of the offsets
// table. Symbols must be sorted by address. Frequent character pairs become tokens, so decoding needs the
// token tables.
struct KallsymsTables {
  std::vector<uint8_t> names, token_table, token_index, offsets;
};
KallsymsTables encode_kallsyms(const std::vector<KallsymsSymbol>& symbols, const KallsymsForm& form,
                               uint64_t base, uint64_t place);

// Encodes, places them in the image's data and sets SYMBOL(kallsyms_*). _stext must be among `symbols` at
// machine.stext() for readers that recognise the form by it.
void put_kallsyms(DumpBuilder& machine, const std::vector<KallsymsSymbol>& symbols,
                  const KallsymsForm& form = {});

}  // namespace kdk::test
