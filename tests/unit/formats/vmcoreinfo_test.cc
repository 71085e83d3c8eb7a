#include "core/formats/vmcoreinfo.h"

#include <gtest/gtest.h>

#include "core/base/error.h"
#include "core/formats/notes.h"

namespace kdk {
namespace {

const Vmcoreinfo sample = Vmcoreinfo::parse(
    "OSRELEASE=6.12.0\n"
    "PAGESIZE=4096\n"
    "SYMBOL(_stext)=ffffd77602a10000\n"
    "SYMBOL(prefixed)=0xffff000000001000\n"
    "SIZE(page)=64\n"
    "OFFSET(page.flags)=0\n"
    "OFFSET(page.lru)=8\n"
    "LENGTH(zone.free_area)=11\n"
    "NUMBER(VA_BITS)=52\n"
    "NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)=-268435456\n"
    "NUMBER(kimage_voffset)=0xffffd775c2800000\n"
    "KERNELOFFSET=577582a00000\n"
    "CRASHTIME=1795455686\n");

TEST(Vmcoreinfo, ReadsEachKindInItsOwnBase) {
  EXPECT_EQ(sample.value("OSRELEASE"), "6.12.0");
  EXPECT_EQ(sample.symbol("_stext"), 0xffffd77602a10000);
  EXPECT_EQ(sample.symbol("prefixed"), 0xffff000000001000);
  EXPECT_EQ(sample.size("page"), 64);
  EXPECT_EQ(sample.offset("page.flags"), 0);
  EXPECT_EQ(sample.length("zone.free_area"), 11);
  EXPECT_EQ(sample.number("VA_BITS"), 52);
  EXPECT_EQ(sample.number("kimage_voffset"), 0xffffd775c2800000);
  EXPECT_EQ(sample.hex("KERNELOFFSET"), 0x577582a00000);
  EXPECT_EQ(sample.decimal("CRASHTIME"), 1795455686);
}

TEST(Vmcoreinfo, KeepsTheBitsOfNegativeNumbers) {
  EXPECT_EQ(sample.number("PAGE_BUDDY_MAPCOUNT_VALUE"), static_cast<uint64_t>(int64_t{-268435456}));
  Vmcoreinfo extreme =
      Vmcoreinfo::parse("NUMBER(low)=-9223372036854775808\nNUMBER(lower)=-9223372036854775809\n");
  EXPECT_EQ(extreme.number("low"), uint64_t{1} << 63);
  EXPECT_EQ(extreme.number("lower"), std::nullopt);
}

TEST(Vmcoreinfo, AbsentAndMalformedValuesAreNotNumbers) {
  Vmcoreinfo info =
      Vmcoreinfo::parse("SIZE(a)=\nSIZE(b)=12x\nSIZE(c)=18446744073709551616\nSYMBOL(d)=xyz\n=5\nnonsense\n");
  EXPECT_EQ(info.size("a"), std::nullopt);
  EXPECT_EQ(info.size("b"), std::nullopt);
  EXPECT_EQ(info.size("c"), std::nullopt);
  EXPECT_EQ(info.symbol("d"), std::nullopt);
  EXPECT_EQ(info.symbol("absent"), std::nullopt);
  EXPECT_EQ(info.value(""), std::nullopt);
  EXPECT_EQ(info.value("nonsense"), std::nullopt);
}

// A note that fills its page is cut there: half an address would be worse than none.
TEST(Vmcoreinfo, DropsALineThatWasCut) {
  Vmcoreinfo info = Vmcoreinfo::parse("SIZE(page)=64\nSYMBOL(_stext)=ffffd776");
  EXPECT_EQ(info.size("page"), 64);
  EXPECT_EQ(info.symbol("_stext"), std::nullopt);
}

TEST(Vmcoreinfo, LaterValueWins) {
  EXPECT_EQ(Vmcoreinfo::parse("CRASHTIME=1\nCRASHTIME=2\n").decimal("CRASHTIME"), 2);
}

TEST(Vmcoreinfo, StopsAtPadding) {
  Vmcoreinfo info = Vmcoreinfo::parse(std::string_view("A=1\n\0B=2\n", 9));
  EXPECT_EQ(info.value("A"), "1");
  EXPECT_EQ(info.value("B"), std::nullopt);
  EXPECT_EQ(info.text(), "A=1\n");
}

TEST(Vmcoreinfo, RequiredKeyThatIsAbsentIsNamed) {
  EXPECT_EQ(sample.require_symbol("_stext"), 0xffffd77602a10000);
  try {
    sample.require_number("TCR_EL1_T1SZ");
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Errc::missing);
    EXPECT_NE(e.message().find("NUMBER(TCR_EL1_T1SZ)"), std::string::npos);
  }
}

TEST(VmcoreinfoFile, IsATextOrANote) {
  const std::string text = "OSRELEASE=6.12.0\nPAGESIZE=4096\n";
  EXPECT_EQ(vmcoreinfo_text(as_bytes(text), "f"), text);
  EXPECT_EQ(vmcoreinfo_text(as_bytes(text.substr(0, text.size() - 1)), "f"), text) << "the last line counts";
  std::vector<uint8_t> note;
  append_note(note, "CORE", 1, std::vector<uint8_t>(336));
  append_note(note, "VMCOREINFO", 0, as_bytes(text));
  note.resize(8192);  // as it stands in memory
  EXPECT_EQ(vmcoreinfo_text(note, "f"), text);
}

TEST(VmcoreinfoFile, OtherThingsAreRefusedByName) {
  const auto refusal = [](std::string_view content) -> std::string {
    try {
      vmcoreinfo_text(as_bytes(content), "some.txt");
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), Errc::format);
      return e.message();
    }
    return {};
  };
  EXPECT_NE(refusal("").find("some.txt"), std::string::npos);
  EXPECT_NE(refusal("\177ELF\2\1\1").find("no OSRELEASE"), std::string::npos);
  EXPECT_NE(refusal("KEY=1\n").find("no OSRELEASE"), std::string::npos);
  EXPECT_NE(refusal("11e0000 1024\n").find("only the address"), std::string::npos);
}

}  // namespace
}  // namespace kdk
