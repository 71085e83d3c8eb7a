#include "core/kernel/layout.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "core/base/error.h"

namespace kdk {
namespace {

class Types : public Layout::TypeSource {
 public:
  std::map<std::string, Layout::Field, std::less<>> fields;
  std::map<std::string, uint64_t, std::less<>> sizes;
  std::optional<Layout::Field> field(std::string_view type, std::string_view path) const override {
    const auto found = fields.find(std::string(type) + "." + std::string(path));
    return found == fields.end() ? std::nullopt : std::optional(found->second);
  }
  std::optional<uint64_t> size_of(std::string_view type) const override {
    const auto found = sizes.find(type);
    return found == sizes.end() ? std::nullopt : std::optional(found->second);
  }
  std::optional<int64_t> enumerator(std::string_view name) const override {
    return name == "NEG" ? std::optional<int64_t>(-5) : std::nullopt;
  }
  std::optional<uint64_t> array_length(std::string_view, std::string_view path) const override {
    return path == "free_area" ? std::optional<uint64_t>(99) : std::nullopt;
  }
};

const Vmcoreinfo& info() {
  static const Vmcoreinfo parsed = Vmcoreinfo::parse(
      "OFFSET(page.flags)=0\nOFFSET(page.lru)=8\nSIZE(page)=64\nLENGTH(zone.free_area)=11\nNUMBER(PG_lru)=5\n"
      "NUMBER(NEGATIVE)=-7\n");
  return parsed;
}

TEST(Layout, VmcoreinfoComesFirst) {
  Layout layout(info());
  Types types;
  types.fields = {{"page.lru", {8, 16}}, {"page.flags", {4, 8}}, {"page.mapping", {24, 8}}};
  types.sizes = {{"page", 56}, {"task_struct", 4096}};
  EXPECT_FALSE(layout.has_types());
  layout.add_source(types);
  EXPECT_TRUE(layout.has_types());

  EXPECT_EQ(layout.offset("page", "lru"), 8u);
  EXPECT_EQ(layout.field("page", "lru")->size, 16u) << "the member's size comes from the types";
  EXPECT_EQ(layout.offset("page", "flags"), 0u);
  EXPECT_EQ(layout.field("page", "flags")->size, 0u) << "types of another layout are not to be mixed in";
  EXPECT_EQ(layout.offset("page", "mapping"), 24u);
  EXPECT_EQ(layout.size_of("page"), 64u);
  EXPECT_EQ(layout.size_of("task_struct"), 4096u);
  EXPECT_EQ(layout.array_length("zone", "free_area"), 11u);
  EXPECT_EQ(layout.enumerator("PG_lru"), 5);
  EXPECT_EQ(layout.enumerator("NEGATIVE"), -7);
  EXPECT_EQ(layout.enumerator("NEG"), -5);
}

TEST(Layout, SourcesAreAskedInOrder) {
  Layout layout(info());
  Types first, second;
  first.fields = {{"a.x", {1, 1}}};
  second.fields = {{"a.x", {2, 2}}, {"a.y", {3, 4}}};
  layout.add_source(first);
  layout.add_source(second);
  EXPECT_EQ(layout.offset("a", "x"), 1u);
  EXPECT_EQ(layout.offset("a", "y"), 3u);
  EXPECT_EQ(layout.first_field("a", {"new_name", "y", "x"})->offset, 3u);
  EXPECT_EQ(layout.first_field("a", {"new_name"}), std::nullopt);
}

TEST(Layout, RequireNamesTheMember) {
  Layout layout(info());
  EXPECT_EQ(layout.require_offset("page", "lru"), 8u);
  try {
    layout.require_offset("task_struct", "comm");
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Errc::missing);
    EXPECT_EQ(e.message(), "no layout for task_struct.comm");
  }
}

}  // namespace
}  // namespace kdk
