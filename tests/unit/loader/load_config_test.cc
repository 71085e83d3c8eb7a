// The section [load]: what is taken over, and the line of every mistake.
#include "loader/state/load_config.h"

#include <gtest/gtest.h>

#include <fstream>

namespace kdk {
namespace {

LoadConfig config(const std::string& text) {
  return read_load_config(ConfigFile::parse(text, "f.toml"), "6.1.0-9-arm64");
}

std::string problem(const std::string& text) {
  try {
    const ConfigFile file = ConfigFile::parse(text, "f.toml");
    (void)read_load_config(file, "6.1");
    check_named_files(file);
  } catch (const Error& e) {
    return e.message();
  }
  return {};
}

TEST(LoadConfig, NothingSaidIsTheRunningKernel) {
  for (const char* text : {"", "[load]\n", "[capture]\nlevel = 1\n[[target]]\nkind = \"raw\"\n"}) {
    const LoadConfig got = config(text);
    EXPECT_EQ(got.kernel, "/boot/vmlinuz-6.1.0-9-arm64");
    EXPECT_EQ(got.initrd, "/var/lib/kdumpkit/initramfs-6.1.0-9-arm64.img");
    EXPECT_EQ(got.command_line, std::nullopt);
    EXPECT_EQ(got.append, "");
    EXPECT_EQ(got.call, std::nullopt);
    EXPECT_EQ(got.digest, DigestMode::automatic);
  }
}

TEST(LoadConfig, EveryKey) {
  const LoadConfig got = config(
      "[load]\nkernel = \"/k\"\ninitrd = \"/i\"\ncommand_line = \"root=/dev/vda1\"\nappend = \"a b=c\"\n"
      "syscall = \"file\"\ndigest = \"off\"\n");
  EXPECT_EQ(got.kernel, "/k");
  EXPECT_EQ(got.initrd, "/i");
  EXPECT_EQ(got.command_line, "root=/dev/vda1");
  EXPECT_EQ(got.append, "a b=c");
  EXPECT_EQ(got.call, LoadCall::kexec_file_load);
  EXPECT_EQ(got.digest, DigestMode::off);
  EXPECT_EQ(config("[load]\nsyscall = \"kexec\"\ndigest = \"on\"\n").call, LoadCall::kexec_load);
  EXPECT_EQ(config("[load]\nsyscall = \"kexec\"\ndigest = \"on\"\n").digest, DigestMode::on);
  EXPECT_EQ(config("[load]\nsyscall = \"auto\"\n").call, std::nullopt);
  EXPECT_EQ(config("[load]\ninitrd = \"/i\"\n").kernel, "/boot/vmlinuz-6.1.0-9-arm64");
}

TEST(LoadConfig, EveryMistakeHasItsLine) {
  for (const auto& [text, expected] : std::vector<std::pair<std::string, std::string>>{
           {"[load]\n\nkernal = \"/k\"\n", "f.toml:3: load.kernal: there is no such key"},
           {"[loader]\nkernel = \"/k\"\n", "f.toml:1: loader: there is no such section"},
           {"[load]\nkernel = \"k\"\ninitrd = \"/i\"\n", "f.toml:2: load.kernel: \"k\" is not an absolute path"},
           {"[load]\nkernel = \"/k\"\n", "f.toml:2: load.kernel: needs initrd"},
           {"[load]\nappend = \"a\\nb\"\n", "f.toml:2: load.append: has a control character"},
           {"[load]\nappend = [\"a\"]\n", "f.toml:2: load.append: must be a string"},
           {"[load]\nsyscall = \"best\"\n", "f.toml:2: load.syscall: \"best\" is not one of auto, file, kexec"},
           {"[load]\ndigest = true\n", "f.toml:2: load.digest: must be a string"},
           {"[[load]]\nappend = \"a\"\n", "f.toml:1: load must be a table, [load]"},
           {"[load]\nappend = \"a\"\nappend = \"b\"\n", "f.toml:3: "},
           {"[load]\ninitrd = \"/nonexistent\"\n", "f.toml:2: load.initrd: /nonexistent: there is no such file"},
           {"[load]\ninitrd = \"/\"\n", "f.toml:2: load.initrd: /: there is no such file"}}) {
    EXPECT_EQ(problem(text).find(expected), 0) << text << "-> " << problem(text);
  }
}

// The example says what the defaults are, and its keys are those that exist.
TEST(LoadConfig, TheExampleIsGood) {
  std::ifstream file(KDK_EXAMPLE_CONFIG);
  std::string text, line, section;
  while (std::getline(file, line)) {
    if (line.starts_with("[")) section = line;
    const bool setting = line.size() > 1 && line[0] == '#' && line[1] != ' ';
    text += (setting && section == "[load]" ? line.substr(1) : line) + "\n";
  }
  const LoadConfig spelled = config(text);
  EXPECT_EQ(spelled.kernel, "/boot/vmlinuz-6.1");
  EXPECT_EQ(spelled.initrd, "/var/lib/kdumpkit/initramfs-6.1.img");
  EXPECT_EQ(spelled.append, "nr_cpus=1 irqpoll");
  EXPECT_TRUE(spelled.command_line);
  EXPECT_EQ(spelled.call, std::nullopt);
  EXPECT_EQ(spelled.digest, DigestMode::automatic);
  EXPECT_EQ(config(std::string(std::istreambuf_iterator<char>(std::ifstream(KDK_EXAMPLE_CONFIG).rdbuf()), {})).append, "");
}

}  // namespace
}  // namespace kdk
