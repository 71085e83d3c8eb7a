// Decoding in every form that kernels have used, over tables encoded by tests/support/kallsyms_builder.
#include "core/kernel/kallsyms.h"

#include <gtest/gtest.h>

#include "tests/support/kallsyms_builder.h"

namespace kdk {
namespace {

using test::encode_kallsyms;
using test::KallsymsEncoding;
using test::KallsymsForm;
using test::KallsymsSymbol;
using test::KallsymsTables;

constexpr uint64_t text = 0xffff800008000000;
constexpr uint64_t place = 0xffff800009000000;

std::vector<KallsymsSymbol> sample() {
  return {
      {text, 'T', "_text"},
      {text + 0x10000, 'T', "_stext"},
      {text + 0x10040, 't', "do_one_initcall"},
      {text + 0x10100, 'W', "arch_weak"},
      {text + 0x20000, 'T', "sysrq_handle_crash"},
      {text + 0x30000, 'T', "_etext"},
      {text + 0x40000, 'd', "jiffies_data"},
      {text + 0x50000, 'B', "_end"},
  };
}

// The image refers to `tables`, which must outlive it.
KallsymsImage image_of(const KallsymsTables& tables, uint64_t count, std::optional<uint64_t> base) {
  KallsymsImage image;
  image.num_syms = count;
  image.names = tables.names;
  image.token_table = tables.token_table;
  image.token_index = tables.token_index;
  image.offsets = tables.offsets;
  image.offsets_address = place;
  image.relative_base = base;
  image.stext = text + 0x10000;
  return image;
}

KallsymsResult add(const std::shared_ptr<const Kallsyms>& kallsyms, const std::string& why, SymbolTable& table) {
  EXPECT_EQ(kallsyms == nullptr, !why.empty());
  if (kallsyms) return add_kallsyms(kallsyms, table);
  KallsymsResult result;
  result.why_not = why;
  return result;
}

KallsymsResult decode_kallsyms(const KallsymsImage& image, SymbolTable& table) {
  std::string why;
  const auto kallsyms = Kallsyms::open(image, why);
  return add(kallsyms, why, table);
}

KallsymsResult read_kallsyms(KernelMemory& memory, SymbolTable& table) {
  std::string why;
  const auto kallsyms = Kallsyms::open(memory, why);
  return add(kallsyms, why, table);
}

void expect_all(const std::vector<KallsymsSymbol>& symbols, const KallsymsResult& result,
                SymbolTable& table) {
  ASSERT_TRUE(result.found) << result.why_not;
  EXPECT_EQ(result.count, symbols.size());
  table.finish();
  for (const KallsymsSymbol& s : symbols) {
    auto found = table.find(s.name);
    ASSERT_TRUE(found) << s.name;
    EXPECT_EQ(found->address, s.address) << s.name;
    EXPECT_EQ(found->type, s.type) << s.name;
  }
}

// Letters without a pattern: pairs of them save little, so hundreds of tokens remain.
std::string long_name(size_t length) {
  std::string name;
  for (uint32_t x = 1; name.size() < length; x = x * 1664525 + 1013904223)
    name += static_cast<char>('a' + (x >> 16) % 26);
  return name;
}

struct Case {
  KallsymsEncoding encoding;
  const char* name;
  bool has_base;
};

TEST(Kallsyms, DecodesEveryEncodingAndLengthForm) {
  const Case cases[] = {{KallsymsEncoding::absolute, "absolute", false},
                        {KallsymsEncoding::base_relative, "base-relative", true},
                        {KallsymsEncoding::absolute_percpu, "absolute-percpu", true},
                        {KallsymsEncoding::place_relative, "place-relative", false}};
  for (const Case& c : cases) {
    for (bool two_byte : {false, true}) {
      SCOPED_TRACE(std::string(c.name) + (two_byte ? ", two-byte lengths" : ", one-byte lengths"));
      auto symbols = sample();
      if (two_byte) symbols.insert(symbols.end() - 1, {text + 0x48000, 'd', long_name(400)});
      const KallsymsTables tables = encode_kallsyms(symbols, {c.encoding, two_byte}, text, place);
      SymbolTable table;
      const KallsymsResult result = decode_kallsyms(
          image_of(tables, symbols.size(), c.has_base ? std::optional(text) : std::nullopt), table);
      expect_all(symbols, result, table);
      EXPECT_EQ(result.encoding, c.name);
      EXPECT_TRUE(result.all);
      std::string why;
      const auto packed =
          Kallsyms::open(image_of(tables, symbols.size(), c.has_base ? std::optional(text) : std::nullopt), why);
      ASSERT_TRUE(packed) << why;
      for (const KallsymsSymbol& s : symbols) EXPECT_EQ(packed->address_of(s.name), s.address) << s.name;
      // Neither a part of a name nor more than one, nor the letter of its type, is a name.
      for (const char* name : {"_stex", "_stextt", "T_stext", "stext", "", "no_such_symbol"})
        EXPECT_FALSE(packed->address_of(name)) << name;
    }
  }
}

TEST(Kallsyms, OneByteLengthsAbove127AreTriedWhenTwoByteFormFails) {
  // Every token is one character, so lengths are exact.
  KallsymsTables tables;
  tables.token_index.resize(512);
  for (unsigned c = 0; c < 256; ++c) {
    tables.token_index[c * 2] = static_cast<uint8_t>(tables.token_table.size());
    tables.token_index[c * 2 + 1] = static_cast<uint8_t>(tables.token_table.size() >> 8);
    tables.token_table.push_back(static_cast<uint8_t>(c));
    tables.token_table.push_back(0);
  }
  const std::vector<KallsymsSymbol> symbols = {{text, 'T', long_name(199)}, {text + 0x10000, 'T', "_stext"}};
  for (const KallsymsSymbol& s : symbols) {
    tables.names.push_back(static_cast<uint8_t>(s.name.size() + 1));
    tables.names.push_back(static_cast<uint8_t>(s.type));
    tables.names.insert(tables.names.end(), s.name.begin(), s.name.end());
    for (int shift = 0; shift < 32; shift += 8) {
      tables.offsets.push_back(static_cast<uint8_t>((s.address - text) >> shift));
    }
  }
  SymbolTable table;
  expect_all(symbols, decode_kallsyms(image_of(tables, symbols.size(), text), table), table);
}

TEST(Kallsyms, OfOneNameTextComesFirst) {
  std::vector<KallsymsSymbol> symbols = sample();
  symbols.insert(symbols.begin() + 2, {text + 0x10020, 'd', "twice"});
  symbols.insert(symbols.begin() + 4, {text + 0x10080, 't', "twice"});
  symbols.insert(symbols.begin() + 5, {text + 0x10090, 'T', "twice"});
  symbols.insert(symbols.begin() + 6, {text + 0x100a0, 'd', "data_twice"});
  symbols.insert(symbols.begin() + 7, {text + 0x100b0, 'd', "data_twice"});
  const KallsymsTables tables = encode_kallsyms(symbols, {}, text, place);
  std::string why;
  const auto packed = Kallsyms::open(image_of(tables, symbols.size(), text), why);
  ASSERT_TRUE(packed) << why;
  EXPECT_EQ(packed->address_of("twice"), text + 0x10080);
  EXPECT_EQ(packed->address_of("data_twice"), text + 0x100a0);
  SymbolTable table;
  add_kallsyms(packed, table);
  table.finish();
  EXPECT_EQ(table.find("twice")->address, text + 0x10080);
  EXPECT_EQ(table.find_all("twice").size(), 3u);
  KallsymsImage wrong = image_of(tables, symbols.size(), text);
  wrong.stext += 1;
  EXPECT_FALSE(Kallsyms::open(wrong, why));
}

TEST(Kallsyms, UnsortedAddressesAndNamesThatAreNoneAreNoTrap) {
  std::vector<KallsymsSymbol> symbols = sample();
  std::swap(symbols[2].address, symbols[4].address);
  KallsymsTables tables = encode_kallsyms(symbols, {}, text, place);
  // Longer than any name, in pieces that are good each.
  tables.names.insert(tables.names.end(), {0x80 | 0x58, 0x09});
  tables.names.insert(tables.names.end(), 0x4d8, tables.names[1]);
  tables.offsets.insert(tables.offsets.end(), {0, 0, 6, 0});
  SymbolTable table;
  expect_all(symbols, decode_kallsyms(image_of(tables, symbols.size() + 1, text), table), table);
  EXPECT_EQ(table.lookup(text + 0x10041)->symbol.name, "sysrq_handle_crash");
  EXPECT_EQ(table.lookup(text + 0x20001)->symbol.name, "do_one_initcall");
  EXPECT_FALSE(table.lookup(text + 0x60000));
}

TEST(Kallsyms, AbsolutePercpuValuesAreKept) {
  std::vector<KallsymsSymbol> symbols = {{0, 'A', "fixed_percpu_data"}, {0x12340, 'A', "runqueues"}};
  for (const KallsymsSymbol& s : sample()) symbols.push_back(s);
  const KallsymsTables tables =
      encode_kallsyms(symbols, {KallsymsEncoding::absolute_percpu, true}, text, place);
  SymbolTable table;
  const KallsymsResult result = decode_kallsyms(image_of(tables, symbols.size(), text), table);
  expect_all(symbols, result, table);
  // They are no addresses: the range of the kernel does not reach down to them.
  EXPECT_FALSE(table.lookup(0x12340));
  EXPECT_TRUE(table.lookup(text + 0x10040));
}

TEST(Kallsyms, TextOnlyTablesLeaveTheRestUnnamed) {
  const std::vector<KallsymsSymbol> symbols = {
      {text + 0x10000, 'T', "_stext"},    {text + 0x10040, 't', "function"},
      {text + 0x30000, 'D', "_etext"},    {text + 0x90000, 'T', "_sinittext"},
      {text + 0x90040, 't', "init_func"}, {text + 0xa0000, 'T', "_einittext"},
  };
  const KallsymsTables tables = encode_kallsyms(symbols, {}, text + 0x10000, place);
  SymbolTable table;
  const KallsymsResult result = decode_kallsyms(image_of(tables, symbols.size(), text + 0x10000), table);
  expect_all(symbols, result, table);
  EXPECT_FALSE(result.all);
  EXPECT_EQ(table.lookup(text + 0x20000)->symbol.name, "function");
  EXPECT_EQ(table.lookup(text + 0x90044)->symbol.name, "init_func");
  EXPECT_FALSE(table.lookup(text + 0x50000));
}

TEST(Kallsyms, SaysWhyItCannotDecode) {
  const auto symbols = sample();
  const KallsymsTables tables = encode_kallsyms(symbols, {}, text, place);
  const KallsymsImage good = image_of(tables, symbols.size(), text);
  auto why = [](const KallsymsImage& image) {
    SymbolTable table;
    const KallsymsResult result = decode_kallsyms(image, table);
    EXPECT_FALSE(result.found);
    EXPECT_TRUE(table.empty());
    return result.why_not;
  };
  KallsymsImage bad = good;
  bad.num_syms = 0;
  EXPECT_EQ(why(bad), "kallsyms_num_syms is 0");
  bad.num_syms = uint64_t{1} << 40;
  EXPECT_EQ(why(bad), "kallsyms_num_syms is 1099511627776");
  bad = good;
  bad.stext = 0;
  EXPECT_EQ(why(bad), "VMCOREINFO has no SYMBOL(_stext) to check the decoding with");
  bad = good;
  bad.stext += 8;
  EXPECT_EQ(why(bad), "no known encoding of addresses gives _stext the address in VMCOREINFO");
  bad = good;
  bad.offsets = bad.offsets.first(bad.offsets.size() - 4);
  EXPECT_EQ(why(bad), "the address table is too short for kallsyms_num_syms");
  bad = good;
  bad.names = bad.names.first(10);
  EXPECT_EQ(why(bad).substr(0, 5), "name ");
  bad = good;
  bad.token_index = {};
  EXPECT_EQ(why(bad), "name 0 of 8 has no type letter");
  auto renamed = sample();
  renamed[1].name = "_other";
  const KallsymsTables without = encode_kallsyms(renamed, {}, text, place);
  EXPECT_EQ(why(image_of(without, renamed.size(), text)), "no symbol _stext among the names");
}

TEST(Kallsyms, ReadsItFromADump) {
  test::DumpBuilder machine;
  const uint64_t t = machine.stext().value;
  const std::vector<KallsymsSymbol> symbols = {{t, 'T', "_stext"},
                                               {t + 0x100, 'T', "panic"},
                                               {machine.etext().value, 'D', "_etext"},
                                               {machine.image_end().value - 0x100, 'b', "a_variable"},
                                               {machine.image_end().value, 'B', "_end"}};
  for (auto encoding :
       {KallsymsEncoding::absolute, KallsymsEncoding::base_relative, KallsymsEncoding::place_relative}) {
    test::DumpBuilder copy = machine;
    test::put_kallsyms(copy, symbols, {encoding, true});
    const auto dump = copy.open();
    KernelMemory memory(*dump);
    SymbolTable table;
    expect_all(symbols, read_kallsyms(memory, table), table);
  }
  const auto dump = machine.open();
  KernelMemory memory(*dump);
  SymbolTable table;
  EXPECT_EQ(read_kallsyms(memory, table).why_not, "VMCOREINFO has no SYMBOL(kallsyms_names)");
}

TEST(Kallsyms, NamesAnUnreadablePage) {
  test::DumpBuilder machine;
  const std::vector<KallsymsSymbol> symbols = {{machine.stext().value, 'T', "_stext"}};
  test::put_kallsyms(machine, symbols);
  const auto whole = machine.open();
  const VirtAddr names{whole->vmcoreinfo().require_symbol("kallsyms_names")};
  machine.exclude(machine.pfn_of(machine.phys(names)));
  const auto dump = machine.open();
  KernelMemory memory(*dump);
  SymbolTable table;
  const KallsymsResult result = read_kallsyms(memory, table);
  EXPECT_FALSE(result.found);
  EXPECT_NE(result.why_not.find("excluded"), std::string::npos) << result.why_not;
}

}  // namespace
}  // namespace kdk
