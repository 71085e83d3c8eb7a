// Lines and inlines of a compiled fixture: in DWARF 4 and 5, of gcc and clang (which writes no
// .debug_aranges), with sections packed with zlib and zstd, packed as a whole, and with what dwz took out of
// it in another file.
#include "analyze/symbols/dwarf.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "core/base/file.h"
#include "tests/unit/analyze/elf_builder.h"

namespace kdk {
namespace {

class Dwarf : public testing::TestWithParam<std::string> {
 protected:
  std::filesystem::path fixture() const { return std::filesystem::path(KDK_FIXTURE_DIR) / GetParam(); }
};

TEST_P(Dwarf, InlinesAreInnermostFirst) {
  VmlinuxFile file(fixture());
  std::unique_ptr<DwarfReader> dwarf = DwarfReader::open(file);
  ASSERT_TRUE(dwarf);
  std::optional<VmlinuxFile::Symbol> outer = file.find_symbol("outer");
  ASSERT_TRUE(outer);
  // One of its instructions is the store of line 5.
  bool found = false;
  for (uint64_t address = outer->address; address < outer->address + outer->size && !found; ++address) {
    std::optional<SourceInfo> info = dwarf->source(address);
    ASSERT_TRUE(info);
    if (info->inlines.size() != 2 || info->inlines[0].line != 5) continue;
    found = true;
    EXPECT_EQ(info->inlines[0].function, "innermost");
    EXPECT_EQ(info->inlines[1].function, "middle");
    EXPECT_EQ(info->inlines[1].line, 9u);
    EXPECT_EQ(info->line, 13u);
    for (const std::string& name : {info->inlines[0].file, info->inlines[1].file, info->file}) {
      EXPECT_TRUE(name.ends_with("dwarf_fixture.c")) << name;
    }
  }
  EXPECT_TRUE(found);
}

TEST_P(Dwarf, PlainFunctionsHaveALine) {
  VmlinuxFile file(fixture());
  std::unique_ptr<DwarfReader> dwarf = DwarfReader::open(file);
  ASSERT_TRUE(dwarf);
  std::optional<VmlinuxFile::Symbol> plain = file.find_symbol("plain");
  ASSERT_TRUE(plain && plain->size > 0);
  std::optional<SourceInfo> info = dwarf->source(plain->address + plain->size - 1);
  ASSERT_TRUE(info);
  EXPECT_TRUE(info->line == 18 || info->line == 19) << info->line;
  EXPECT_TRUE(info->inlines.empty());
}

// Of a unit that is not the file's first. It shares the tables of names and abbreviations with the other.
TEST_P(Dwarf, EveryUnitIsFound) {
  VmlinuxFile file(fixture());
  std::unique_ptr<DwarfReader> dwarf = DwarfReader::open(file);
  ASSERT_TRUE(dwarf);
  std::optional<VmlinuxFile::Symbol> neighbour = file.find_symbol("neighbour"), plain = file.find_symbol("plain");
  ASSERT_TRUE(neighbour && plain);
  for (int again = 0; again < 2; ++again) {
    std::optional<SourceInfo> info = dwarf->source(neighbour->address + neighbour->size - 1);
    ASSERT_TRUE(info);
    EXPECT_TRUE(info->file.ends_with("dwarf_fixture_neighbour.c")) << info->file;
    EXPECT_TRUE(info->line == 3 || info->line == 4) << info->line;
    info = dwarf->source(plain->address);
    ASSERT_TRUE(info);
    EXPECT_TRUE(info->file.ends_with("dwarf_fixture.c")) << info->file;
  }
}

TEST_P(Dwarf, AddressesNoUnitCovers) {
  VmlinuxFile file(fixture());
  std::unique_ptr<DwarfReader> dwarf = DwarfReader::open(file);
  for (uint64_t address : {uint64_t{0}, uint64_t{1}, ~uint64_t{0}, uint64_t{0xffff800080000000}}) {
    EXPECT_FALSE(dwarf->source(address));
  }
}

// Damage must cost lines, not the program: every 64-byte block of the file overwritten in turn, coarsely.
TEST_P(Dwarf, DamageAnywhere) {
  std::vector<uint8_t> whole = read_file(fixture());
  std::filesystem::path path =
      std::filesystem::path(testing::TempDir()) / ("kdk-dwarf-" + std::to_string(getpid()) + GetParam());
  uint64_t address = VmlinuxFile(fixture()).find_symbol("outer")->address;
  for (uint8_t fill : {uint8_t{0}, uint8_t{0xff}, uint8_t{0x81}}) {
    for (size_t at = 64; at < whole.size(); at += 448) {
      std::vector<uint8_t> damaged = whole;
      for (size_t i = at; i < std::min(at + 64, whole.size()); ++i) damaged[i] = fill;
      test::write_bytes(path, damaged);
      try {
        VmlinuxFile file(path);
        if (std::unique_ptr<DwarfReader> dwarf = DwarfReader::open(file)) dwarf->source(address);
      } catch (const Error&) {
      }
    }
  }
  std::filesystem::remove(path);
}

std::vector<std::string> fixtures() {
  std::vector<std::string> names;
  std::string_view rest = KDK_FIXTURES;
  while (!rest.empty()) {
    names.emplace_back(rest.substr(0, rest.find(' ')));
    rest.remove_prefix(std::min(rest.size(), names.back().size() + 1));
  }
  return names;
}

INSTANTIATE_TEST_SUITE_P(Fixtures, Dwarf, testing::ValuesIn(fixtures()));

// Without the file that dwz made there are lines, and a sentence that names it.
TEST(DwarfSupplement, MissingIsSaid) {
  if (std::string_view(KDK_FIXTURES).find("dwz_fixture") == std::string_view::npos)
    GTEST_SKIP() << "no dwz here";
  const std::filesystem::path directory =
      std::filesystem::path(testing::TempDir()) / ("kdk-dwz-" + std::to_string(getpid()));
  std::filesystem::create_directories(directory / "debug/.dwz");
  std::filesystem::copy_file(std::filesystem::path(KDK_FIXTURE_DIR) / "dwz_fixture", directory / "alone");
  VmlinuxFile file(directory / "alone");
  std::string problem;
  std::unique_ptr<DwarfReader> dwarf = DwarfReader::open(file, {directory / "debug"}, &problem);
  ASSERT_TRUE(dwarf);
  EXPECT_NE(problem.find("dwz_common"), std::string::npos) << problem;
  const VmlinuxFile::Symbol plain = *file.find_symbol("plain");
  EXPECT_TRUE(dwarf->source(plain.address + plain.size - 1));
  // By name in a directory of debug files; the build-id must be the one asked for.
  const std::filesystem::path supplement = directory / "debug/.dwz/dwz_common";
  std::filesystem::copy_file(std::filesystem::path(KDK_FIXTURE_DIR) / "dwarf5_fixture", supplement);
  problem.clear();
  DwarfReader::open(file, {directory / "debug"}, &problem);
  EXPECT_FALSE(problem.empty());
  std::filesystem::copy_file(std::filesystem::path(KDK_FIXTURE_DIR) / "dwz_common", supplement,
                             std::filesystem::copy_options::overwrite_existing);
  problem.clear();
  DwarfReader::open(file, {directory / "debug"}, &problem);
  EXPECT_EQ(problem, "");
  std::filesystem::remove_all(directory);
}

}  // namespace
}  // namespace kdk
