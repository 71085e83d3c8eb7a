#include "analyze/symbols/debug_info.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>

#include "analyze/symbols/find.h"
#include "analyze/symbols/vmlinux.h"
#include "tests/support/btf_builder.h"
#include "tests/support/dump_builder.h"
#include "tests/unit/analyze/elf_builder.h"

namespace kdk {
namespace {

using test::DumpBuilder;
using test::ElfBuilder;

constexpr std::string_view id = "00112233445566778899aabbccddeeff00112233";
constexpr std::string_view other_id = "ffeeddccbbaa99887766554433221100ffeeddcc";
constexpr std::string_view banner = "Linux version 6.12.0-synthetic (builder@host) #1 SMP";

class DebugInfoTest : public testing::Test {
 protected:
  void SetUp() override {
    directory = std::filesystem::path(testing::TempDir()) / ("kdk-debug-info-" + std::to_string(getpid()));
    std::filesystem::create_directories(directory);
  }
  void TearDown() override { std::filesystem::remove_all(directory); }

  Kernel& kernel() {
    if (!opened) {
      dump = machine.open();
      opened = std::make_unique<Kernel>(*dump);
    }
    return *opened;
  }
  uint64_t link(VirtAddr address) const { return address.value - machine.options().kaslr; }

  // A vmlinux of this machine, with the build-id note, banner and a few symbols.
  ElfBuilder vmlinux(std::string_view build_id, std::string_view banner_text = banner) {
    ElfBuilder elf;
    uint16_t text = elf.section(
        {.name = ".text", .flags = 6, .address = link(machine.stext()), .bytes = std::vector<uint8_t>(64)});
    std::string line = std::string(banner_text) + "\n" + '\0';
    uint16_t rodata = elf.section(
        {.name = ".rodata", .flags = 2, .address = link(banner_at), .bytes = {line.begin(), line.end()}});
    uint16_t data = elf.section({.name = ".data",
                                 .flags = 3,
                                 .address = link(machine.etext()) + 0x8000,
                                 .bytes = std::vector<uint8_t>(64)});
    if (!build_id.empty()) elf.build_id(build_id, link(notes_at));
    elf.symbol("_stext", link(machine.stext()), 0, 0x10, text);
    elf.symbol("do_work", link(machine.stext()) + 0x10, 0x20, 0x12, text);
    elf.symbol("$x", link(machine.stext()) + 0x14, 0, 0, text);
    elf.symbol("counter", link(machine.etext()) + 0x8000, 8, 0x11, data);
    elf.symbol("linux_banner", link(banner_at), line.size(), 0x11, rodata);
    elf.symbol("CONSTANT", 42, 0, 0x10, 0xfff1);
    return elf;
  }
  std::unique_ptr<DebugInfo> open(const ElfBuilder& elf) {
    std::filesystem::path path = directory / "vmlinux";
    test::write_bytes(path, elf.bytes());
    return DebugInfo::open(path);
  }
  std::string refusal(const ElfBuilder& elf) {
    try {
      open(elf)->require_match(kernel());
    } catch (const Error& e) {
      return e.message();
    }
    return "accepted";
  }

  DumpBuilder machine;
  VirtAddr notes_at = machine.image_alloc(64), banner_at = machine.image_alloc(256);
  std::filesystem::path directory;
  std::unique_ptr<Dump> dump;
  std::unique_ptr<Kernel> opened;
};

TEST_F(DebugInfoTest, MatchesByBuildId) {
  std::unique_ptr<DebugInfo> info = open(vmlinux(id));
  EXPECT_EQ(info->build_id(), id);
  EXPECT_EQ(info->banner(), banner);
  EXPECT_FALSE(info->has_dwarf());
  EXPECT_EQ(info->require_match(kernel()), "build-id");
  EXPECT_EQ(info->kaslr_offset(), machine.options().kaslr);
}

TEST_F(DebugInfoTest, AnotherBuildIsRefusedNamingBothIds) {
  std::string message = refusal(vmlinux(other_id));
  EXPECT_NE(message.find(id), std::string::npos) << message;
  EXPECT_NE(message.find(other_id), std::string::npos) << message;
  EXPECT_NE(message.find("vmlinux: this vmlinux is of another build"), std::string::npos) << message;
}

// Some stable releases print garbage as BUILD-ID; the note in the image's memory is the kernel's own.
TEST_F(DebugInfoTest, AGarbageIdInVmcoreinfoIsOverruledByTheImagesNote) {
  machine.put(notes_at, test::elf_note("GNU", 3, test::bytes_of_hex(other_id)));
  EXPECT_EQ(open(vmlinux(other_id))->require_match(kernel()), "build-id");
}

TEST_F(DebugInfoTest, WithoutAnIdTheBannerDecides) {
  machine.erase("BUILD-ID");
  machine.put_text(banner_at, std::string(banner) + "\n");
  EXPECT_EQ(open(vmlinux(id))->require_match(kernel()), "banner");
  std::string message = refusal(vmlinux("", "Linux version 6.12.0-other"));
  EXPECT_NE(message.find("6.12.0-other"), std::string::npos) << message;
  EXPECT_NE(message.find("6.12.0-synthetic"), std::string::npos) << message;
}

TEST_F(DebugInfoTest, NothingToCompareIsRefused) {
  machine.erase("BUILD-ID");
  EXPECT_NE(refusal(vmlinux("")).find("cannot tell"), std::string::npos);
}

TEST_F(DebugInfoTest, AnotherMachineIsRefused) {
  ElfBuilder elf(62);
  elf.build_id(id, 0x1000);
  EXPECT_NE(refusal(elf).find("ELF machine 62"), std::string::npos);
}

TEST_F(DebugInfoTest, KaslrOffsetsThatContradictAreRefused) {
  machine.set("KERNELOFFSET", "200000");
  EXPECT_NE(refusal(vmlinux(id)).find("_stext is at"), std::string::npos);
}

TEST_F(DebugInfoTest, SymbolsAreAddedAtRunTimeAddresses) {
  std::unique_ptr<DebugInfo> info = open(vmlinux(id));
  info->require_match(kernel());
  EXPECT_EQ(info->add_symbols(kernel()), 4u);  // without $x and the constant
  std::optional<SymbolHit> hit = kernel().symbols().lookup(machine.stext().value + 0x18);
  ASSERT_TRUE(hit);
  EXPECT_EQ(hit->symbol.name, "do_work");
  EXPECT_TRUE(hit->symbol.text());
  EXPECT_EQ(kernel().symbol("counter"), machine.etext() + 0x8000);
  EXPECT_FALSE(kernel().symbols().find("$x"));
  EXPECT_FALSE(kernel().symbols().find("CONSTANT"));
}

TEST_F(DebugInfoTest, TypesComeFromItsBtf) {
  test::BtfBuilder btf;
  uint32_t u64 = btf.integer("u64", 8);
  btf.structure("widget", 24, {{"first", u64, 0}, {"second", u64, 128}});
  ElfBuilder elf = vmlinux(id);
  elf.section({.name = ".BTF", .flags = 2, .bytes = btf.bytes()});
  std::unique_ptr<DebugInfo> info = open(elf);
  info->require_match(kernel());
  EXPECT_FALSE(kernel().layout().offset("widget", "second"));
  std::string why;
  EXPECT_TRUE(info->add_types(kernel(), &why)) << why;
  EXPECT_EQ(kernel().layout().offset("widget", "second"), 16u);
}

TEST_F(DebugInfoTest, DamagedBtfIsASentence) {
  ElfBuilder elf = vmlinux(id);
  elf.section({.name = ".BTF", .flags = 2, .bytes = {0x9f, 0xeb, 1, 0, 24, 0, 0, 0}});
  std::unique_ptr<DebugInfo> info = open(elf);
  std::string why;
  EXPECT_FALSE(info->add_types(kernel(), &why));
  EXPECT_NE(why.find(".BTF: "), std::string::npos) << why;
}

TEST_F(DebugInfoTest, WithoutDwarfThereAreNoLines) {
  std::unique_ptr<DebugInfo> info = open(vmlinux(id));
  EXPECT_FALSE(info->source(machine.stext().value));
}

TEST_F(DebugInfoTest, FilesThatAreNoVmlinux) {
  auto error_of = [&](std::string_view content) {
    std::filesystem::path path = directory / "bad";
    test::write_bytes(path, as_bytes(content));
    try {
      DebugInfo::open(path);
    } catch (const Error& e) {
      EXPECT_EQ(e.message().find(path.string()), 0u) << e.message();
      return e.code();
    }
    ADD_FAILURE() << "opened";
    return Errc::io;
  };
  EXPECT_EQ(error_of(""), Errc::format);
  EXPECT_EQ(error_of("hello, world, this is a text file"), Errc::format);
  EXPECT_EQ(error_of(std::string("\x7f"
                                 "ELF\x01\x01\x01",
                                 7) +
                     std::string(200, '\0')),
            Errc::unsupported);
  EXPECT_THROW(DebugInfo::open(directory / "absent"), Error);
  EXPECT_THROW(DebugInfo::open(directory), Error);
}

// Cut anywhere, a file is refused or answers less, never more.
TEST_F(DebugInfoTest, TruncatedAtAnyByte) {
  std::vector<uint8_t> whole = vmlinux(id).bytes();
  std::filesystem::path path = directory / "cut";
  for (size_t size = 0; size < whole.size(); size += size < 200 ? 1 : 13) {
    test::write_bytes(path, Bytes(whole).first(size));
    try {
      std::unique_ptr<DebugInfo> info = DebugInfo::open(path);
      info->require_match(kernel());
      info->banner();
    } catch (const Error&) {
    }
  }
}

TEST_F(DebugInfoTest, SearchFindsByIdAndByRelease) {
  ElfBuilder right = vmlinux(id), wrong = vmlinux(other_id);
  right.section({.name = ".debug_info", .bytes = {1, 2, 3}});
  std::filesystem::path debug = directory / "usr/lib/debug";
  std::filesystem::path by_id = debug / ".build-id/00" / (std::string(id.substr(2)) + ".debug");
  std::filesystem::path by_release = debug / "boot/vmlinux-6.12.0-synthetic";
  for (const std::filesystem::path& path : {by_id, by_release})
    std::filesystem::create_directories(path.parent_path());

  test::write_bytes(by_release, right.bytes());
  FoundDebugInfo found = find_debug_info(kernel(), {.root = directory});
  ASSERT_TRUE(found.info);
  EXPECT_EQ(found.info->path(), by_release);
  EXPECT_EQ(found.match, "build-id");
  EXPECT_EQ(found.tried.front(), by_id.string());

  test::write_bytes(by_id, right.bytes());
  test::write_bytes(by_release, wrong.bytes());
  found = find_debug_info(kernel(), {.root = directory});
  ASSERT_TRUE(found.info);
  EXPECT_EQ(found.info->path(), by_id);

  std::filesystem::remove(by_id);
  found = find_debug_info(kernel(), {.root = directory});
  EXPECT_FALSE(found.info);
  ASSERT_EQ(found.problems.size(), 1u);
  EXPECT_NE(found.problems[0].find("another build"), std::string::npos);
}

TEST_F(DebugInfoTest, SearchPrefersAFileWithDwarf) {
  ElfBuilder stripped = vmlinux(id), full = vmlinux(id);
  full.section({.name = ".debug_info", .bytes = {1, 2, 3}});
  std::filesystem::create_directories(directory / "boot");
  std::filesystem::create_directories(directory / "lib/modules/6.12.0-synthetic");
  test::write_bytes(directory / "lib/modules/6.12.0-synthetic/vmlinux", stripped.bytes());
  FoundDebugInfo found = find_debug_info(kernel(), {.root = directory});
  ASSERT_TRUE(found.info);
  EXPECT_FALSE(found.info->has_dwarf());
  test::write_bytes(directory / "boot/vmlinux-6.12.0-synthetic", full.bytes());
  found = find_debug_info(kernel(), {.root = directory});
  ASSERT_TRUE(found.info);
  EXPECT_TRUE(found.info->has_dwarf());
}

// Of a stripped vmlinux the DWARF is in another file; what only the first has (banner, BTF) stays its own.
TEST_F(DebugInfoTest, ASeparateDebugFileCompletesAStrippedVmlinux) {
  const std::string name = "vmlinux-6.12.0-synthetic", link = "vmlinux-dbg.debug";
  ElfBuilder stripped = vmlinux(id), separate = vmlinux(id), other = vmlinux(other_id);
  std::vector<uint8_t> link_bytes(link.begin(), link.end());
  link_bytes.resize(24);  // padding and a checksum
  stripped.section({.name = ".gnu_debuglink", .bytes = link_bytes});
  separate.section({.name = ".debug_info", .bytes = {1, 2, 3}});
  other.section({.name = ".debug_info", .bytes = {1, 2, 3}});
  std::filesystem::create_directories(directory / "boot/.debug");
  test::write_bytes(directory / "boot" / name, stripped.bytes());
  const std::filesystem::path given = directory / "boot" / name;
  for (const std::filesystem::path& path :
       {directory / "boot" / link, directory / "boot/.debug" / link, directory / "dir" / link,
        directory / "usr/lib/debug" / (directory / "boot").relative_path() / link,
        directory / "usr/lib/debug/.build-id/00" / (std::string(id.substr(2)) + ".debug")}) {
    std::filesystem::create_directories(path.parent_path());
    test::write_bytes(path, separate.bytes());
    for (bool by_search : {true, false}) {
      DebugSearch search = {.debug_dirs = {directory / "dir"}, .root = directory};
      if (!by_search) search.vmlinux = given;
      FoundDebugInfo found = find_debug_info(kernel(), search);
      ASSERT_TRUE(found.info) << path;
      EXPECT_TRUE(found.info->has_dwarf()) << path;
      EXPECT_EQ(found.info->dwarf_file().path(), path);
      if (!by_search) {
        EXPECT_EQ(found.info->path(), given);
        EXPECT_EQ(found.tried.back(), path.string());
      }
    }
    test::write_bytes(path, other.bytes());
    FoundDebugInfo found =
        find_debug_info(kernel(), {.vmlinux = given, .debug_dirs = {directory / "dir"}, .root = directory});
    ASSERT_TRUE(found.info);
    EXPECT_FALSE(found.info->has_dwarf());
    ASSERT_EQ(found.problems.size(), 1u) << path;
    EXPECT_NE(found.problems[0].find(other_id), std::string::npos);
    std::filesystem::remove(path);
  }
}

TEST_F(DebugInfoTest, AGivenVmlinuxIsTakenOrRefusedNeverReplaced) {
  std::filesystem::create_directories(directory / "boot");
  test::write_bytes(directory / "boot/vmlinux-6.12.0-synthetic", vmlinux(id).bytes());
  test::write_bytes(directory / "mine", vmlinux(other_id).bytes());
  EXPECT_THROW(find_debug_info(kernel(), {.vmlinux = directory / "mine", .root = directory}), Error);
  EXPECT_THROW(find_debug_info(kernel(), {.vmlinux = directory / "absent", .root = directory}), Error);
}

// A directory as a server: the client library takes file:// addresses, too.
TEST_F(DebugInfoTest, DebuginfodIsAskedLastAndOnlyOnRequest) {
  const std::filesystem::path server = directory / "server/buildid" / id;
  std::filesystem::create_directories(server);
  std::filesystem::create_directories(directory / "boot");
  setenv("DEBUGINFOD_URLS", ("file://" + (directory / "server").string()).c_str(), 1);
  setenv("DEBUGINFOD_CACHE_PATH", (directory / "cache").c_str(), 1);
  auto served = [&](const ElfBuilder& elf) {
    std::filesystem::remove_all(directory / "cache");
    test::write_bytes(server / "debuginfo", elf.bytes());
  };
  auto search = [&](bool ask) { return find_debug_info(kernel(), {.debuginfod = ask, .root = directory}); };
  ElfBuilder full = vmlinux(id);
  full.section({.name = ".debug_info", .bytes = {1, 2, 3}});
  served(full);
  FoundDebugInfo found = search(false);
  EXPECT_FALSE(found.info);
  EXPECT_FALSE(std::filesystem::exists(directory / "cache"));
  found = search(true);
  ASSERT_TRUE(found.info) << (found.problems.empty() ? "" : found.problems[0]);
  EXPECT_EQ(found.match, "build-id");
  EXPECT_TRUE(found.info->has_dwarf());
  EXPECT_EQ(found.tried.back(), "debuginfod: build-id " + std::string(id));

  // What a server gives is believed no more than a file that was found.
  served(vmlinux(other_id));
  found = search(true);
  EXPECT_FALSE(found.info);
  ASSERT_EQ(found.problems.size(), 1u);
  EXPECT_NE(found.problems[0].find("another build"), std::string::npos) << found.problems[0];

  // It completes a stripped file, and is not asked where a whole one is.
  served(full);
  test::write_bytes(directory / "boot/vmlinux-6.12.0-synthetic", vmlinux(id).bytes());
  found = search(true);
  ASSERT_TRUE(found.info);
  EXPECT_EQ(found.info->path(), directory / "boot/vmlinux-6.12.0-synthetic");
  EXPECT_TRUE(found.info->has_dwarf());
  std::filesystem::remove_all(directory / "cache");
  test::write_bytes(directory / "boot/vmlinux-6.12.0-synthetic", full.bytes());
  found = search(true);
  ASSERT_TRUE(found.info);
  EXPECT_FALSE(std::filesystem::exists(directory / "cache"));
  std::filesystem::remove(directory / "boot/vmlinux-6.12.0-synthetic");

  std::filesystem::remove_all(server);
  std::filesystem::remove_all(directory / "cache");
  found = search(true);
  EXPECT_FALSE(found.info);
  ASSERT_EQ(found.problems.size(), 1u);
  EXPECT_NE(found.problems[0].find(id), std::string::npos) << found.problems[0];
  unsetenv("DEBUGINFOD_URLS");
  found = search(true);
  ASSERT_EQ(found.problems.size(), 1u);
  EXPECT_NE(found.problems[0].find("DEBUGINFOD_URLS is not set"), std::string::npos);
}

TEST(DebugCandidates, ReleasesCannotLeadElsewhere) {
  for (std::string release : {"../../etc", "..", "", "a/b"}) {
    for (const auto& path : debug_candidates({.debug_dirs = {"/d"}}, "", release)) {
      EXPECT_TRUE(path == "/d/vmlinux" || path == "/d/vmlinux.debug") << path;
    }
  }
  EXPECT_FALSE(debug_candidates({}, std::string(id), "6.1").empty());
}

}  // namespace
}  // namespace kdk
