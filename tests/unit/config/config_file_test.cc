#include "core/config/config_file.h"

#include <gtest/gtest.h>

namespace kdk {
namespace {

ConfigTable table(std::string_view text) {
  return ConfigFile::parse(text, "f.toml").table("t");
}

// The message of the Error that `f` must throw.
template <typename F>
std::string message_of(F&& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.message();
  }
  return "nothing was thrown";
}

TEST(ConfigFile, ReadsEveryType) {
  ConfigTable t = table(
      "[t]\ntext = \"a b\"\nn = -3\nflag = true\nword = \"two\"\ntime = \"10m\"\nhours = \"2h\"\n"
      "size = \"512M\"\nlist = [\"a\", \"b\"]\nwhere = \"/var//crash/./x\"\nnumbers = [1, -2]\n");
  EXPECT_EQ(t.text("text"), "a b");
  EXPECT_EQ(t.integer("n", -5, 5), -3);
  EXPECT_EQ(t.integers("n", -5, 5), std::vector<int64_t>{-3});
  EXPECT_EQ(t.integers("numbers", -5, 5), (std::vector<int64_t>{1, -2}));
  EXPECT_EQ(t.integers("absent", -5, 5), std::nullopt);
  EXPECT_EQ(t.boolean("flag"), true);
  EXPECT_EQ(t.word("word", {"one", "two"}), 1);
  EXPECT_EQ(t.duration("time"), std::chrono::seconds(600));
  EXPECT_EQ(t.duration("hours"), std::chrono::seconds(7200));
  EXPECT_EQ(t.size("size"), uint64_t{512} << 20);
  EXPECT_EQ(t.texts("list"), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(t.path("where"), "/var/crash/x");
  EXPECT_EQ(t.text("absent"), std::nullopt);
  EXPECT_NO_THROW(t.finish());
}

TEST(ConfigFile, SaysWhereAndWhatIsWrong) {
  EXPECT_EQ(message_of([] { ConfigFile::parse("a = 1\n\nb = = 2\n", "f.toml"); }).substr(0, 9), "f.toml:3:");
  ConfigTable unknown = table("[t]\nlevel = 31\nlevle = 31\n");
  unknown.integer("level", 0, 31);
  EXPECT_EQ(message_of([&] { unknown.finish(); }), "f.toml:3: t.levle: there is no such key");

  const char* text =
      "[t]\nn = 32\ns = 5\nempty = \"\"\nword = \"three\"\nbare = 90\ntime = \"90\"\nlong = \"999h\"\n"
      "size = \"5Q\"\nhuge = \"99999999999T\"\nwhere = \"crash\"\nlist = [\"a\", 1]\nbell = \"a\\u0007\"\n"
      "none = []\nnumbers = [1, 32]\n";
  ConfigTable t = table(text);
  EXPECT_EQ(message_of([&] { t.integer("n", 0, 31); }), "f.toml:2: t.n: 32 is not from 0 to 31");
  EXPECT_EQ(message_of([&] { t.text("s"); }), "f.toml:3: t.s: must be a string");
  EXPECT_EQ(message_of([&] { t.boolean("s"); }), "f.toml:3: t.s: must be true or false");
  EXPECT_EQ(message_of([&] { t.text("empty"); }), "f.toml:4: t.empty: is empty");
  EXPECT_EQ(message_of([&] {
              t.word("word", {"one", "two"});
            }),
            "f.toml:5: t.word: \"three\" is not one of one, two");
  EXPECT_NE(message_of([&] { t.duration("bare"); }).find("f.toml:6: t.bare: a time needs its unit"),
            std::string::npos);
  EXPECT_NE(message_of([&] { t.duration("time"); }).find("f.toml:7: t.time: \"90\" is no time"),
            std::string::npos);
  EXPECT_EQ(message_of([&] { t.duration("long"); }), "f.toml:8: t.long: is not from 1s to a week");
  EXPECT_NE(message_of([&] { t.size("size"); }).find("f.toml:9:"), std::string::npos);
  EXPECT_NE(message_of([&] { t.size("huge"); }).find("f.toml:10:"), std::string::npos);
  EXPECT_NE(message_of([&] { t.path("where"); }).find("is not an absolute path"), std::string::npos);
  EXPECT_EQ(message_of([&] { t.texts("list"); }), "f.toml:12: t.list: must be a list of strings");
  EXPECT_EQ(message_of([&] { t.integers("list", 0, 31); }),
            "f.toml:12: t.list: must be an integer or a list of integers");
  EXPECT_EQ(message_of([&] { t.integers("s", 6, 31); }), "f.toml:3: t.s: 5 is not from 6 to 31");
  EXPECT_EQ(message_of([&] { t.integers("none", 0, 31); }), "f.toml:14: t.none: is an empty list");
  EXPECT_EQ(message_of([&] { t.integers("numbers", 0, 31); }),
            "f.toml:15: t.numbers: 32 is not from 0 to 31");
  EXPECT_EQ(message_of([&] { t.text("bell"); }), "f.toml:13: t.bell: has a control character");
  EXPECT_EQ(message_of([&] { t.required_text("gone"); }), "f.toml:1: t.gone: is missing");
}

// toml++ has undefined behaviour for them.
TEST(ConfigFile, HasCharactersBeyondAsciiInStringsAndCommentsOnly) {
  const char* good[] = {"# \xc3\xa9\n",
                        "\xef\xbb\xbf# a byte order mark\nx = 1",
                        "x = '\xc3\xa9' # \xc3\xa9",
                        "x = \"\\\"\xc3\xa9\"",
                        "x = '''\n'\xc3\xa9\n'''",
                        "x = \"\"\"\n\"\xc3\xa9\\\"\n\"\"\"\ny = 1"};
  for (const char* text : good) EXPECT_NO_THROW(ConfigFile::parse(text, "f")) << text;
  const char* bad[] = {"\n\xc3\xa9 = 1", "\nx = \xef\xbb\xb7", "\nx\xef\xbb\xbf = 1", "\nx = 'a' \xc2\xa0"};
  for (const char* text : bad) {
    try {
      ConfigFile::parse(text, "f");
      ADD_FAILURE() << text;
    } catch (const Error& e) {
      EXPECT_EQ(e.message(), "f:2: a character beyond ASCII outside of quotes") << text;
    }
  }
}

TEST(ConfigFile, TablesAndTheirOrder) {
  const ConfigFile file = ConfigFile::parse("[[t]]\na = \"1\"\n[[t]]\na = \"2\"\n[other]\n", "f.toml");
  std::vector<ConfigTable> list = file.tables("t");
  ASSERT_EQ(list.size(), 2);
  EXPECT_EQ(list[0].text("a"), "1");
  EXPECT_EQ(list[1].text("a"), "2");
  EXPECT_FALSE(file.table("none").exists());
  EXPECT_TRUE(file.tables("none").empty());
  EXPECT_NO_THROW(file.only({"t", "other"}));
  EXPECT_EQ(message_of([&] { file.only({"t"}); }), "f.toml:5: other: there is no such section; there are t");
  EXPECT_NE(message_of([&] { file.table("t"); }).find("must be a table, [t]"), std::string::npos);
  EXPECT_NE(message_of([&] { file.tables("other"); }).find("must be written as [[other]]"),
            std::string::npos);
}

}  // namespace
}  // namespace kdk
