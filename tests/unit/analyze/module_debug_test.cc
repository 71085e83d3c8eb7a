// Debug files of modules: a relocatable fixture compiled with debug information is "loaded" into a synthetic
// kernel, section by section, and found, checked, relocated and read.
#include "analyze/symbols/module_debug.h"

#include <elf.h>
#include <gtest/gtest.h>
#include <lzma.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>

#include "core/base/file.h"
#include "core/kernel/module_sections.h"
#include "tests/support/btf_builder.h"
#include "tests/support/dump_builder.h"
#include "tests/unit/analyze/elf_builder.h"

namespace kdk {
namespace {

using test::BtfBuilder;
using test::DumpBuilder;

// How the kernel keeps the sections' addresses: since v6.14, v5.8 to v6.13, before.
enum class Form { bin_attributes, section_attributes, named_entries, none };

constexpr uint64_t sect_attrs = 8, attrs_at = 48;  // offsets in struct module and struct module_sect_attrs

std::filesystem::path fixture(const std::string& name) {
  return std::filesystem::path(KDK_FIXTURE_DIR) / name;
}

std::vector<uint8_t> xz(Bytes data) {
  std::vector<uint8_t> out(lzma_stream_buffer_bound(data.size()));
  size_t size = 0;
  EXPECT_EQ(lzma_easy_buffer_encode(1, LZMA_CHECK_CRC32, nullptr, data.data(), data.size(), out.data(), &size,
                                    out.size()),
            LZMA_OK);
  out.resize(size);
  return out;
}

std::vector<uint8_t> zstd(Bytes data) {
  std::vector<uint8_t> out(ZSTD_compressBound(data.size()));
  out.resize(ZSTD_compress(out.data(), out.size(), data.data(), data.size(), 3));
  return out;
}

std::vector<uint8_t> gzip(Bytes data) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::vector<uint8_t> out(deflateBound(&stream, data.size()));
  stream.next_in = const_cast<uint8_t*>(data.data());
  stream.avail_in = static_cast<uInt>(data.size());
  stream.next_out = out.data();
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  out.resize(out.size() - stream.avail_out);
  deflateEnd(&stream);
  return out;
}

std::vector<uint8_t> build_types(Form form) {
  BtfBuilder b;
  const uint32_t u32 = b.integer("unsigned int", 4), u64 = b.integer("unsigned long", 8);
  const uint32_t attribute = b.structure("attribute", 16, {{"name", u64, 0}, {"mode", u32, 64}});
  const uint32_t binary = b.structure("bin_attribute", 40, {{"attr", attribute, 0}, {"private", u64, 192}});
  const uint32_t group = b.structure("attribute_group", 40, {{"name", u64, 0}, {"bin_attrs", u64, 256}});
  b.structure("module", 64, {{"state", u32, 0}, {"sect_attrs", u64, sect_attrs * 8}});
  std::vector<BtfBuilder::Member> members = {{"grp", group, 0}};
  uint32_t entry = binary;
  if (form == Form::section_attributes) {
    entry = b.structure("module_sect_attr", 48, {{"battr", binary, 0}, {"address", u64, 320}});
  } else if (form == Form::named_entries) {
    entry = b.structure("module_sect_attr", 48, {{"name", u64, 64}, {"address", u64, 320}});
  }
  if (form != Form::bin_attributes) members.push_back({"nsections", u32, 320});
  members.push_back({"attrs", b.array(entry, 0), attrs_at * 8});
  b.structure("module_sect_attrs", attrs_at, members);
  return b.bytes();
}

class ModuleDebugTest : public testing::Test {
 protected:
  ModuleDebugTest()
      : directory(std::filesystem::path(testing::TempDir()) / ("kdk-module-" + std::to_string(getpid()))),
        root(directory / "root"),
        file(fixture("module_fixture.ko")) {
    std::filesystem::create_directories(root);
  }
  ~ModuleDebugTest() override { std::filesystem::remove_all(directory); }

  // Loads the fixture's sections in a dump of its own architecture.
  void load(Form form, bool with_symbols = true) {
    const bool x86 = file.machine() == EM_X86_64;
    machine = std::make_unique<DumpBuilder>(
        x86 ? test::MachineOptions{.x86_64 = test::X86_64Options{}} : test::MachineOptions{});
    machine->put(machine->image_alloc(8192), build_types(form));
    const std::vector<VmlinuxFile::Part> parts = file.parts();
    const uint64_t area = machine->module_area().value;
    addresses.assign(parts.size(), 0);
    module.ranges = {{area, parts.size() * 0x1000, "text"}};
    const VirtAddr table = machine->alloc(attrs_at + parts.size() * 48);
    const VirtAddr pointers = machine->alloc((parts.size() + 1) * 8);
    const VirtAddr names = machine->alloc(parts.size() * 64);
    const uint64_t stride = form == Form::bin_attributes ? 40 : 48;
    uint64_t count = 0;
    for (size_t i = 0; i < parts.size(); ++i) {
      if (!parts[i].allocated || parts[i].size == 0) continue;
      addresses[i] = area + i * 0x1000;
      if (form == Form::none) continue;
      const VirtAddr entry = table + attrs_at + count * stride, name = names + count * 64;
      machine->put_text(name, std::string(parts[i].name) + '\0');
      machine->put_u64(entry + (form == Form::named_entries ? 8 : 0), name.value);
      machine->put_u64(entry + (form == Form::bin_attributes ? 24 : 40), addresses[i]);
      machine->put_u64(pointers + count * 8, entry.value);
      ++count;
    }
    machine->put_u64(table + 32, pointers.value);
    if (form != Form::bin_attributes) machine->put_u32(table + 40, static_cast<uint32_t>(count));
    const VirtAddr at = machine->alloc(64);
    if (form != Form::none) machine->put_u64(at + sect_attrs, table.value);
    module.name = "module_fixture";
    module.address = at.value;
    module.build_id = file.build_id();
    dump = machine->open();
    kernel = std::make_unique<Kernel>(*dump);
    if (!with_symbols) return;
    kernel->symbols().add_range(area, area + parts.size() * 0x1000, module.name);
    file.for_each_symbol([&](const VmlinuxFile::Symbol& symbol) {
      if (symbol.section < addresses.size() && addresses[symbol.section] != 0) {
        const uint64_t move = symbol.name == moved ? 16 : 0;
        kernel->symbols().add(addresses[symbol.section] + symbol.address + move, symbol.size, symbol.type,
                              symbol.name, module.name);
      }
      return true;
    });
    kernel->symbols().finish();
  }

  uint64_t address_of(std::string_view name) {
    const VmlinuxFile::Symbol symbol = *file.find_symbol(name);
    return addresses[symbol.section] + symbol.address;
  }

  // The inlined functions of outer() are found at one of its instructions; else what was found of the module.
  ModuleDebugFacts ask(bool* found = nullptr, std::vector<std::filesystem::path> dirs = {}) {
    ModuleList list;
    list.modules = {module};
    ModuleDebug debug(*kernel, list, {.debug_dirs = std::move(dirs), .root = root});
    EXPECT_FALSE(debug.source(module.ranges[0].base - 1));
    EXPECT_TRUE(debug.facts().empty());
    const uint64_t begin = address_of("outer"), size = file.find_symbol("outer")->size;
    bool inlined = false;
    for (uint64_t address = begin; address < begin + size; ++address) {
      const std::optional<SourceInfo> source = debug.source(address);
      if (!source || source->inlines.size() != 2 || source->inlines[0].line != 5) continue;
      inlined = true;
      EXPECT_EQ(source->inlines[0].function, "innermost");
      EXPECT_EQ(source->inlines[1].function, "middle");
      EXPECT_EQ(source->line, 13u);
      EXPECT_TRUE(source->file.ends_with("dwarf_fixture.c")) << source->file;
    }
    if (inlined) {
      // Another section, another address.
      const std::optional<SourceInfo> plain = debug.source(address_of("plain"));
      EXPECT_TRUE(plain && plain->line >= 17 && plain->line <= 19) << (plain ? plain->line : 0);
      EXPECT_NE(debug.file(begin), nullptr);
    }
    if (found) *found = inlined;
    EXPECT_EQ(debug.facts().size(), 1u);
    return debug.facts().at(0);
  }
  bool found_in(std::vector<std::filesystem::path> dirs = {}) {
    bool found = false;
    ask(&found, std::move(dirs));
    return found;
  }

  void place(const std::filesystem::path& path, std::vector<uint8_t> bytes) {
    std::filesystem::create_directories((root / path).parent_path());
    test::write_bytes(root / path, bytes);
  }
  void place(const std::filesystem::path& path, const std::string& name = "module_fixture.ko") {
    place(path, read_file(fixture(name)));
  }

  std::filesystem::path directory, root;
  VmlinuxFile file;
  std::string_view moved;  // a symbol that the dump has elsewhere
  std::unique_ptr<DumpBuilder> machine;
  std::unique_ptr<Dump> dump;
  std::unique_ptr<Kernel> kernel;
  Module module;
  std::vector<uint64_t> addresses;
};

TEST_F(ModuleDebugTest, SectionsAreWhereTheKernelPutThem) {
  place("usr/lib/debug/lib/modules/6.12.0-synthetic/kernel/module_fixture.ko");
  for (Form form : {Form::bin_attributes, Form::section_attributes, Form::named_entries}) {
    load(form, false);
    bool found = false;
    const ModuleDebugFacts facts = ask(&found);
    EXPECT_TRUE(found) << static_cast<int>(form);
    EXPECT_EQ(facts.match, "build-id");
    EXPECT_EQ(facts.build_id, file.build_id());
    EXPECT_TRUE(facts.refused.empty());
    EXPECT_TRUE(facts.path.ends_with("/kernel/module_fixture.ko"));
    EXPECT_EQ(read_module_sections(*kernel, module).size(),
              static_cast<size_t>(std::ranges::count_if(addresses, [](uint64_t a) { return a != 0; })));
  }
}

TEST_F(ModuleDebugTest, SymbolsTellWhatTheKernelDoesNotKeep) {
  place("usr/lib/debug/lib/modules/6.12.0-synthetic/kernel/module_fixture.ko");
  load(Form::none);
  EXPECT_TRUE(found_in());
  load(Form::none, false);
  const ModuleDebugFacts facts = ask();
  ASSERT_EQ(facts.refused.size(), 1u);
  EXPECT_NE(facts.refused[0].find("where the sections of module_fixture are is not known"), std::string::npos)
      << facts.refused[0];
}

TEST_F(ModuleDebugTest, EveryLayout) {
  load(Form::section_attributes);
  const std::string id = file.build_id();
  const std::string by_id = ".build-id/" + id.substr(0, 2) + "/" + id.substr(2) + ".debug";
  EXPECT_FALSE(found_in({root / "dir"}));
  for (const char* path :
       {"usr/lib/debug/lib/modules/6.12.0-synthetic/kernel/a/b/module-fixture.ko",     // Debian
        "usr/lib/debug/lib/modules/6.12.0-synthetic/kernel/a/module-fixture.ko.debug",  // Fedora
        "usr/lib/debug/usr/lib/modules/6.12.0-synthetic/kernel/module_fixture.ko.debug",  // SUSE
        "usr/lib/debug/BY-ID", "lib/modules/6.12.0-synthetic/updates/module_fixture.ko", "dir/module_fixture.ko",
        "dir/module-fixture.ko", "dir/BY-ID", "dir/usr/lib/debug/BY-ID",
        "dir/usr/lib/debug/lib/modules/6.12.0-synthetic/extra/module_fixture.ko",
        "dir/lib/modules/6.12.0-synthetic/kernel/module_fixture.ko", "dir/kernel/fs/module_fixture.ko"}) {
    std::string where = path;
    if (size_t at = where.find("BY-ID"); at != std::string::npos) where = where.substr(0, at) + by_id;
    place(where);
    EXPECT_TRUE(found_in({root / "dir"})) << path;
    std::filesystem::remove(root / where);
  }
  // Of another release, of another name, of another kind of file.
  place("usr/lib/debug/lib/modules/6.12.1/kernel/module_fixture.ko");
  place("dir/module_fixture2.ko");
  place("dir/module_fixture.ko.sig");
  EXPECT_FALSE(found_in({root / "dir"}));
}

TEST_F(ModuleDebugTest, PackedFilesAndPackedSections) {
  load(Form::section_attributes);
  const std::vector<uint8_t> plain = read_file(fixture("module_fixture.ko"));
  place("dir/module_fixture.ko.xz", xz(plain));
  EXPECT_TRUE(found_in({root / "dir"}));
  std::filesystem::remove_all(root / "dir");
  place("dir/module_fixture.ko.debug.zst", zstd(plain));
  EXPECT_TRUE(found_in({root / "dir"}));
  std::filesystem::remove_all(root / "dir");
  std::vector<uint8_t> cut = gzip(plain);
  place("dir/module_fixture.ko.gz", cut);
  EXPECT_TRUE(found_in({root / "dir"}));
  cut.resize(cut.size() / 2);
  place("dir/module_fixture.ko.gz", cut);
  EXPECT_FALSE(found_in({root / "dir"}));
  std::filesystem::remove_all(root / "dir");
  place("dir/module_fixture.ko", "module_fixture_z.ko");
  ASSERT_LT(std::filesystem::file_size(fixture("module_fixture_z.ko")), plain.size());
  EXPECT_TRUE(found_in({root / "dir"}));
}

TEST_F(ModuleDebugTest, OtherBuildsAreRefused) {
  place("dir/module_fixture.ko");
  load(Form::section_attributes);
  module.build_id = "00112233445566778899aabbccddeeff00112233";
  ModuleDebugFacts facts = ask(nullptr, {root / "dir"});
  ASSERT_EQ(facts.refused.size(), 1u);
  EXPECT_NE(facts.refused[0].find("of another build: its build-id is " + file.build_id()), std::string::npos)
      << facts.refused[0];
  EXPECT_TRUE(facts.path.empty());
  // Nothing to compare but the functions.
  module.build_id.clear();
  facts = ask(nullptr, {root / "dir"});
  EXPECT_EQ(facts.match, "symbols");
  moved = "plain";
  load(Form::section_attributes);
  module.build_id.clear();
  facts = ask(nullptr, {root / "dir"});
  ASSERT_EQ(facts.refused.size(), 1u);
  EXPECT_NE(facts.refused[0].find("cannot tell whether this is the module of the dump"), std::string::npos);
}

TEST_F(ModuleDebugTest, WhatIsNoDebugFileOfAModule) {
  load(Form::section_attributes);
  place("dir/module_fixture.ko", std::vector<uint8_t>{'n', 'o'});
  place("dir/lib/modules/6.12.0-synthetic/module_fixture.ko", "dwarf5_fixture");           // not relocatable
  place("dir/usr/lib/modules/6.12.0-synthetic/module_fixture.ko", "module_fixture_s.ko");  // stripped
  bool found = true;
  ModuleDebugFacts facts = ask(&found, {root / "dir"});
  EXPECT_FALSE(found);
  EXPECT_EQ(facts.refused.size(), 3u);
  // None of them keeps the right one from being found.
  place("usr/lib/debug/lib/modules/6.12.0-synthetic/module_fixture.ko");
  facts = ask(&found, {root / "dir"});
  EXPECT_TRUE(found);
  EXPECT_EQ(facts.refused.size(), 3u);
}

// Damage must cost lines, not the program.
TEST_F(ModuleDebugTest, DamageAnywhere) {
  load(Form::section_attributes);
  const std::vector<uint8_t> whole = read_file(fixture("module_fixture.ko"));
  ModuleList list;
  list.modules = {module};
  std::filesystem::create_directories(root / "dir");
  for (uint8_t fill : {uint8_t{0}, uint8_t{0xff}, uint8_t{0x81}}) {
    for (size_t at = 64; at < whole.size(); at += 128) {
      std::vector<uint8_t> damaged = whole;
      std::fill(damaged.begin() + static_cast<ptrdiff_t>(at),
                damaged.begin() + static_cast<ptrdiff_t>(std::min(at + 48, whole.size())), fill);
      test::write_bytes(root / "dir" / "module_fixture.ko", damaged);
      ModuleDebug debug(*kernel, list, {.debug_dirs = {root / "dir"}, .root = root});
      debug.source(address_of("outer"));
    }
  }
}

TEST(ModuleNames, OfFiles) {
  EXPECT_EQ(module_of_file_name("snd-hda-intel.ko.debug"), "snd_hda_intel");
  EXPECT_EQ(module_of_file_name("ext4.ko.zst"), "ext4");
  EXPECT_EQ(module_of_file_name("ext4.ko"), "ext4");
  for (const char* name : {"ext4.kobject", "ext4.ko.sig", "ext4", ".ko", "vmlinux"}) {
    EXPECT_FALSE(module_of_file_name(name)) << name;
  }
}

}  // namespace
}  // namespace kdk
