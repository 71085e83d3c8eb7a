// A unit of a compiled fixture by itself, and those that must not be read so.
#include "analyze/symbols/lone_unit.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>

#include "analyze/symbols/aranges.h"
#include "core/base/file.h"
#include "tests/unit/analyze/elf_builder.h"

namespace kdk {
namespace {

std::filesystem::path fixture(std::string_view name) {
  return std::filesystem::path(KDK_FIXTURE_DIR) / name;
}

std::vector<uint64_t> units_of(const VmlinuxFile& file) {
  std::vector<uint64_t> units;
  for (const UnitRange& range : read_aranges(file.section(".debug_aranges"))) units.push_back(range.unit);
  std::ranges::sort(units);
  units.erase(std::unique(units.begin(), units.end()), units.end());
  return units;
}

// Names of the functions that a unit defines.
std::vector<std::string> functions(Dwarf* dwarf) {
  std::vector<std::string> names;
  Dwarf_CU* cu = nullptr;
  Dwarf_Die root, child;
  while (dwarf_get_units(dwarf, cu, &cu, nullptr, nullptr, &root, nullptr) == 0) {
    if (dwarf_child(&root, &child) != 0) continue;
    do {
      if (dwarf_tag(&child) == DW_TAG_subprogram && dwarf_hasattr(&child, DW_AT_low_pc))
        names.emplace_back(dwarf_diename(&child));
    } while (dwarf_siblingof(&child, &child) == 0);
  }
  return names;
}

TEST(LoneUnit, HoldsItsOwnFunctionsOnly) {
  for (std::string_view name : {"dwarf4_fixture", "dwarf5_fixture"}) {
    VmlinuxFile file(fixture(name));
    const std::vector<uint64_t> units = units_of(file);
    ASSERT_EQ(units.size(), 2u) << name;
    const auto first = LoneUnit::open(file, units[0], nullptr),
               second = LoneUnit::open(file, units[1], nullptr);
    ASSERT_TRUE(first && second) << name;
    EXPECT_EQ(functions(second->dwarf()), std::vector<std::string>{"neighbour"}) << name;
    const std::vector<std::string> of_first = functions(first->dwarf());
    EXPECT_EQ(std::ranges::count(of_first, "outer"), 1) << name;
    EXPECT_EQ(std::ranges::count(of_first, "neighbour"), 0) << name;
  }
}

TEST(LoneUnit, NotOutOfPackedSections) {
  VmlinuxFile plain(fixture("dwarf5_fixture")), packed(fixture("zlib_fixture"));
  EXPECT_EQ(LoneUnit::open(packed, units_of(plain)[0], nullptr), nullptr);
}

TEST(LoneUnit, NotAnywhereElse) {
  VmlinuxFile file(fixture("dwarf5_fixture"));
  const uint64_t size = file.section(".debug_info").size();
  for (uint64_t offset : {uint64_t{1}, size - 4, size - 1, size, ~uint64_t{0}, ~uint64_t{0} - 3}) {
    EXPECT_EQ(LoneUnit::open(file, offset, nullptr), nullptr) << offset;
  }
}

// As link-time optimisation writes them: types of one unit in another.
TEST(LoneUnit, NotWhenItRefersToOthers) {
  const std::vector<uint8_t> whole = read_file(fixture("dwarf5_fixture"));
  VmlinuxFile file(fixture("dwarf5_fixture"));
  const uint64_t unit = units_of(file)[0];
  ASSERT_TRUE(LoneUnit::open(file, unit, nullptr));
  // The first pair of the first abbreviation, (name, form) after code, tag and children: all of them one byte
  // long.
  const Bytes table = file.section(".debug_abbrev");
  const auto at = static_cast<size_t>(std::search(whole.begin(), whole.end(), table.begin(), table.end()) -
                                      whole.begin());
  ASSERT_LT(at, whole.size());
  const std::filesystem::path path =
      std::filesystem::path(testing::TempDir()) / ("kdk-lone-unit-" + std::to_string(getpid()));
  for (uint8_t form : {uint8_t{DW_FORM_ref_addr}, uint8_t{DW_FORM_ref_sig8}, uint8_t{DW_FORM_indirect}}) {
    std::vector<uint8_t> changed = whole;
    changed[at + 4] = form;
    test::write_bytes(path, changed);
    EXPECT_EQ(LoneUnit::open(VmlinuxFile(path), unit, nullptr), nullptr) << int{form};
  }
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace kdk
