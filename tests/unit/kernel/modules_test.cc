// The module list of both layouts, and their symbols, over a synthetic machine whose types are in its BTF.
#include "core/kernel/modules.h"

#include <gtest/gtest.h>

#include "tests/support/btf_builder.h"
#include "tests/support/dump_builder.h"

namespace kdk {
namespace {

using test::BtfBuilder;
using test::DumpBuilder;

enum class Form { memory_types, layouts };  // v6.4 and later; v4.5 to v6.3

// Offsets in the struct module that build_types() describes.
constexpr uint64_t state = 0, list = 8, name = 24, version = 80, srcversion = 88, taints = 96, kallsyms = 104,
                   core_kallsyms = 112, notes_attrs = 144, build_id = 152, memory = 176, mkobj = 400,
                   module_bytes = 512;

std::vector<uint8_t> build_types(Form form, bool with_build_id) {
  BtfBuilder b;
  const uint32_t u32 = b.integer("unsigned int", 4), u64 = b.integer("unsigned long", 8),
                 c = b.integer("char", 1);
  const uint32_t node = b.structure("list_head", 16, {{"next", u64, 0}, {"prev", u64, 64}});
  const uint32_t symbols =
      b.structure("mod_kallsyms", 32,
                  {{"symtab", u64, 0}, {"num_symtab", u32, 64}, {"strtab", u64, 128}, {"typetab", u64, 192}});
  std::vector<BtfBuilder::Member> members = {{"state", u32, state * 8},
                                             {"list", node, list * 8},
                                             {"name", b.array(c, 56), name * 8},
                                             {"version", u64, version * 8},
                                             {"srcversion", u64, srcversion * 8},
                                             {"taints", u64, taints * 8},
                                             {"kallsyms", u64, kallsyms * 8},
                                             {"core_kallsyms", symbols, core_kallsyms * 8},
                                             {"notes_attrs", u64, notes_attrs * 8}};
  members.push_back(
      {"mkobj", b.structure("module_kobject", 16, {{"kobj", u64, 0}, {"mod", u64, 64}}), mkobj * 8});
  if (with_build_id) members.push_back({"build_id", b.array(c, 20), build_id * 8});
  if (form == Form::memory_types) {
    const uint32_t entry = b.structure("module_memory", 24, {{"base", u64, 0}, {"size", u32, 64}});
    members.push_back({"mem", b.array(entry, 7), memory * 8});
  } else {
    const uint32_t layout = b.structure("module_layout", 32,
                                        {{"base", u64, 0},
                                         {"size", u32, 64},
                                         {"text_size", u32, 96},
                                         {"ro_size", u32, 128},
                                         {"ro_after_init_size", u32, 160}});
    members.push_back({"core_layout", layout, memory * 8});
    members.push_back({"init_layout", layout, (memory + 32) * 8});
  }
  b.structure("module", module_bytes, members);
  const uint32_t attribute = b.structure("bin_attribute", 32, {{"size", u64, 64}, {"private", u64, 128}});
  b.structure("module_notes_attrs", 16, {{"notes", u32, 64}, {"attrs", b.array(attribute, 0), 128}});
  return b.bytes();
}

class ModuleMachine {
 public:
  explicit ModuleMachine(Form form, bool with_build_id = true) : form_(form) {
    machine.put(machine.image_alloc(8192), build_types(form, with_build_id));
    head = machine.image_alloc(16);
    machine.symbol("modules", head);
    next_base_ = machine.module_area().value;
  }

  VirtAddr add(std::string_view module_name) {
    const VirtAddr m = machine.alloc(module_bytes);
    machine.put_text(m + name, module_name);
    machine.put_u64(m + mkobj + 8, m.value);
    base_[m.value] = next_base_;
    if (form_ == Form::memory_types) {
      for (uint64_t i = 0; i < 4; ++i) {  // text, data, rodata, ro_after_init
        machine.put_u64(m + memory + i * 24, next_base_ + i * 0x1000);
        machine.put_u32(m + memory + i * 24 + 8, 0x1000);
      }
    } else {
      machine.put_u64(m + memory, next_base_);
      machine.put_u32(m + memory + 8, 0x4000);
      machine.put_u32(m + memory + 12, 0x1000);
      machine.put_u32(m + memory + 16, 0x2000);
      machine.put_u32(m + memory + 20, 0x3000);
    }
    next_base_ += 0x10000;
    nodes_.push_back(m + list);
    machine.put_list(head, nodes_);
    return m;
  }
  uint64_t base(VirtAddr module) const { return base_.at(module.value); }

  struct Entry {
    uint64_t value = 0;
    std::string name;
    char type = 't';
    uint16_t section = 1;
  };
  // A symbol table at `table` (struct mod_kallsyms).
  void put_symbols(VirtAddr table, const std::vector<Entry>& entries) {
    const VirtAddr symtab = machine.alloc(entries.size() * 24), types = machine.alloc(entries.size());
    const VirtAddr strings = machine.alloc(512);
    uint64_t at = 1;
    for (size_t i = 0; i < entries.size(); ++i) {
      machine.put_u32(symtab + i * 24, static_cast<uint32_t>(entries[i].name.empty() ? 0 : at));
      machine.put_u16(symtab + i * 24 + 6, entries[i].section);
      machine.put_u64(symtab + i * 24 + 8, entries[i].value);
      machine.put_u64(symtab + i * 24 + 16, 0x20);
      machine.put_u8(types + i, static_cast<uint8_t>(entries[i].type));
      machine.put_text(strings + at, entries[i].name);
      at += entries[i].name.size() + 1;
    }
    machine.put_u64(table, symtab.value);
    machine.put_u32(table + 8, static_cast<uint32_t>(entries.size()));
    machine.put_u64(table + 16, strings.value);
    machine.put_u64(table + 24, types.value);
  }

  DumpBuilder machine;
  VirtAddr head;

 private:
  Form form_;
  uint64_t next_base_ = 0;
  std::vector<VirtAddr> nodes_;
  std::map<uint64_t, uint64_t> base_;
};

TEST(Modules, ReadsTheListOfBothForms) {
  for (Form form : {Form::memory_types, Form::layouts}) {
    ModuleMachine m(form);
    const VirtAddr first = m.add("virtio_blk");
    const VirtAddr second = m.add("e1000\x1b[2J");
    m.machine.put_u64(first + taints, 1u << 12 | 1u << 13);
    m.machine.put_u32(second + state, 1);
    const VirtAddr text = m.machine.alloc(32);
    m.machine.put_text(text, "1.2.3");
    m.machine.put_u64(first + version, text.value);
    m.machine.put_u8(first + build_id, 0xab);
    const auto dump = m.machine.open();
    Kernel kernel(*dump);
    const ModuleList got = read_modules(kernel);
    EXPECT_EQ(got.why_not, "");
    ASSERT_EQ(got.modules.size(), 2u);
    const Module& blk = got.modules[0];
    EXPECT_EQ(blk.name, "virtio_blk");
    EXPECT_EQ(blk.address, first.value);
    EXPECT_EQ(blk.size_bytes, 0x4000u);
    EXPECT_EQ(blk.state, "live");
    EXPECT_EQ(blk.taint_letters, "OE");
    EXPECT_EQ(blk.version, "1.2.3");
    EXPECT_EQ(blk.srcversion, "");
    EXPECT_EQ(blk.build_id, "ab00000000000000000000000000000000000000");
    ASSERT_EQ(blk.ranges.size(), 4u);
    EXPECT_EQ(blk.ranges[0].kind, "text");
    EXPECT_EQ(blk.ranges[0].base, m.base(first));
    EXPECT_EQ(blk.ranges[0].size, 0x1000u);
    EXPECT_EQ(blk.ranges[1].kind, form == Form::memory_types ? "data" : "rodata");
    EXPECT_EQ(blk.ranges[3].kind, form == Form::memory_types ? "ro_after_init" : "data");
    EXPECT_EQ(got.modules[1].name, "e1000\\x1b[2J");
    EXPECT_EQ(got.modules[1].state, "coming");
    EXPECT_EQ(got.modules[1].build_id, "");
  }
}

TEST(Modules, AddsTheirSymbols) {
  ModuleMachine m(Form::memory_types);
  const VirtAddr one = m.add("virtio_blk");
  const uint64_t base = m.base(one);
  const VirtAddr table = m.machine.alloc(32);
  m.machine.put_u64(one + kallsyms, table.value);
  m.put_symbols(table, {{0, "", 'U', 0},
                        {base, "virtblk_probe"},
                        {base, "$x"},
                        {base + 4, ".Llocal"},
                        {base + 0x40, "virtio_queue_rq"},
                        {base + 0x1000, "variable", 'd'},
                        {base + 0x80, "undefined", 'U', 0},
                        {base + 0x90, "bad\nname"},
                        {0x12345, "outside"}});
  // Its own table in use cannot be read: the one that stays after init serves.
  const VirtAddr two = m.add("e1000");
  m.machine.put_u64(two + kallsyms, 0xffff123400000000);
  m.put_symbols(two + core_kallsyms, {{m.base(two) + 8, "e1000_probe"}});
  const auto dump = m.machine.open();
  Kernel kernel(*dump);
  const ModuleList got = read_modules(kernel);
  EXPECT_EQ(got.problems, std::vector<std::string>{});
  SymbolTable& table_of_all = kernel.symbols();
  EXPECT_EQ(table_of_all.size(), 4u);
  auto hit = table_of_all.lookup(base + 0x45);
  ASSERT_TRUE(hit);
  EXPECT_EQ(hit->symbol.name, "virtio_queue_rq");
  EXPECT_EQ(hit->symbol.module, "virtio_blk");
  EXPECT_EQ(hit->symbol.type, 't');
  EXPECT_EQ(hit->symbol.size, 0x20u);
  EXPECT_EQ(table_of_all.find("variable")->type, 'd');
  EXPECT_EQ(table_of_all.lookup(m.base(two) + 8)->symbol.module, "e1000");
  EXPECT_FALSE(table_of_all.lookup(m.base(two) + 0x8000));
}

TEST(Modules, BuildIdFromNotes) {
  ModuleMachine m(Form::memory_types, false);
  const VirtAddr one = m.add("virtio_blk");
  const VirtAddr attrs = m.machine.alloc(128), note = m.machine.alloc(64);
  m.machine.put_u64(one + notes_attrs, attrs.value);
  m.machine.put_u32(attrs + 8, 2);  // notes; the first one's section cannot be read
  m.machine.put_u64(attrs + 16 + 8, 24);
  m.machine.put_u64(attrs + 16 + 16, 0xffff123400000000);
  m.machine.put_u64(attrs + 48 + 8, 12 + 4 + 4);
  m.machine.put_u64(attrs + 48 + 16, note.value);
  m.machine.put_u32(note, 4);
  m.machine.put_u32(note + 4, 4);
  m.machine.put_u32(note + 8, 3);
  m.machine.put_text(note + 12, "GNU");
  m.machine.put_u32(note + 16, 0x78563412);
  const auto dump = m.machine.open();
  Kernel kernel(*dump);
  EXPECT_EQ(read_modules(kernel).modules.at(0).build_id, "12345678");
}

TEST(Modules, SaysWhyThereIsNoList) {
  ModuleMachine m(Form::memory_types);
  m.add("virtio_blk");
  m.machine.erase("SYMBOL(modules)");
  auto dump = m.machine.open();
  Kernel without_symbol(*dump);
  EXPECT_EQ(read_modules(without_symbol).why_not,
            "the symbol \"modules\" is not known, and a search of the kernel's data found no module");
  // A vmlinux may bring it later.
  without_symbol.symbols().add(m.head.value, 16, 'D', "modules");
  without_symbol.symbols().finish();
  EXPECT_EQ(read_modules(without_symbol).modules.size(), 1u);

  DumpBuilder bare;
  bare.symbol("modules", bare.image_alloc(16));
  dump = bare.open();
  Kernel without_types(*dump);
  EXPECT_NE(read_modules(without_types).why_not.find("no usable BTF"), std::string::npos);

  DumpBuilder monolithic;
  BtfBuilder types;
  types.structure("list_head", 16, {{"next", types.integer("unsigned long", 8), 0}});
  monolithic.put(monolithic.image_alloc(4096), types.bytes());
  dump = monolithic.open();
  Kernel without_modules(*dump);
  EXPECT_NE(read_modules(without_modules).why_not.find("CONFIG_MODULES=n"), std::string::npos);
}

TEST(Modules, FindsTheListWithoutItsSymbol) {
  for (Form form : {Form::memory_types, Form::layouts}) {
    ModuleMachine m(form);
    // A list of something else comes first: its node points back, but lies in no module.
    const VirtAddr other = m.machine.image_alloc(16);
    m.machine.put_list(other, {m.machine.alloc(512) + 64});
    m.head = m.machine.image_alloc(16);
    m.add("virtio_blk");
    m.add("e1000");
    m.machine.erase("SYMBOL(modules)");
    const auto dump = m.machine.open();
    Kernel kernel(*dump);
    kernel.symbols().add(m.machine.etext().value - 8, 0, 'T', "_einittext");
    kernel.symbols().finish();
    const ModuleList got = read_modules(kernel);
    EXPECT_EQ(got.why_not, "");
    ASSERT_EQ(got.modules.size(), 2u);
    EXPECT_EQ(got.modules[1].name, "e1000");
    ASSERT_FALSE(got.problems.empty());
    EXPECT_EQ(got.problems[0],
              "the symbol \"modules\" is not known: the list was found by searching the kernel's data");
  }
}

TEST(Modules, DamageIsBoundedAndReported) {
  ModuleMachine m(Form::memory_types);
  const VirtAddr good = m.add("good"), bad = m.add("many_symbols"), last = m.add("last");
  m.machine.put_u32(bad + core_kallsyms + 8, 0xffffffff);
  // The list turns back to its first module and never reaches the head again.
  m.machine.put_u64(last + list, (good + list).value);
  m.machine.put_u64(last + memory, 0xfffffffffffff000);  // base + size wraps
  m.machine.put_u32(last + memory + 8, 0x10000);
  const auto dump = m.machine.open();
  Kernel kernel(*dump);
  const ModuleList got = read_modules(kernel);
  EXPECT_EQ(got.modules.size(), 3u);
  EXPECT_EQ(got.modules.back().ranges.size(), 3u);
  bool cycle = false, many = false;
  for (const std::string& p : got.problems) {
    cycle = cycle || p.find("ends early after 3") != std::string::npos;
    many = many || p.find("many_symbols: 4294967295 symbols are too many") != std::string::npos;
  }
  EXPECT_TRUE(cycle);
  EXPECT_TRUE(many);
}

}  // namespace
}  // namespace kdk
