// Types, values, expressions and walks over a small kernel that is made for them.
#include <gtest/gtest.h>

#include <random>

#include "analyze/inspect/types/expression.h"
#include "analyze/inspect/types/tokens.h"
#include "analyze/inspect/types/walks.h"
#include "analyze/render/types.h"
#include "core/kernel/struct_layout.h"
#include "tests/support/btf_builder.h"
#include "tests/support/kallsyms_builder.h"

namespace kdk {
namespace {

using test::BtfBuilder;
using test::DumpBuilder;
using test::KallsymsSymbol;

// struct item, in the BTF below.
constexpr uint64_t id = 0, bits = 4, name = 8, colour = 16, link = 24, next = 40, numbers = 56, node = 80,
                   text = 104, flag = 112, function = 120, item_size = 128;

struct World {
  DumpBuilder machine{{.page_size = 4096, .va_bits = 48}};
  std::vector<KallsymsSymbol> symbols;
  VirtAddr head, first, second, tree, array, maple, percpu[2], leaf;

  VirtAddr variable(const std::string& symbol, uint64_t size) {
    const VirtAddr at = machine.image_alloc(size, 16);
    symbols.push_back({at.value, 'D', symbol});
    return at;
  }

  World() {
    types();
    items();
    trees();
    const VirtAddr start = variable("__per_cpu_start", 16), counter = variable("counter", 16);
    variable("__per_cpu_end", 16);
    const VirtAddr offsets = variable("__per_cpu_offset", 16), mask = variable("__cpu_possible_mask", 8);
    machine.put_u32(variable("nr_cpu_ids", 8), 2);
    machine.put_u64(mask, 3);
    for (uint64_t cpu = 0; cpu < 2; ++cpu) {
      const VirtAddr area = machine.alloc(4096, 4096);
      machine.put_u64(offsets + cpu * 8, area.value - start.value);
      percpu[cpu] = {counter.value + area.value - start.value};
      machine.put_u32(percpu[cpu], static_cast<uint32_t>(40 + cpu));
    }
    symbols.push_back({machine.stext().value, 'T', "_stext"});
    symbols.push_back({machine.stext().value + 0x100, 'T', "a_function"});
    symbols.push_back({machine.etext().value, 'T', "_etext"});
    std::stable_sort(symbols.begin(), symbols.end(),
                     [](const KallsymsSymbol& a, const KallsymsSymbol& b) { return a.address < b.address; });
    put_kallsyms(machine, symbols);
  }

  void types() {
    BtfBuilder b;
    const auto at = [](uint64_t byte) { return static_cast<uint32_t>(byte * 8); };
    const uint32_t c = b.integer("char", 1), s32 = b.signed_integer("int", 4),
                   u32 = b.integer("unsigned int", 4), u64 = b.integer("long unsigned int", 8),
                   u8 = b.integer("unsigned char", 1), any = b.pointer(0);
    b.signed_integer("long int", 8);
    const uint32_t boolean = b.integer("_Bool", 1);
    b.type_definition("u64", u64);
    const uint32_t list = b.structure("list_head", 16, {{"next", any, 0}, {"prev", any, 64}});
    b.structure("hlist_head", 8, {{"first", any, 0}});
    const uint32_t rb = b.structure(
        "rb_node", 24, {{"__rb_parent_color", u64, 0}, {"rb_right", any, 64}, {"rb_left", any, 128}});
    b.structure("rb_root", 8, {{"rb_node", b.pointer(rb), 0}});
    const uint32_t color = b.enumeration("color", {{"RED", 0}, {"GREEN", 1}, {"NONE", 0xffffffff}}, true);
    const uint32_t pair = b.union_of("", 8, {{"whole", u64, 0}, {"half", u32, 0}});
    const uint32_t call = b.pointer(b.function_type(s32));
    const uint32_t self = b.pointer(b.type_count() + 3);  // the struct that follows the two arrays
    const uint32_t letters = b.array(c, 8), six = b.array(s32, 6);
    b.structure("item", item_size,
                {{"id", s32, at(id)},
                 {"low", u32, at(bits), 3},
                 {"high", s32, at(bits) + 3, 5},
                 {"name", letters, at(name)},
                 {"colour", color, at(colour)},
                 {"link", list, at(link)},
                 {"next", self, at(next)},
                 {"", pair, at(48)},
                 {"numbers", six, at(numbers)},
                 {"node", rb, at(node)},
                 {"text", b.type_count() + 2, at(text)},
                 {"flag", boolean, at(flag)},
                 {"function", call, at(function)}});
    b.pointer(b.constant(c));
    b.variable("counter", s32);
    b.structure("xarray", 16, {{"xa_head", any, 64}});
    b.structure("xa_node", 64, {{"shift", u8, 0}, {"slots", b.array(any, 4), at(8)}});
    b.structure("maple_tree", 16, {{"ma_root", any, 64}});
    const uint32_t meta = b.structure("maple_metadata", 2, {{"end", u8, 0}});
    const uint32_t range = b.structure(
        "maple_range_64", 256,
        {{"pivot", b.array(u64, 15), at(8)}, {"slot", b.array(any, 16), at(128)}, {"meta", meta, at(248)}});
    const uint32_t arange = b.structure(
        "maple_arange_64", 256,
        {{"pivot", b.array(u64, 9), at(8)}, {"slot", b.array(any, 10), at(80)}, {"meta", meta, at(240)}});
    b.union_of("maple_node", 256,
               {{"mr64", range, 0}, {"ma64", arange, 0}, {"slot", b.array(any, 31), at(8)}});
    const std::vector<uint8_t> raw = b.bytes();
    const VirtAddr start = machine.image_alloc(raw.size());
    machine.put(start, raw);
    machine.symbol("__start_BTF", start);
    machine.symbol("__stop_BTF", start + raw.size());
  }

  void items() {
    head = variable("items", 16);
    first = variable("one_item", item_size);
    second = machine.alloc(item_size);
    machine.put_list(head, {first + link, second + link});
    machine.put_u32(first + id, static_cast<uint32_t>(-7));
    machine.put_u8(first + bits, 5 | (0x1e << 3));  // high: -2
    machine.put_text(first + name, "a\x1b name");
    machine.put_u32(first + colour, 0xffffffff);
    machine.put_u64(first + next, second.value);
    machine.put_u64(first + 48, 0x1122334455667788);
    for (uint64_t i = 0; i < 6; ++i) machine.put_u32(first + numbers + i * 4, i < 4 ? 9 : 10);
    const VirtAddr string = machine.alloc(32);
    machine.put_text(string, "pointed to");
    machine.put_u64(first + text, string.value);
    machine.put_u8(first + flag, 1);
    machine.put_u64(first + function, machine.stext().value + 0x110);
    machine.put_u32(second + id, 8);
    machine.put_u32(second + colour, 1);
  }

  void trees() {
    tree = variable("a_tree", 8);
    machine.put_u64(tree, (second + node).value);
    machine.put_u64(second + node + 16, (first + node).value);  // left
    array = variable("an_array", 16);
    const VirtAddr upper = machine.alloc(64, 64);
    leaf = machine.alloc(64, 64);
    machine.put_u64(array + 8, upper.value | 2);
    machine.put_u8(upper, 2);
    machine.put_u64(upper + 8, leaf.value | 2);       // 0 to 3
    machine.put_u64(upper + 8 + 3 * 8, first.value);  // 12 to 15
    machine.put_u64(leaf + 8 + 8, second.value);      // 1
    machine.put_u64(leaf + 8 + 2 * 8, 5 << 1 | 1);    // 2: a number
    machine.put_u64(leaf + 8 + 3 * 8, (1 << 2) | 2);  // 3: a sibling, which is no entry
    maple = variable("a_maple", 16);
    const VirtAddr root = machine.alloc(256, 256), low = machine.alloc(256, 256),
                   high = machine.alloc(256, 256);
    machine.put_u64(maple + 8, root.value | 3 << 3 | 2);
    machine.put_u64(root + 8, 0xfff);
    machine.put_u64(root + 16, ~uint64_t{0});
    machine.put_u64(root + 80, low.value | 1 << 3 | 4);
    machine.put_u64(root + 88, high.value | 1 << 3 | 4);
    machine.put_u8(root + 240, 1);
    machine.put_u64(low + 8, 0xf);
    machine.put_u64(low + 128, first.value);
    machine.put_u8(low + 248, 1);  // its second slot ends with the node: no pivot is written
    machine.put_u64(high + 8, 0x1fff);
    machine.put_u64(high + 16, 0x2fff);
    machine.put_u64(high + 24, ~uint64_t{0});
    machine.put_u64(high + 136, second.value);
    machine.put_u8(high + 248, 2);
  }
};

struct Opened {
  explicit Opened(const DumpBuilder& machine) : dump(machine.open()), kernel(*dump), memory(kernel) {}
  std::unique_ptr<Dump> dump;
  Kernel kernel;
  TypedMemory memory;
  CTypes types{memory};
  ValueReader reader{types, kernel};
  Evaluator evaluator{reader};

  std::string show(const std::string& expression) {
    Answer<PrintedValues> answer;
    PrintedExpression printed;
    printed.expression = expression;
    const Evaluated found = evaluator.evaluate(expression);
    printed.many = found.many;
    printed.problems = found.problems;
    for (const Value& value : found.values) printed.items.push_back({value.label, reader.read(value)});
    answer.facts.expressions.push_back(printed);
    return to_text(answer);
  }
  uint64_t number(const std::string& expression) {
    const Evaluated found = evaluator.evaluate(expression);
    return reader.number(found.values.at(0));
  }
};

TEST(CTypes, NamesAreWhatCHas) {
  World w;
  Opened o(w.machine);
  for (const char* same : {"struct item", "struct item *", "unsigned long", "int", "u64 *", "enum color",
                           "void *", "char", "unsigned int **"})
    EXPECT_EQ(same, o.types.name(o.types.parse(same).value()));
  EXPECT_EQ("unsigned long", o.types.name(*o.types.parse("long int unsigned")));
  EXPECT_EQ("int", o.types.name(*o.types.parse("signed")));
  EXPECT_FALSE(o.types.parse("nosuch"));
  EXPECT_FALSE(o.types.parse(""));
  EXPECT_FALSE(o.types.parse("struct"));
  EXPECT_THROW(o.types.parse("struct nosuch"), Error);
  const CType item = *o.types.parse("struct item");
  EXPECT_EQ("char name[8]", o.types.name(o.types.member(item, "name")->type, "name"));
  EXPECT_EQ("int (*function)(void)", o.types.name(o.types.member(item, "function")->type, "function"));
  EXPECT_EQ("const char *text", o.types.name(o.types.member(item, "text")->type, "text"));
}

TEST(Layout, MembersWithTheirPlacesAndHoles) {
  World w;
  Opened o(w.machine);
  const StructLayout layout = layout_of(o.types, *o.types.parse("struct item"), {});
  EXPECT_EQ(item_size, layout.size);
  ASSERT_EQ(13u, layout.members.size());
  EXPECT_EQ("int high : 5", layout.members[2].declaration);
  EXPECT_EQ(3u, layout.members[2].bit);
  EXPECT_EQ("", layout.members[7].name);
  ASSERT_EQ(2u, layout.members[7].children.size());
  EXPECT_EQ(48u, layout.members[7].children[1].offset);
  EXPECT_EQ(3u + 4 + 7, layout.holes_bytes);
  const StructLayout some = layout_of(o.types, *o.types.parse("struct item"), {"half", "link.prev"});
  ASSERT_EQ(2u, some.members.size());
  EXPECT_EQ(link + 8, some.members[1].offset);
  EXPECT_THROW(layout_of(o.types, *o.types.parse("struct item"), {"nosuch"}), Error);
}

TEST(Values, EachKindAsCWritesIt) {
  World w;
  Opened o(w.machine);
  // What has no type in BTF is cast to one.
  const std::string item = "(*(struct item *)&one_item)";
  const auto shows = [&](const std::string& member, const std::string& expected) {
    EXPECT_EQ(item + member + " = " + expected + "\n", o.show(item + member));
  };
  shows(".id", "-7");
  shows(".low", "5");
  shows(".high", "-2");
  shows(".name", "\"a\\x1b name\"");
  shows(".colour", "NONE (-1)");
  shows(".half", "0x55667788");
  shows(".numbers", "{9 <4 times>, 10 <2 times>}");
  shows(".flag", "true");
  shows(".numbers[5]", "10");
  shows(".next->colour", "GREEN (1)");
  EXPECT_NE(std::string::npos, o.show(item + ".text").find("\"pointed to\""));
  EXPECT_NE(std::string::npos, o.show(item + ".function").find("<a_function+0x10>"));
  EXPECT_NE(std::string::npos, o.show(item + ".next.next").find("NULL"));
  const std::string all = o.show(item);
  for (const char* part : {".id = -7", ".high = -2", "{.whole = 0x1122334455667788, .half = 0x55667788}"})
    EXPECT_NE(std::string::npos, all.find(part)) << all;
}

TEST(Values, MissingPagesAreNamedAndTheRestIsThere) {
  World w;
  const VirtAddr at = w.machine.alloc(2 * 4096, 4096);
  w.machine.exclude(w.machine.pfn_of(w.machine.phys(at + 4096)));
  Opened o(w.machine);
  const std::string shown = o.show("*(struct item *)" + std::to_string(at.value + 4096 - 16));
  EXPECT_NE(std::string::npos, shown.find(".id = 0"));
  EXPECT_NE(std::string::npos, shown.find("page excluded from the dump"));
}

TEST(Expressions, Arithmetic) {
  World w;
  Opened o(w.machine);
  EXPECT_EQ(7u, o.number("1 + 2 * 3"));
  EXPECT_EQ(9u, o.number("(1 + 2) * 3"));
  EXPECT_EQ(static_cast<uint64_t>(-3), o.number("-7 / 2"));
  EXPECT_EQ(static_cast<uint64_t>(-4), o.number("-7 >> 1"));
  EXPECT_EQ(1u, o.number("-1 < 0"));
  EXPECT_EQ(0u, o.number("(unsigned int)-1 < 0"));
  EXPECT_EQ(0xffffffffu, o.number("(unsigned int)-1"));
  EXPECT_EQ(0xff0u, o.number("0xff << 4"));
  EXPECT_EQ(1u, o.number("1 == 1 && !0 || 0"));
  EXPECT_EQ(65u, o.number("'A'"));
  EXPECT_EQ(static_cast<uint64_t>(-1), o.number("NONE"));
  EXPECT_EQ(item_size, o.number("sizeof(struct item)"));
  EXPECT_EQ(8u, o.number("sizeof(one_item)") + 8);  // of unknown type
  EXPECT_EQ(link, o.number("offsetof(struct item, link)"));
  EXPECT_EQ(w.first.value + 2 * item_size, o.number("(struct item *)&one_item + 2"));
  EXPECT_EQ(2u, o.number("((struct item *)&one_item + 2) - (struct item *)&one_item"));
  EXPECT_EQ(0u, o.number("1 << 64"));
  EXPECT_EQ(uint64_t{1} << 63, o.number("(-9223372036854775807 - 1) / -1"));
}

TEST(Expressions, WhatIsWrongIsSaid) {
  World w;
  Opened o(w.machine);
  for (const char* bad : {"",
                          "1 +",
                          "(1",
                          "1 2",
                          "nosuch",
                          "nosuch(1)",
                          "list(items)",
                          "list(items, struct nosuch, x)",
                          "list(items, struct item, nosuch)",
                          "*1",
                          "1 / 0",
                          "one_item.id",
                          "counter",
                          "'x",
                          "$",
                          "@",
                          "(struct item)1",
                          "percpu(counter, 9)",
                          "&1",
                          "0xfffffffffffffffff",
                          "sizeof(",
                          "a.b..c",
                          "((struct item *)0)->id",
                          "container_of(items, struct item)",
                          "items[1]",
                          "task(1)"}) {
    EXPECT_THROW(o.evaluator.evaluate(bad), Error) << bad;
  }
  EXPECT_THROW(o.evaluator.evaluate(std::string(10'000, '(')), Error);
  EXPECT_THROW(o.evaluator.evaluate(std::string(10'000, '-') + "1"), Error);
}

TEST(Expressions, WalksAndWhatFollowsThem) {
  World w;
  Opened o(w.machine);
  const std::string list = "list((struct list_head *)&items, struct item, link)";
  EXPECT_EQ(list + ".id: 2 values\n  [0] = -7\n  [1] = 8\n", o.show(list + ".id"));
  const Evaluated sum = o.evaluator.evaluate("1 + " + list + ".id");
  ASSERT_EQ(2u, sum.values.size());
  EXPECT_EQ(9u, o.reader.number(sum.values[1]));
  const Evaluated tree = o.evaluator.evaluate("rbtree(&a_tree, struct item, node)");
  ASSERT_EQ(2u, tree.values.size());
  EXPECT_EQ(w.first.value, o.reader.number(tree.values[0]));
  EXPECT_EQ(w.second.value, o.reader.number(tree.values[1]));
  const Evaluated array = o.evaluator.evaluate("xarray(&an_array, struct item)");
  ASSERT_EQ(3u, array.values.size());
  EXPECT_EQ("[0x1]", array.values[0].label);
  EXPECT_EQ(w.second.value, o.reader.number(array.values[0]));
  EXPECT_EQ(5u, o.reader.number(array.values[1]));
  EXPECT_EQ("[0xc-0xf]", array.values[2].label);
  const Evaluated maple = o.evaluator.evaluate("maple(&a_maple, struct item)");
  ASSERT_EQ(2u, maple.values.size());
  EXPECT_EQ("[0x0-0xf]", maple.values[0].label);
  EXPECT_EQ(w.first.value, o.reader.number(maple.values[0]));
  EXPECT_EQ("[0x2000-0x2fff]", maple.values[1].label);
  EXPECT_TRUE(maple.problems.empty());
  EXPECT_EQ(41u, o.number("percpu(counter, 1)"));
  EXPECT_EQ("percpu(counter): 2 values\n  CPU 0 = 40\n  CPU 1 = 41\n", o.show("percpu(counter)"));
  EXPECT_EQ(w.second.value, o.number("container_of(((struct list_head *)&items)->prev, struct item, link)"));
}

TEST(Walks, CyclesEnd) {
  World w;
  w.machine.put_u64(w.second + link, (w.first + link).value);      // the list misses its head
  w.machine.put_u64(w.first + node + 8, (w.second + node).value);  // the tree's left leads up again
  w.machine.put_u64(w.leaf + 8, w.leaf.value | 2);                 // as an entry of a last node, no cycle
  w.machine.put_u8(w.leaf, 1);                                     // and now it is no last node
  Opened o(w.machine);
  const auto problems = [&](const char* expression) {
    return o.evaluator.evaluate(expression).problems.size();
  };
  EXPECT_EQ(1u, problems("list((struct list_head *)&items, struct item, link)"));
  EXPECT_EQ(1u, problems("rbtree(&a_tree, struct item, node)"));
  EXPECT_EQ(1u, problems("xarray(&an_array)"));
}

// Whatever the nodes hold: an answer in bounded time.
TEST(Walks, HostileMemory) {
  std::mt19937_64 random(20261129);
  for (int round = 0; round < 200; ++round) {
    World w;
    for (VirtAddr at : {w.array, w.maple, w.tree, w.head, w.leaf, w.first + node, w.second + node}) {
      for (int i = 0; i < 4; ++i) {
        uint64_t value = random();
        if (round % 2 == 0) value = w.leaf.value | (random() & 0xff);
        w.machine.put_u64(at + random() % 8 * 8, value);
      }
    }
    Opened o(w.machine);
    for (const char* expression :
         {"list((struct list_head *)&items, struct item, link)",
          "list((struct hlist_head *)&items, struct item, link)", "rbtree(&a_tree, struct item, node)",
          "xarray(&an_array)", "maple(&a_maple)"}) {
      EXPECT_LE(o.evaluator.evaluate(expression).values.size(), most_walk_items);
    }
    o.reader.read(o.evaluator.evaluate("*(struct item *)&one_item").values.at(0));
  }
}

}  // namespace
}  // namespace kdk
