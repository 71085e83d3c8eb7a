// kdumpkit.hpp: the same for C++, in C++17 and C++20 alike (this file is compiled as both).
#include <gtest/gtest.h>
#include <kdumpkit/kdumpkit.hpp>

#include <algorithm>
#include <array>
#include <cstring>
#include <set>
#include <type_traits>
#if __cplusplus >= 202002L
#include <ranges>
#endif

// The scene is C++20's: made elsewhere.
std::string synthetic_dump();
std::uint64_t synthetic_init_task();

namespace {

static_assert(!std::is_copy_constructible_v<kdumpkit::Dump> &&
              std::is_nothrow_move_constructible_v<kdumpkit::Dump>);
static_assert(std::is_base_of_v<std::runtime_error, kdumpkit::Error>);
#if __cplusplus >= 202002L
static_assert(std::ranges::random_access_range<kdumpkit::Tasks>);
static_assert(std::ranges::random_access_range<kdumpkit::Items<kdumpkit::Register>>);
#endif

kdumpkit::Dump open() {
  const std::string bytes = synthetic_dump();
  return kdumpkit::Dump::from_bytes(bytes.data(), bytes.size());
}

TEST(CppInterface, FailuresAreErrors) {
  try {
    kdumpkit::Dump("/nonexistent/vmcore");
    FAIL();
  } catch (const kdumpkit::Error& error) {
    EXPECT_EQ(KDUMPKIT_ERROR_MISSING, error.code());
    EXPECT_NE(nullptr, std::strstr(error.what(), "/nonexistent/vmcore"));
    EXPECT_EQ("/nonexistent/vmcore", error.file());
    EXPECT_FALSE(error.address());
  }
  kdumpkit::Dump dump = open();
  try {
    dump.read<std::uint64_t>(kdumpkit::Space::kernel, 0x400000);
    FAIL();
  } catch (const kdumpkit::Error& error) {
    EXPECT_EQ(0x400000u, error.address());
    EXPECT_EQ(KDUMPKIT_MEMORY_NOT_KERNEL, error.memory());
  }
}

TEST(CppInterface, AbsenceIsNullopt) {
  kdumpkit::Dump dump = open();
  EXPECT_FALSE(dump.symbol("no_such_symbol"));
  EXPECT_FALSE(dump.symbol_at(16));
  EXPECT_FALSE(dump.type("nosuch"));
  EXPECT_FALSE(dump.member("task_struct", "nosuch"));
  EXPECT_FALSE(dump.type_size("nosuch"));
  EXPECT_FALSE(dump.member_offset("task_struct", "nosuch"));
  EXPECT_FALSE(dump.enumerator("NOSUCH"));
  EXPECT_FALSE(dump.translate(~std::uint64_t{0} - 4095));
  EXPECT_FALSE(dump.vmcoreinfo("NOSUCH"));
  EXPECT_FALSE(kdumpkit::known(-1));
  EXPECT_EQ(0, kdumpkit::known(0));
}

TEST(CppInterface, ListsAreRanges) {
  kdumpkit::Dump dump = open();
  const kdumpkit::Tasks tasks = dump.tasks();
  EXPECT_EQ(9u, tasks.size());
  const auto blocked =
      std::find_if(tasks.begin(), tasks.end(), [](const kdumpkit::Task& task) { return task.pid == 90; });
  ASSERT_NE(tasks.end(), blocked);
  EXPECT_STREQ("blocked", blocked->comm);
  EXPECT_EQ(&*blocked, &tasks[static_cast<std::size_t>(blocked - tasks.begin())]);
#if __cplusplus >= 202002L
  auto running = tasks | std::views::filter([](const kdumpkit::Task& task) { return task.on_cpu == 1; });
  EXPECT_EQ(1, std::ranges::distance(running));
#endif
  const std::optional<kdumpkit::Type> type = dump.type("struct task_struct");
  ASSERT_TRUE(type);
  std::set<std::string> names;
  for (const kdumpkit::Member& member : type->members()) names.insert(member.name);
  EXPECT_EQ(1u, names.count("comm"));
  std::size_t errors = 0;
  for (const kdumpkit::Record& record : dump.log()) errors += record.level == 0;
  EXPECT_LT(0u, errors);
}

TEST(CppInterface, ValuesByType) {
  kdumpkit::Dump dump = open();
  const std::optional<kdumpkit::Symbol> init = dump.symbol("init_task");
  ASSERT_TRUE(init);
  EXPECT_EQ(synthetic_init_task(), init->address);
  const auto comm = dump.read<std::array<char, 16>>(
      kdumpkit::Space::kernel, init->address + dump.member_offset("task_struct", "comm").value());
  EXPECT_STREQ("swapper/0", comm.data());
  const auto at = dump.translate(init->address);
  ASSERT_TRUE(at);
  EXPECT_EQ(dump.read<std::uint64_t>(kdumpkit::Space::kernel, init->address + 8),
            dump.read<std::uint64_t>(kdumpkit::Space::physical, at->physical + 8));
  const kdumpkit::Walk walk = dump.walk(init->address);
  EXPECT_STREQ("leaf", walk[walk.size() - 1].kind);
  EXPECT_EQ("6.12.0-synthetic", dump.vmcoreinfo("OSRELEASE"));
#ifdef __cpp_lib_span
  std::array<std::byte, 16> bytes{};
  dump.read(kdumpkit::Space::kernel, init->address, std::span(bytes));
  EXPECT_EQ(16u, dump.read_pieces(kdumpkit::Space::kernel, init->address, std::span(bytes))->readable_bytes);
#endif
}

TEST(CppInterface, TheCrashAndItsStacks) {
  kdumpkit::Dump dump = open();
  kdumpkit::Dump moved = std::move(dump);
  const kdumpkit::Crash crash = moved.crash();
  EXPECT_STREQ("sysrq_crash", crash->class_name);
  EXPECT_EQ(2u, crash.cpus().size());
  bool panic = false;
  for (const kdumpkit::Frame& frame : kdumpkit::items(*crash->crashed_cpu->backtrace))
    panic |= std::strcmp(frame.symbol, "panic") == 0;
  EXPECT_TRUE(panic);
  EXPECT_TRUE(moved.backtrace(crash->crashed_cpu->task));
  EXPECT_EQ(moved.info().ram_bytes, moved.clone().ram()->readable_bytes);
  EXPECT_EQ("a\\x1b[m", kdumpkit::escape("a\x1b[m"));
  EXPECT_STREQ("synthetic", moved.system()->hostname);
  EXPECT_EQ(1u, moved.modules().size());
  EXPECT_LT(10u, moved.symbols().size());
  EXPECT_EQ(1u, moved.symbols("panic").size());
}

}  // namespace
