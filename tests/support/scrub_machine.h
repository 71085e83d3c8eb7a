// A synthetic machine with things to erase: variables, lists, a slab cache, keys, a dm-crypt device; types
// and symbols for them in BTF and kallsyms.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "tests/support/btf_builder.h"
#include "tests/support/dump_builder.h"
#include "tests/support/kallsyms_builder.h"
#include "tests/support/page_builder.h"

namespace kdk::test {

class ScrubMachine {
 public:
  ScrubMachine();

  DumpBuilder machine;
  PageBuilder pages;
  // Places by name; what is there is said where it is made.
  std::map<std::string, VirtAddr> at;

  // Text at a place, `size` bytes of it, none of which is 'X'.
  void plant(VirtAddr place, uint64_t size);
  // Whether `size` bytes there are all `c` in `dump`.
  bool filled(const Dump& dump, VirtAddr place, uint64_t size, uint8_t c = 'X') const;
  // Whether the bytes there are as in the machine.
  bool untouched(const Dump& dump, VirtAddr place, uint64_t size) const;

  // Where hostile memory hurts: lists, trees, keys, slabs, devices. One place after the other is overwritten.
  void overwrite(Bytes bytes);

  // kmem_cache.random of the slab cache, whose free list is empty.
  static constexpr uint64_t free_list_key = 0x0123456789abcdef;
  // struct secret in the machine's BTF.
  static constexpr uint64_t id = 0, len = 4, name = 8, text = 24, blob = 32, next = 40, link = 48,
                            opaque = 64, flag = 72, size = 80;

 private:
  void build_types();
  void build_variables();
  void build_cache();
  void build_keys();
  void build_dm_crypt();
  VirtAddr variable(const std::string& symbol, uint64_t bytes);
  std::vector<uint8_t> read(const Dump& dump, VirtAddr place, uint64_t size) const;

  std::vector<std::pair<VirtAddr, uint64_t>> walked_;  // what the walks read, and how much of it
  std::vector<KallsymsSymbol> symbols_;
  BtfBuilder btf_;
};

}  // namespace kdk::test
