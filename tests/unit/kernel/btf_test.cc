#include "core/kernel/btf.h"

#include <gtest/gtest.h>

#include "tests/support/btf_builder.h"

namespace kdk {
namespace {

using test::BtfBuilder;

std::string parse_error(std::vector<uint8_t> bytes) {
  try {
    Btf::parse(std::move(bytes));
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Errc::format);
    return e.message();
  }
  return "";
}

TEST(Btf, FindsMembersAndSizes) {
  BtfBuilder b;
  const uint32_t u32 = b.integer("unsigned int", 4);
  const uint32_t u64 = b.integer("unsigned long", 8);
  const uint32_t name = b.array(b.integer("char", 1), 16);
  const uint32_t context =
      b.structure("cpu_context", 24, {{"x19", u64, 0}, {"fp", u64, 64}, {"sp", u64, 128}});
  const uint32_t thread = b.structure("thread_struct", 32, {{"first", u64, 0}, {"cpu_context", context, 64}});
  const uint32_t back = b.pointer(99);
  b.structure("task_struct", 128,
              {{"state", u32, 0}, {"comm", name, 64}, {"thread", thread, 256}, {"next", back, 512}});
  b.others(u32);
  auto btf = Btf::parse(b.bytes());

  EXPECT_EQ(btf->type_count(), b.type_count());
  EXPECT_EQ(btf->size_of("task_struct"), 128u);
  EXPECT_EQ(btf->size_of("unsigned int"), 4u);
  EXPECT_EQ(btf->size_of("double"), 8u);
  EXPECT_EQ(btf->size_of("forward_only"), std::nullopt);
  EXPECT_TRUE(btf->has_struct("task_struct"));
  EXPECT_FALSE(btf->has_struct("unsigned int"));
  EXPECT_FALSE(btf->has_struct("no_such"));

  auto comm = btf->member("task_struct", "comm");
  ASSERT_TRUE(comm);
  EXPECT_EQ(comm->offset(), 8u);
  EXPECT_EQ(comm->size, 16u);
  EXPECT_EQ(btf->array_length("task_struct", "comm"), 16u);
  EXPECT_EQ(btf->array_length("task_struct", "state"), std::nullopt);
  EXPECT_EQ(btf->member("task_struct", "thread.cpu_context.sp")->offset(), 32u + 8 + 16);
  EXPECT_EQ(btf->member("task_struct", "next")->size, 8u);
  EXPECT_EQ(btf->member("task_struct", "nothing"), std::nullopt);
  EXPECT_EQ(btf->member("task_struct", "thread.nothing"), std::nullopt);
  // A dot does not go through a pointer, nor through an array.
  EXPECT_EQ(btf->member("task_struct", "next.state"), std::nullopt);
  EXPECT_EQ(btf->member("task_struct", ""), std::nullopt);
  EXPECT_EQ(btf->member("", "comm"), std::nullopt);
}

TEST(Btf, LooksIntoAnonymousMembersAndThroughQualifiers) {
  BtfBuilder b;
  const uint32_t u32 = b.integer("unsigned int", 4);
  const uint32_t inner =
      b.structure("", 8, {{"flags", u32, 0}, {"order", b.volatile_of(b.constant(u32)), 32}});
  const uint32_t choice = b.union_of("", 8, {{"word", u32, 0}, {"", b.type_tag("rcu", inner), 0}});
  b.type_definition("page_t", b.structure("page", 16, {{"head", u32, 0}, {"", choice, 64}}));
  auto btf = Btf::parse(b.bytes());
  EXPECT_EQ(btf->member("page", "order")->offset(), 12u);
  EXPECT_EQ(btf->member("page", "order")->size, 4u);
  EXPECT_EQ(btf->member("page_t", "flags")->offset(), 8u);
  EXPECT_EQ(btf->size_of("page_t"), 16u);
}

TEST(Btf, ReadsBitFieldsOfBothForms) {
  BtfBuilder b;
  const uint32_t u32 = b.integer("unsigned int", 4);
  b.structure("modern", 8, {{"plain", u32, 0}, {"a", u32, 32, 3}, {"b", u32, 35, 5}});
  b.structure("old", 4, {{"c", b.integer("unsigned int", 4, 6, 2), 8}});
  auto btf = Btf::parse(b.bytes());
  EXPECT_EQ(btf->member("modern", "plain")->bitfield_size, 0u);
  EXPECT_EQ(btf->member("modern", "b")->bit_offset, 35u);
  EXPECT_EQ(btf->member("modern", "b")->bitfield_size, 5u);
  EXPECT_EQ(btf->member("old", "c")->bit_offset, 10u);
  EXPECT_EQ(btf->member("old", "c")->bitfield_size, 6u);
}

TEST(Btf, FindsEnumerators) {
  BtfBuilder b;
  b.enumeration("states", {{"LIVE", 0}, {"GOING", 2}});
  b.enumeration("", {{"MINUS", 0xfffffffe}}, true);
  b.enumeration("", {{"LARGE", 0xfffffffe}});
  b.enumeration64("wide", {{"HUGE_VALUE", 0x100000002}});
  auto btf = Btf::parse(b.bytes());
  EXPECT_EQ(btf->enumerator("GOING"), 2);
  EXPECT_EQ(btf->enumerator("MINUS"), -2);
  EXPECT_EQ(btf->enumerator("LARGE"), 0xfffffffe);
  EXPECT_EQ(btf->enumerator("HUGE_VALUE"), 0x100000002);
  EXPECT_EQ(btf->enumerator("states"), std::nullopt);
  EXPECT_EQ(btf->enumerator(""), std::nullopt);
}

TEST(Btf, TakesEnumeratorsForSignedWhereNoEnumTells) {
  BtfBuilder b;
  b.enumeration("e", {{"MINUS", 0xffffffff}});
  EXPECT_EQ(Btf::parse(b.bytes())->enumerator("MINUS"), -1);
}

TEST(Btf, OfSeveralStructsOfOneNameTheOneWithTheMemberCounts) {
  BtfBuilder b;
  const uint32_t u32 = b.integer("u32", 4);
  b.structure("device_data", 4, {{"a", u32, 0}});
  b.structure("device_data", 12, {{"x", u32, 0}, {"b", u32, 64}});
  auto btf = Btf::parse(b.bytes());
  EXPECT_EQ(btf->member("device_data", "a")->offset(), 0u);
  EXPECT_EQ(btf->member("device_data", "b")->offset(), 8u);
}

TEST(Btf, SplitBtfContinuesItsBase) {
  BtfBuilder base;
  const uint32_t u32 = base.integer("u32", 4);
  base.structure("in_base", 4, {{"value", u32, 0}});
  base.enumeration("e", {{"BASE_ENUM", 7}});
  auto base_btf = Btf::parse(base.bytes());

  BtfBuilder split(base.type_count(), base.string_bytes());
  split.structure("in_module", 16, {{"a", u32, 0}, {"b", u32, 96}});
  split.enumeration("m", {{"MODULE_ENUM", 9}});
  auto btf = Btf::parse(split.bytes(), base_btf.get());
  EXPECT_EQ(btf->type_count(), base.type_count() + 2);
  EXPECT_EQ(btf->member("in_module", "b")->offset(), 12u);
  EXPECT_EQ(btf->member("in_module", "b")->size, 4u);
  EXPECT_EQ(btf->member("in_base", "value")->size, 4u);
  EXPECT_EQ(btf->enumerator("BASE_ENUM"), 7);
  EXPECT_EQ(btf->enumerator("MODULE_ENUM"), 9);
  EXPECT_FALSE(base_btf->has_struct("in_module"));
}

TEST(Btf, RefusesWhatIsNotBtf) {
  BtfBuilder b;
  b.structure("s", 4, {{"a", b.integer("u32", 4), 0}});
  const std::vector<uint8_t> good = b.bytes();
  EXPECT_EQ(parse_error(good), "");
  EXPECT_EQ(parse_error({}), "BTF: offset 0: shorter than its header");
  auto with = [&](size_t at, uint8_t value) {
    std::vector<uint8_t> bytes = good;
    bytes[at] = value;
    return parse_error(bytes);
  };
  EXPECT_EQ(with(0, 0), "BTF: offset 0: wrong magic number");
  EXPECT_EQ(with(2, 2), "BTF: offset 2: version 2 is not known");
  EXPECT_EQ(with(4, 8), "BTF: offset 4: header length too small");
  EXPECT_EQ(with(15, 0x7f), "BTF: offset 8: types reach beyond the end");
  EXPECT_EQ(with(23, 0x7f), "BTF: offset 16: strings reach beyond the end");
  EXPECT_EQ(with(24 + 7, 99), "BTF: offset 24: type kind 99 is not known");
  EXPECT_EQ(with(24 + 16 + 4, 200), "BTF: offset 40: type cut off");
  EXPECT_EQ(with(good.size() - 1, 'x'), "BTF: offset 64: strings do not end with NUL");
  for (size_t size = 0; size < good.size(); ++size) {
    EXPECT_NE(parse_error({good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size)}), "") << size;
  }
}

TEST(Btf, LoopsAndWildIdsEnd) {
  BtfBuilder b;
  const uint32_t loop = b.type_count();
  b.type_definition("loop", loop);  // refers to itself
  b.structure("wild", 4, {{"a", 0x7fffffff, 0}, {"", 0x7fffffff, 0}});
  const uint32_t self = b.type_count();
  // Anonymous members of its own type, many times: must not be walked exponentially.
  std::vector<BtfBuilder::Member> members(64, {"", self, 0});
  b.structure("self", 8, members);
  const uint32_t nested = b.type_count();
  b.array(nested, 0xffffffff);  // an array of itself
  b.structure("holder", 8, {{"endless", nested, 0}});
  auto btf = Btf::parse(b.bytes());
  EXPECT_EQ(btf->size_of("loop"), std::nullopt);
  EXPECT_EQ(btf->member("wild", "a")->size, 0u);
  EXPECT_EQ(btf->member("wild", "b"), std::nullopt);
  EXPECT_EQ(btf->member("self", "nothing"), std::nullopt);
  EXPECT_EQ(btf->member("holder", "endless")->size, 0u);
}

}  // namespace
}  // namespace kdk
