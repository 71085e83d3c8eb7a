#include "analyze/inspect/doctor.h"

#include <gtest/gtest.h>

namespace kdk {
namespace {

TEST(Doctor, WhoseKernelItIs) {
  EXPECT_EQ("Debian",
            distribution_of("6.12.117+deb12-cloud-arm64", "#1 SMP Debian 6.12.117-1~deb12u1 (2026-11-14)"));
  EXPECT_EQ("Ubuntu", distribution_of("6.8.0-45-generic", "#45-Ubuntu SMP PREEMPT_DYNAMIC"));
  EXPECT_EQ("Fedora", distribution_of("6.11.4-301.fc41.x86_64", "#1 SMP PREEMPT_DYNAMIC"));
  EXPECT_EQ("Fedora", distribution_of("5.14.0-427.el9.aarch64", "#1 SMP"));
  EXPECT_EQ("SUSE", distribution_of("6.4.0-150600.21-default", "#1 SMP PREEMPT_DYNAMIC"));
  EXPECT_EQ("", distribution_of("6.12.0-mine", "#1 SMP"));
  EXPECT_EQ("", distribution_of("6.12.fcx", ""));
}

TEST(Doctor, ItsPackage) {
  auto names = [](const char* distribution, const char* release, const char* part) {
    return debug_package(distribution, release).find(part) != std::string::npos;
  };
  EXPECT_TRUE(names("Debian", "6.1.0-56-cloud-amd64", "linux-image-6.1.0-56-cloud-amd64-dbg"));
  EXPECT_TRUE(names("Ubuntu", "6.8.0-45-generic", "linux-image-unsigned-6.8.0-45-generic-dbgsym"));
  EXPECT_TRUE(
      names("Fedora", "6.11.4-301.fc41.x86_64", "/usr/lib/debug/lib/modules/6.11.4-301.fc41.x86_64/vmlinux"));
  EXPECT_TRUE(
      names("SUSE", "6.4.0-150600.21-default", "kernel-default-debuginfo of version 6.4.0-150600.21"));
  EXPECT_EQ("", debug_package("", "6.12.0"));
}

TEST(Doctor, GoodWhenEverythingIs) {
  Doctor doctor;
  doctor.checks = {{"dump", "good", "", "", {}}};
  EXPECT_TRUE(doctor.good());
  doctor.checks.push_back({"types", "partial", "", "", {}});
  EXPECT_FALSE(doctor.good());
}

}  // namespace
}  // namespace kdk
