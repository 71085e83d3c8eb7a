#include "core/diagnose/orc.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/diagnose/orc_rows.h"

namespace kdk {
namespace {

using test::all_orc_formats;
using test::orc_call;
using test::orc_end;
using test::orc_regs;
using Rules = std::vector<std::pair<uint64_t, OrcRule>>;

constexpr uint64_t ip_address = 0xffffffff82c00000, text = 0xffffffff81000000;

bool same(const OrcRule& a, const OrcRule& b) {
  return a.type == b.type && a.sp_reg == b.sp_reg && a.bp_reg == b.bp_reg && a.sp_offset == b.sp_offset &&
         a.bp_offset == b.bp_offset && a.signal == b.signal;
}

// What a kernel's table looks like: starts with the end of the stack, then calls, with entry code far behind.
Rules kernel_rules(size_t calls) {
  Rules rules = {{text, orc_end()}};
  for (size_t i = 0; i < calls; ++i) {
    const auto offset = static_cast<int16_t>(8 + i % 64 * 8);
    rules.emplace_back(text + 0x40 + i * 16, orc_call(OrcReg::sp, offset, OrcReg::prev_sp, -16));
  }
  rules.emplace_back(text + 0x40 + calls * 16, orc_regs());
  rules.emplace_back(text + 0x50 + calls * 16, OrcRule{});
  return rules;
}

OrcSections sections_of(const test::OrcBytes& bytes, Bytes header = {}) {
  return {ip_address, bytes.ips, bytes.rows, header};
}

TEST(Orc, EveryRuleInEveryFormat) {
  for (OrcFormat format : all_orc_formats) {
    std::vector<OrcRule> rules = {
        OrcRule{},
        orc_end(),
        orc_call(OrcReg::sp, 8),
        orc_call(OrcReg::sp, -8, OrcReg::prev_sp, -16),
        orc_call(OrcReg::bp, 16, OrcReg::bp, 0),
        orc_call(OrcReg::bp_indirect, -8, OrcReg::prev_sp, -24),
        orc_call(OrcReg::sp_indirect, 8),
        orc_call(OrcReg::r10, 0, OrcReg::bp, 0),
        orc_call(OrcReg::r13, 0),
        orc_call(OrcReg::di, 0),
        orc_call(OrcReg::dx, 0),
        orc_regs(OrcType::regs, OrcReg::sp, 0x7ff0),
        orc_regs(OrcType::regs_partial, OrcReg::sp_indirect, 8),
    };
    if (format == OrcFormat::v4) rules.push_back(orc_call(OrcReg::ax, 0));
    // From v2 on registers need not be those of an interrupt.
    if (format != OrcFormat::v1) {
      rules.push_back(orc_regs());
      rules.back().signal = false;
    }
    for (const OrcRule& rule : rules) {
      const std::optional<OrcRule> read = decode_orc_row(test::orc_row(rule, format), format);
      ASSERT_TRUE(read);
      EXPECT_TRUE(same(*read, rule)) << "format " << static_cast<int>(format) << " type "
                                     << static_cast<int>(rule.type) << " sp "
                                     << static_cast<int>(rule.sp_reg);
    }
  }
}

TEST(Orc, RowsThatNoKernelWrites) {
  auto row = [](unsigned flags) {
    return std::vector<uint8_t>{8, 0, 0, 0, static_cast<uint8_t>(flags), static_cast<uint8_t>(flags >> 8)};
  };
  EXPECT_TRUE(decode_orc_row(row(0x205), OrcFormat::v3));
  EXPECT_FALSE(decode_orc_row(row(0x205 | 0x1000), OrcFormat::v3)) << "an unused bit";
  EXPECT_FALSE(decode_orc_row(row(0x20e), OrcFormat::v3)) << "sp from no register";
  EXPECT_FALSE(decode_orc_row(row(0x201), OrcFormat::v3)) << "sp from the caller's sp";
  EXPECT_FALSE(decode_orc_row(row(0x255), OrcFormat::v3)) << "bp from sp";
  EXPECT_FALSE(decode_orc_row(row(0x505), OrcFormat::v3)) << "an unknown type";
  EXPECT_FALSE(decode_orc_row(row(0x200), OrcFormat::v3)) << "a call from nowhere";
  EXPECT_FALSE(decode_orc_row(row(0x305), OrcFormat::v1)) << "an unknown type";
  EXPECT_FALSE(decode_orc_row(row(0x405), OrcFormat::v1)) << "an end that has a caller";
  EXPECT_FALSE(decode_orc_row(row(0x400), OrcFormat::v2)) << "an interrupted nothing";
  EXPECT_FALSE(decode_orc_row({}, OrcFormat::v3));
}

TEST(Orc, FormatByHeader) {
  for (OrcFormat format : {OrcFormat::v2, OrcFormat::v3, OrcFormat::v4}) {
    EXPECT_EQ(orc_format_of_header(test::orc_header(format)), format);
  }
  std::vector<uint8_t> unknown = test::orc_header(OrcFormat::v3);
  unknown[19] ^= 1;
  EXPECT_FALSE(orc_format_of_header(unknown));
  EXPECT_FALSE(orc_format_of_header({}));
  EXPECT_FALSE(orc_format_of_header(Bytes(unknown).first(19)));
}

TEST(Orc, FormatByItsRows) {
  for (OrcFormat format : all_orc_formats) {
    for (size_t calls : {10, 5000}) {
      const test::OrcBytes bytes = test::orc_table(kernel_rules(calls), format, ip_address);
      std::string why;
      const auto table = OrcTable::from_sections(sections_of(bytes), &why);
      ASSERT_TRUE(table) << why;
      EXPECT_EQ(table->format(), format) << calls;
      EXPECT_EQ(table->count(), calls + 3);
    }
  }
}

TEST(Orc, TheFirstFormatMarkedNoEnd) {
  Rules rules = kernel_rules(2000);
  rules.erase(rules.begin());
  const test::OrcBytes bytes = test::orc_table(rules, OrcFormat::v1, ip_address);
  const auto table = OrcTable::from_sections(sections_of(bytes));
  ASSERT_TRUE(table);
  EXPECT_EQ(table->format(), OrcFormat::v1);
}

TEST(Orc, RowsReadOnlyUntilTheyDecide) {
  const test::OrcBytes bytes = test::orc_table(kernel_rules(50000), OrcFormat::v1, ip_address);
  uint64_t most = 0;
  auto read = [&](uint64_t address, MutableBytes out) {
    most = std::max(most, address + out.size());
    std::copy_n(bytes.rows.begin() + static_cast<ptrdiff_t>(address), out.size(), out.begin());
    return true;
  };
  EXPECT_EQ(orc_format_of_rows({0, 0, 50003}, read), OrcFormat::v1);
  EXPECT_LE(most, uint64_t{2} * 4096 * 4);
  auto unreadable = [](uint64_t, MutableBytes) { return false; };
  EXPECT_FALSE(orc_format_of_rows({0, 0, 50003}, unreadable));
}

TEST(Orc, SectionsThatAreNone) {
  const test::OrcBytes good = test::orc_table(kernel_rules(10), OrcFormat::v3, ip_address);
  auto why_not = [](const OrcSections& sections) {
    std::string why;
    EXPECT_FALSE(OrcTable::from_sections(sections, &why));
    return why;
  };
  test::OrcBytes bytes = good;
  bytes.rows.pop_back();
  EXPECT_NE(why_not(sections_of(bytes)).find("do not fit together"), std::string::npos);
  EXPECT_NE(why_not({}).find("do not fit together"), std::string::npos);
  bytes = good;
  std::fill(bytes.rows.begin(), bytes.rows.end(), 0xff);
  EXPECT_NE(why_not(sections_of(bytes)).find("no known format"), std::string::npos);
  const std::vector<uint8_t> header(20, 0x55);
  EXPECT_NE(why_not(sections_of(good, header)).find("hash"), std::string::npos);
}

TEST(Orc, FindsTheRowThatBeginsBelow) {
  const Rules rules = {{text, orc_call(OrcReg::sp, 8)},
                       {text + 0x10, orc_call(OrcReg::sp, 16)},
                       {text + 0x20, OrcRule{}},  // ends a unit where the next one begins
                       {text + 0x20, orc_call(OrcReg::sp, 24)},
                       {text + 0x30, OrcRule{}}};
  auto check = [](const OrcTable& table) {
    EXPECT_FALSE(table.find(text - 1));
    EXPECT_EQ(table.find(text)->sp_offset, 8);
    EXPECT_EQ(table.find(text + 0xf)->sp_offset, 8);
    EXPECT_EQ(table.find(text + 0x10)->sp_offset, 16);
    EXPECT_EQ(table.find(text + 0x20)->sp_offset, 24);
    EXPECT_EQ(table.find(text + 0x2f)->sp_offset, 24);
    EXPECT_EQ(table.find(text + 0x30)->type, OrcType::undefined);
  };
  const std::vector<uint8_t> header = test::orc_header(OrcFormat::v3);
  const test::OrcBytes sorted = test::orc_table(rules, OrcFormat::v3, ip_address);
  check(*OrcTable::from_sections(sections_of(sorted, header)));
  // As the linker leaves them.
  Rules shuffled = {rules[3], rules[0], rules[4], rules[2], rules[1]};
  const test::OrcBytes unsorted = test::orc_table(shuffled, OrcFormat::v3, ip_address);
  check(*OrcTable::from_sections(sections_of(unsorted, header)));
}

TEST(Orc, RowsThatCannotBeRead) {
  const test::OrcBytes bytes = test::orc_table(kernel_rules(100), OrcFormat::v3, ip_address);
  OrcTable::Location location{0, 0x10000, 103};
  auto only_words = [&](uint64_t address, MutableBytes out) {
    if (address >= 0x10000) return false;
    std::copy_n(bytes.ips.begin() + static_cast<ptrdiff_t>(address), out.size(), out.begin());
    return true;
  };
  EXPECT_FALSE(OrcTable(location, OrcFormat::v3, only_words).find(text));
  EXPECT_FALSE(OrcTable(location, OrcFormat::v3, [](uint64_t, MutableBytes) { return false; }).find(text));
}

}  // namespace
}  // namespace kdk
