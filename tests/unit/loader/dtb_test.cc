#include "loader/plan/dtb.h"

#include <gtest/gtest.h>
#include <libfdt.h>

#include "core/base/error.h"
#include "tests/support/fake_machine.h"

namespace kdk {
namespace {

using testing::FakeTree;

DtbRequest request() {
  DtbRequest r;
  r.elfcorehdr = {0x7abf0000, 0x10000};
  r.usable_memory = {{0x6ac00000, 0x10000000}};
  r.initrd = Range{0x6ce40000, 0x12345};
  r.command_line = "console=ttyAMA0 panic=10";
  r.seeds.kaslr.fill(0x11);
  r.seeds.rng.fill(0x22);
  return r;
}

// A property of /chosen as the finished tree holds it, read by libfdt; nullopt when absent.
std::optional<std::vector<uint8_t>> chosen_property(const std::vector<uint8_t>& tree, const char* name) {
  int length = 0;
  int node = fdt_path_offset(tree.data(), "/chosen");
  const auto* data = static_cast<const uint8_t*>(fdt_getprop(tree.data(), node, name, &length));
  if (data == nullptr) return std::nullopt;
  return std::vector<uint8_t>(data, data + length);
}

bool has_edit(const EditedDtb& dtb, std::string_view action, std::string_view target) {
  for (const DtbEdit& edit : dtb.edits) {
    if (edit.action == action && edit.target == target) return true;
  }
  return false;
}

TEST(Dtb, WritesWhatTheCrashKernelReads) {
  EditedDtb dtb = edit_dtb(FakeTree::booted().bytes(), request());
  ASSERT_EQ(fdt_check_full(dtb.bytes.data(), dtb.bytes.size()), 0);
  EXPECT_EQ(chosen_property(dtb.bytes, "linux,elfcorehdr"),
            (std::vector<uint8_t>{0, 0, 0, 0, 0x7a, 0xbf, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0}));
  EXPECT_EQ(chosen_property(dtb.bytes, "linux,usable-memory-range"),
            (std::vector<uint8_t>{0, 0, 0, 0, 0x6a, 0xc0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0}));
  EXPECT_EQ(chosen_property(dtb.bytes, "linux,initrd-start"),
            (std::vector<uint8_t>{0, 0, 0, 0, 0x6c, 0xe4, 0, 0}));
  EXPECT_EQ(chosen_property(dtb.bytes, "linux,initrd-end"),
            (std::vector<uint8_t>{0, 0, 0, 0, 0x6c, 0xe5, 0x23, 0x45}));
  std::vector<uint8_t> bootargs = chosen_property(dtb.bytes, "bootargs").value();
  EXPECT_EQ(as_text(bootargs), std::string_view("console=ttyAMA0 panic=10\0", 25));
  EXPECT_EQ(chosen_property(dtb.bytes, "kaslr-seed"), std::vector<uint8_t>(8, 0x11));
  EXPECT_EQ(chosen_property(dtb.bytes, "rng-seed"), std::vector<uint8_t>(128, 0x22));
  EXPECT_EQ(chosen_property(dtb.bytes, "linux,booted-from-kexec"), std::vector<uint8_t>{});
  // What was there before and must stay.
  EXPECT_TRUE(chosen_property(dtb.bytes, "stdout-path"));
  EXPECT_TRUE(chosen_property(dtb.bytes, "linux,uefi-system-table"));
  EXPECT_TRUE(has_edit(dtb, "keep", "/chosen/linux,uefi-system-table"));
  EXPECT_GE(fdt_path_offset(dtb.bytes.data(), "/memory@40000000"), 0);
}

TEST(Dtb, LowRegionComesSecond) {
  DtbRequest r = request();
  r.usable_memory = {{0x840000000, 0x20000000}, {0xb8000000, 0x8000000}};
  EditedDtb dtb = edit_dtb(FakeTree::booted().bytes(), r);
  EXPECT_EQ(chosen_property(dtb.bytes, "linux,usable-memory-range"),
            (std::vector<uint8_t>{0, 0, 0, 8, 0x40, 0, 0, 0, 0, 0, 0, 0, 0x20, 0, 0, 0,
                                  0, 0, 0, 0, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0x08, 0, 0, 0}));
}

TEST(Dtb, RemovesWhatAnEarlierKexecLeft) {
  FakeTree tree = FakeTree::booted();
  for (const char* name : {"linux,elfcorehdr", "linux,usable-memory-range", "linux,ima-kexec-buffer",
                           "linux,kho-fdt", "linux,kho-scratch", "rng-seed"}) {
    tree.chosen_properties[name] = std::vector<uint8_t>(16, 0x33);
  }
  tree.reservations.push_back({0x70000000, 0x10000});  // inside the crash region
  tree.reservations.push_back({0x50000000, 0});        // filled in below: the old tree itself
  tree.reservations.back().second = tree.bytes().size();
  DtbRequest r = request();
  r.initrd.reset();
  EditedDtb dtb = edit_dtb(tree.bytes(), r);
  for (const char* name : {"linux,ima-kexec-buffer", "linux,kho-fdt", "linux,kho-scratch",
                           "linux,initrd-start", "linux,initrd-end"}) {
    EXPECT_FALSE(chosen_property(dtb.bytes, name)) << name;
    EXPECT_TRUE(has_edit(dtb, "delete", std::string("/chosen/") + name)) << name;
  }
  EXPECT_NE(chosen_property(dtb.bytes, "linux,elfcorehdr"), std::vector<uint8_t>(16, 0x33));
  // The old initrd, the old tree and the leftover are gone; the firmware's own reservation stays, ours is
  // added.
  std::vector<Range> expected = {{0x80000, 0x1000}, {0x7abf0000, 0x10000}};
  std::vector<Range> found = read_chosen(dtb.bytes).reservations;
  std::sort(found.begin(), found.end());
  EXPECT_EQ(found, expected);
}

TEST(Dtb, ReadsBackItsOwnWork) {
  for (unsigned cells : {1u, 2u}) {
    FakeTree tree = FakeTree::booted();
    tree.cells = cells;
    ChosenNode chosen = read_chosen(edit_dtb(tree.bytes(), request()).bytes);
    EXPECT_EQ(chosen.elfcorehdr, request().elfcorehdr);
    EXPECT_EQ(chosen.usable_memory, request().usable_memory);
    EXPECT_EQ(chosen.initrd, request().initrd);
    EXPECT_EQ(chosen.bootargs, request().command_line);
    EXPECT_TRUE(chosen.has_seeds);
  }
}

TEST(Dtb, ChosenIsMadeWhenAbsent) {
  FakeTree tree;
  tree.chosen = false;
  EXPECT_EQ(read_chosen(edit_dtb(tree.bytes(), request()).bytes).bootargs, request().command_line);
}

TEST(Dtb, AddressesThatDoNotFitOneCellAreRefused) {
  FakeTree tree = FakeTree::booted();
  tree.cells = 1;
  DtbRequest r = request();
  r.usable_memory = {{0x840000000, 0x20000000}};
  EXPECT_THROW(edit_dtb(tree.bytes(), r), Error);
  tree.cells = 3;
  EXPECT_THROW(edit_dtb(tree.bytes(), request()), Error);
}

TEST(Dtb, ResultOverTwoMegabytesIsRefused) {
  FakeTree tree = FakeTree::booted();
  tree.padding = 2 << 20;
  EXPECT_THROW(edit_dtb(tree.bytes(), request()), Error);
  tree.padding = (2 << 20) - 8192;
  EXPECT_NO_THROW(edit_dtb(tree.bytes(), request()));
}

TEST(Dtb, TruncatedOrDamagedTrees) {
  std::vector<uint8_t> good = FakeTree::booted().bytes();
  for (size_t size = 0; size < good.size(); ++size) {
    std::vector<uint8_t> cut(good.begin(), good.begin() + static_cast<ptrdiff_t>(size));
    EXPECT_THROW(edit_dtb(cut, request()), Error) << size;
  }
  FakeTree odd = FakeTree::booted();
  odd.chosen_properties["linux,initrd-start"] = {1, 2, 3};
  EXPECT_THROW(edit_dtb(odd.bytes(), request()), Error);
  good[23] = 15;  // the version's last byte: libfdt's own check follows a null pointer there
  EXPECT_THROW(edit_dtb(good, request()), Error);
}

TEST(Dtb, FlattensTheDirectoryForm) {
  testing::TempDir dir;
  auto text = [&](std::string_view path, std::string_view content) {
    testing::write_test_file(dir.path() / path, as_bytes(content));
  };
  text("#address-cells", std::string_view("\0\0\0\2", 4));
  text("#size-cells", std::string_view("\0\0\0\2", 4));
  text("name", std::string_view("\0", 1));
  text("chosen/stdout-path", std::string_view("/u\0", 3));
  text("soc/uart@1/compatible", std::string_view("arm,pl011\0", 10));
  text("empty-marker", "");
  std::filesystem::create_directory_symlink(dir.path(), dir.path() / "soc/loop");
  std::vector<uint8_t> tree = flatten_device_tree(dir.path());
  ASSERT_EQ(fdt_check_full(tree.data(), tree.size()), 0);
  int uart = fdt_path_offset(tree.data(), "/soc/uart@1");
  ASSERT_GE(uart, 0);
  EXPECT_STREQ(static_cast<const char*>(fdt_getprop(tree.data(), uart, "compatible", nullptr)), "arm,pl011");
  int length = -1;
  EXPECT_NE(fdt_getprop(tree.data(), 0, "empty-marker", &length), nullptr);
  EXPECT_EQ(length, 0);
  EXPECT_EQ(fdt_getprop(tree.data(), 0, "name", nullptr), nullptr);
  EXPECT_LT(fdt_path_offset(tree.data(), "/soc/loop"), 0);
  EXPECT_EQ(read_chosen(edit_dtb(tree, request()).bytes).elfcorehdr, request().elfcorehdr);
}

}  // namespace
}  // namespace kdk
