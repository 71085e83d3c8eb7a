// Names of an unpacked initramfs, by the rules of the kernel's unpacker and of symlink(7).
#include "loader/image/rootfs_paths.h"

#include <gtest/gtest.h>

#include <fmt/format.h>

namespace kdk {
namespace {

using Kind = RootfsPaths::Kind;
using Outcome = RootfsPaths::Outcome;

// "bin/": a directory; "bin -> usr/bin": a link; else a file.
RootfsPaths paths_of(const std::vector<std::string>& entries) {
  RootfsPaths out;
  for (const std::string& entry : entries) {
    const size_t arrow = entry.find(" -> ");
    if (arrow != std::string::npos) {
      out.add(entry.substr(0, arrow), Kind::symlink, entry.substr(arrow + 4));
    } else {
      out.add(entry, entry.ends_with('/') ? Kind::directory : Kind::regular);
    }
  }
  return out;
}

std::string find(const std::vector<std::string>& entries, std::string_view path) {
  const RootfsPaths::Walk walk = paths_of(entries).find_program(path);
  switch (walk.outcome) {
    case Outcome::found:
      return walk.path;
    case Outcome::missing:
      return "missing " + walk.path;
    case Outcome::loop:
      return "loop " + walk.path;
    case Outcome::unknown:
      return "unknown";
  }
  return "";
}

TEST(RootfsPaths, LinksToDirectories) {
  const std::vector<std::string> merged = {"usr/",
                                           "usr/bin/",
                                           "usr/bin/init",
                                           "bin -> usr/bin",
                                           "sbin -> /usr/bin",
                                           "usr/sbin -> bin",
                                           "usr/lib -> ../bin/../../../bin"};
  for (const char* path : {"bin/init", "/bin/init", "sbin/init", "usr/sbin/init", "usr/lib/init",
                           "usr/bin/./init", "usr/../bin//init", "../../bin/init"})
    EXPECT_EQ(find(merged, path), "usr/bin/init") << path;
  EXPECT_EQ(find(merged, "bin/sh"), "missing usr/bin/sh");
  EXPECT_EQ(find(merged, "lib/init"), "missing lib");
  EXPECT_EQ(find(merged, "bin"), "missing usr/bin") << "a directory is no program";
  EXPECT_EQ(find(merged, "bin/init/x"), "missing usr/bin/init") << "nor a program a directory";
  EXPECT_EQ(find(merged, "dev/console"), "missing dev/console");
}

TEST(RootfsPaths, LinksToPrograms) {
  EXPECT_EQ(find({"init -> /sbin/init", "sbin/", "sbin/init -> kdump-init", "sbin/kdump-init"}, "init"),
            "sbin/kdump-init");
  EXPECT_EQ(find({"init -> sbin/init"}, "init"), "missing sbin");
  EXPECT_EQ(find({"init -> "}, "init"), "missing init") << "the kernel makes no link to nowhere";
}

TEST(RootfsPaths, EntriesLandWhereTheirDirectoryLeads) {
  EXPECT_EQ(find({"usr/", "usr/bin/", "bin -> usr/bin", "bin/init"}, "usr/bin/init"), "usr/bin/init");
  EXPECT_EQ(find({"bin -> usr/bin", "bin/init", "usr/", "usr/bin/"}, "bin/init"), "missing usr/bin/init")
      << "it came before its directory";
  EXPECT_EQ(find({"sbin/init"}, "sbin/init"), "missing sbin");
}

TEST(RootfsPaths, ALaterEntryReplaces) {
  EXPECT_EQ(find({"init -> nowhere", "init"}, "init"), "init");
  EXPECT_EQ(find({"init", "init -> other", "other"}, "init"), "other");
  EXPECT_EQ(find({"bin/", "bin -> usr", "usr/", "usr/init"}, "bin/init"), "usr/init")
      << "an empty directory gives way";
  EXPECT_EQ(find({"bin/", "bin/init", "bin -> usr", "usr/"}, "bin/init"), "bin/init") << "another does not";
}

TEST(RootfsPaths, LoopsAreNamed) {
  EXPECT_EQ(find({"init -> init"}, "init"), "loop init");
  EXPECT_EQ(find({"a -> /b", "b -> a"}, "a/init").substr(0, 5), "loop ");
  EXPECT_EQ(find({"usr/", "usr/bin -> ../usr/bin/x"}, "usr/bin/init"), "loop usr/bin");
  // MAXSYMLINKS are followed, and no more.
  std::vector<std::string> chain = {"l0"};
  for (unsigned i = 1; i <= 41; ++i) chain.push_back(fmt::format("l{} -> l{}", i, i - 1));
  EXPECT_EQ(find(chain, "l40"), "l0");
  EXPECT_EQ(find(chain, "l41"), "loop l1");
}

TEST(RootfsPaths, AnyNumberOfNames) {
  RootfsPaths paths;
  const std::string name(4000, 'x');
  for (unsigned i = 0; i < 100000; ++i) paths.add(name + std::to_string(i), Kind::regular);
  EXPECT_EQ(paths.find_program("init").outcome, Outcome::unknown);
}

}  // namespace
}  // namespace kdk
