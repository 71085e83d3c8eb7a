#include <gtest/gtest.h>

#include "core/base/error.h"
#include "loader/plan/checks.h"
#include "loader/reserve/recommend.h"
#include "loader/state/record.h"
#include "tests/support/fake_machine.h"

namespace kdk {
namespace {

using State = Reservation::State;
using testing::FakeMachine;
using testing::TempDir;

constexpr uint64_t MiB = 1 << 20;

class Reserve : public ::testing::Test {
 protected:
  Reservation reservation() {
    fake.write(dir.path() / "root");
    return read_reservation(root, read_machine(root));
  }

  // With an initramfs of files of zeros.
  Recommendation recommendation(const std::vector<testing::FakeFile>& files, RecommendInputs inputs = {}) {
    Reservation now = reservation();
    inputs.kernel = dir.path() / "Image";
    inputs.initrd = dir.path() / "initrd";
    testing::FakeImage image;
    image.image_size = 0x2240000;
    testing::write_test_file(inputs.kernel, image.bytes());
    initrd = testing::gzip(testing::fake_cpio(files));
    testing::write_test_file(inputs.initrd, initrd);
    return recommend(root, read_machine(root), now, inputs);
  }

  // What `plan` would say of that initramfs in a region of `size`.
  Check::Status forecast(uint64_t size, const std::string& append) {
    LoadPlan plan;
    plan.architecture = &arm64_architecture;
    plan.image.running_size = plan.image.image_size = 0x2240000;
    plan.image.page_size = 4096;
    plan.crash_regions = {{0x40000000, size}};
    plan.command_line.text = append;
    return check_unpacking(plan, initrd).status;
  }

  TempDir dir;
  FakeMachine fake;
  SysRoot root{dir.path() / "root"};
  std::vector<uint8_t> initrd;
};

TEST_F(Reserve, AsAsked) {
  Reservation now = reservation();
  EXPECT_EQ(now.state, State::as_asked) << now.detail;
  EXPECT_EQ(now.ram, testing::fake_ram_size);
  EXPECT_FALSE(now.loaded);
}

TEST_F(Reserve, SomethingElse) {
  for (auto [line, state, part] : {std::tuple{"quiet", State::differs, "nothing would be"},
                                   {"crashkernel=512M", State::differs, "made smaller"},
                                   {"crashkernel=128M", State::differs, "more than the 128.0 MiB"},
                                   {"crashkernel=256M@64M", State::differs, "not at 0x4000000"},
                                   {"crashkernel=256M,high", State::as_asked, "no room above"}}) {
    fake.command_line = line;
    Reservation now = reservation();
    EXPECT_EQ(now.state, state) << line;
    EXPECT_NE(now.detail.find(part), std::string::npos) << now.detail;
  }
}

TEST_F(Reserve, Nothing) {
  fake.iomem = "40000000-7fffffff : System RAM\n";
  for (auto [line, state, part] : {std::tuple{"quiet", State::not_asked, "no crashkernel="},
                                   {"crashkernel=512M", State::missing, "no room"},
                                   {"crashkernel=512M@1M", State::missing, "leave the offset away"},
                                   {"crashkernel=512Z", State::missing, "character 4"}}) {
    fake.command_line = line;
    Reservation now = reservation();
    EXPECT_EQ(now.state, state) << line;
    EXPECT_NE(now.detail.find(part), std::string::npos) << now.detail;
  }
}

// Which kernel it is shows in what it did.
TEST_F(Reserve, RoundedOrNot) {
  fake.iomem =
      "40000000-7fafffff : System RAM\n"
      "  60000000-6fffffff : Crash kernel\n";
  fake.command_line = "crashkernel=512M-1G:256M,1G-:128M";
  EXPECT_EQ(reservation().state, State::as_asked) << "6.1 does not round 1019 MiB up";
  fake.command_line = "crashkernel=512M-1G:128M,1G-:256M";
  EXPECT_EQ(reservation().state, State::as_asked);
}

TEST_F(Reserve, TheForecastForWhatIsRecommendedIsGood) {
  for (const std::string append : {"root=/dev/vda1 rootfstype=tmpfs", "root=/dev/vda1"}) {
    Recommendation needed = recommendation({{"init", 90 * MiB}}, {"", "", false, append, 0});
    EXPECT_EQ(forecast(needed.size, append), Check::Status::ok) << append;
    const bool limited = append.ends_with("tmpfs");
    EXPECT_EQ(forecast(needed.unpacking - 4 * MiB, append),
              limited ? Check::Status::failed : Check::Status::warning)
        << append;
    EXPECT_EQ(forecast(needed.unpacking - 20 * MiB, append), Check::Status::failed) << append;
    EXPECT_GE(needed.size, std::max(needed.unpacking, needed.capturing) + needed.margin);
    EXPECT_EQ(needed.size % (16 * MiB), 0u);
  }
}

uint64_t capturing(const Recommendation& needed, std::string_view name) {
  for (const MemoryItem& item : needed.items) {
    if (item.name == name) return item.capturing;
  }
  return 0;
}

TEST_F(Reserve, WhatCounts) {
  Recommendation base = recommendation({{"init", MiB}});
  EXPECT_EQ(base.crashkernel, "crashkernel=112M");
  EXPECT_EQ(capturing(base, "initrd_unpacked"), MiB);
  EXPECT_EQ(capturing(base, "extra"), 0u);
  EXPECT_EQ(capturing(recommendation({{"init", MiB}}, {"", "", false, "", 5 * MiB}), "extra"), 5 * MiB);
  fake.cpus = {{0, 0x7fdb0000}, {1, 0x7fdc0000}, {2, 0x7fdd0000}, {3, 0x7fde0000}};
  Recommendation four = recommendation({{"init", MiB}}, {"", "", false, "nr_cpus=4", 0});
  EXPECT_EQ(capturing(four, "cpus"), 3 * MiB);
  EXPECT_EQ(capturing(four, "capture") - capturing(base, "capture"), 9 * MiB) << "a thread each";
  EXPECT_EQ(recommendation({{"init", MiB}}, {"", "", false, "nr_cpus=64", 0}).cpus, 4u)
      << "there are no more";
  // Two bits for each of 262144 pages of 4 KiB.
  EXPECT_EQ(capturing(base, "capture"), 16 * MiB + 3 * MiB + (64 << 10));
}

TEST_F(Reserve, DriversOfTheRunningKernel) {
  Recommendation base = recommendation({{"init", MiB}});
  EXPECT_EQ(capturing(base, "drivers"), 0u);
  std::string modules = "ext4 1048576 1 - Live 0x0\nvirtio_blk 4096 0 - Live 0x0\n";
  Reservation now = reservation();
  testing::write_test_file(root.path("/proc/modules"), as_bytes(modules));
  Recommendation with = recommend(root, read_machine(root), now, {base.kernel, base.initrd, false, "", 0});
  EXPECT_EQ(capturing(with, "drivers"), MiB + 4096);
}

TEST_F(Reserve, HighStaysHigh) {
  fake.command_line = "crashkernel=256M,high crashkernel=64M,low";
  fake.crash_size.reset();
  fake.iomem =
      "40000000-bfffffff : System RAM\n"
      "  b8000000-bbffffff : Crash kernel\n"
      "800000000-87fffffff : System RAM\n"
      "  840000000-84fffffff : Crash kernel\n";
  Recommendation needed = recommendation({{"init", 60 * MiB}});
  EXPECT_EQ(needed.crashkernel,
            "crashkernel=" + memory_size_text(needed.size - 64 * MiB) + ",high crashkernel=64M,low");
  EXPECT_TRUE(needed.enough);
  EXPECT_EQ(capturing(needed, "bounce_buffers"), 64 * MiB);
  EXPECT_EQ(
      capturing(recommendation({{"init", MiB}}, {"", "", false, "swiotlb=noforce", 0}), "bounce_buffers"),
      0u);
}

TEST_F(Reserve, OfTheLoadedKernel) {
  fake.crash_loaded = "1\n";
  fake.write(dir.path() / "root");
  Machine machine = read_machine(root);
  EXPECT_THROW(recommend(root, machine, read_reservation(root, machine), {}), Error);
  PreparedLoad load;
  load.request = {"/boot/Image", "", "", {}, "nr_cpus=2", true, false, false, {}};
  load.plan.architecture = machine.architecture;
  load.segments = {{"kernel", {0x6ac00000, 0x200000}, "00"}};
  write_record(root, make_record(root, load));
  testing::write_test_file(root.path("/boot/Image"), testing::FakeImage().bytes());
  Reservation now = read_reservation(root, machine);
  EXPECT_EQ(now.segments.size(), 1u);
  Recommendation needed = recommend(root, machine, now, {});
  EXPECT_EQ(needed.kernel, root.path("/boot/Image"));
  EXPECT_EQ(needed.cpus, 2u);
}

}  // namespace
}  // namespace kdk
