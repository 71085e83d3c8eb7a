// Configurations of other kdumps, as distributions ship them or people write them.
#include <gtest/gtest.h>

#include "capture/import/import_config.h"
#include "capture/import/shell_assignments.h"
#include "capture/run/run_config.h"
#include "core/base/error.h"

namespace kdk {
namespace {

struct Imported {
  RunConfig config;
  std::vector<std::string> notes;
  std::string toml;
};

Imported imported(const std::vector<ForeignFile>& files) {
  const ImportedConfig out = import_config(files);
  return {read_run_config(ConfigFile::parse(out.toml, "imported")), out.notes, out.toml};
}
Imported imported(const std::string& text) {
  return imported({{"f", text}});
}

TEST(ShellAssignments, OnlyWhatEveryShellTakesTheSameWay) {
  const std::vector<ShellAssignment> found = shell_assignments(
      "# A=0\nA=1\n B=\"a b\" # why\nexport C='$x'\nD=$A\nE=\"a$(date)\"\nF=a b\nG=\"open\nif "
      "true\nH=\nI=a\"b\"c\n");
  std::vector<std::string> seen;
  for (const ShellAssignment& a : found)
    seen.push_back(a.name + "=" + a.value + (a.is_plain ? "" : " !") + std::to_string(a.line));
  EXPECT_EQ(seen, (std::vector<std::string>{"A=12", "B=a b3", "C=$x4", "D=$A !5", "E=\"a$(date)\" !6",
                                            "F=a b !7", "G=\"open !8", "=if true !9", "H=10", "I=abc11"}));
  EXPECT_TRUE(shell_assignments("path /var/crash\next4 UUID=1\n").empty());
}

TEST(Import, KdumpConf) {
  const Imported got = imported(
      "# comment\npath /var/dumps\next4 UUID=abc-1\ncore_collector makedumpfile -l --message-level 7 -d 17\n"
      "failure_action shell\nfinal_action poweroff\n");
  ASSERT_EQ(got.config.targets.size(), 1);
  EXPECT_EQ(got.config.targets[0].kind, TargetKind::mount);
  EXPECT_EQ(got.config.targets[0].device, "UUID=abc-1");
  EXPECT_EQ(got.config.targets[0].file_system, "ext4");
  EXPECT_EQ(got.config.targets[0].path, "var/dumps");
  EXPECT_EQ(got.config.levels, std::vector<unsigned>{17});
  EXPECT_EQ(got.config.codec, Codec::lzo);
  EXPECT_EQ(got.config.failure_action, FinalAction::shell);
  EXPECT_EQ(got.config.final_action, FinalAction::poweroff);
  EXPECT_TRUE(got.notes.empty());
}

TEST(Import, KdumpConfWithoutATarget) {
  EXPECT_EQ(imported("path /dumps\n").config.targets.at(0).path, "/dumps");
  EXPECT_EQ(imported("# all defaults\n").config.targets.at(0).path, "/var/crash");
}

TEST(Import, KdumpConfNetwork) {
  const Imported got = imported("nfs 192.0.2.1:/srv\npath a\ndefault dump_to_rootfs\n");
  ASSERT_EQ(got.config.targets.size(), 2);
  EXPECT_EQ(got.config.targets[0].server, "192.0.2.1");
  EXPECT_EQ(got.config.targets[0].exported, "/srv");
  EXPECT_EQ(got.config.targets[0].path, "a");
  EXPECT_EQ(got.config.targets[1].path, "/var/crash");
  const Imported ssh = imported("ssh kdump@host\nsshkey /etc/kdump/key\npath /srv/x\n");
  EXPECT_EQ(ssh.config.targets.at(0).server, "kdump@host");
  EXPECT_EQ(ssh.config.targets[0].path, "/srv/x");
  EXPECT_EQ(ssh.config.targets[0].command.at(2), "/etc/kdump/key");
  const Imported name = imported("nfs server.example:/srv\n");
  EXPECT_TRUE(name.notes.empty());
  EXPECT_EQ(name.config.targets.at(0).server, "server.example");
}

TEST(Import, WhatIsLostIsSaid) {
  const Imported got = imported(
      "kdump_pre /usr/bin/x\ncore_collector scp\ncore_collector makedumpfile --cyclic-buffer 1\nraw "
      "/dev/sdb1\n");
  EXPECT_EQ(got.notes, (std::vector<std::string>{
                           "f:1: kdump_pre /usr/bin/x: is not imported",
                           "f:2: core_collector scp: only makedumpfile's options are understood",
                           "f:3: core_collector --cyclic-buffer: makedumpfile's option has no counterpart",
                           "f:3: core_collector 1: makedumpfile's option has no counterpart",
                           "f:4: raw /dev/sdb1: prepare the partition once: kdump-capture claim"}));
  for (const std::string& note : got.notes)
    EXPECT_NE(got.toml.find("# Not here: " + note + "\n"), std::string::npos);
  EXPECT_EQ(got.config.targets.at(0).kind, TargetKind::raw);
}

TEST(Import, KdumpTools) {
  const Imported got = imported(
      "USE_KDUMP=1\nKDUMP_COREDIR=\"/srv/crash\"\n#NFS=\"x\"\nMAKEDUMP_ARGS=\"-c -d "
      "31,17\"\nKDUMP_NUM_DUMPS=3\n"
      "KDUMP_FAIL_CMD=\"reboot -f\"\nKDUMP_CMDLINE_APPEND=\"nr_cpus=2 "
      "irqpoll\"\nKDUMP_SYSCTL=\"kernel.panic_on_oops=1\"\n");
  EXPECT_EQ(got.config.targets.at(0).path, "/srv/crash");
  EXPECT_EQ(got.config.targets[0].keep, 3);
  EXPECT_EQ(got.config.levels, (std::vector<unsigned>{31, 17}));
  EXPECT_EQ(got.config.codec, Codec::zlib);
  EXPECT_EQ(got.config.failure_action, FinalAction::reboot);
  EXPECT_NE(got.toml.find("[load]\nappend = \"nr_cpus=2 irqpoll\"\n\n[capture]"), std::string::npos);
  EXPECT_EQ(got.notes, (std::vector<std::string>{
                           "f:8: KDUMP_SYSCTL kernel.panic_on_oops=1: is not imported"}));
}

TEST(Import, Suse) {
  const Imported got = imported(
      "KDUMP_SAVEDIR=\"file:///dumps nfs://192.0.2.7/srv/x ssh://u@h/z "
      "ftp://h/y\"\nKDUMP_DUMPLEVEL=\"24\"\nKDUMP_DUMPFORMAT=\"snappy\"\n"
      "KDUMP_KEEP_OLD_DUMPS=\"5\"\nKDUMP_IMMEDIATE_REBOOT=\"yes\"\nKDUMP_KERNELVER=\"\"\n");
  ASSERT_EQ(got.config.targets.size(), 3);
  EXPECT_EQ(got.config.targets[0].path, "/dumps");
  EXPECT_EQ(got.config.targets[1].exported, "/srv/x");
  EXPECT_EQ(got.config.targets[1].keep, 5);
  EXPECT_EQ(got.config.targets[2].server, "u@h");
  EXPECT_EQ(got.config.targets[2].path, "/z");
  EXPECT_EQ(got.config.levels, std::vector<unsigned>{24});
  EXPECT_EQ(got.config.codec, Codec::snappy);
  EXPECT_EQ(got.notes, std::vector<std::string>{
                           "f:1: KDUMP_SAVEDIR ftp://h/y: a target of this kind does not exist here"});
}

TEST(Import, SeveralFiles) {
  const Imported got = imported(
      {{"/etc/kdump.conf", "path /x\n"}, {"/etc/sysconfig/kdump", "KDUMP_COMMANDLINE_APPEND=\"a\tb\"\n"}});
  EXPECT_EQ(got.config.targets.at(0).path, "/x");
  ASSERT_EQ(got.notes.size(), 1);
  EXPECT_EQ(got.notes[0].find("/etc/sysconfig/kdump:1: "), 0);
}

TEST(Import, NonsenseIsAnError) {
  for (const auto& [text, expected] :
       {std::pair{"core_collector makedumpfile -d 40\n", "f:1: \"40\" is no dump level"},
        std::pair{"KDUMP_NUM_DUMPS=many\n", "f:1: \"many\" is no number of dumps"}}) {
    try {
      imported(text);
      FAIL() << text;
    } catch (const Error& e) {
      EXPECT_EQ(e.message(), expected);
    }
  }
}

}  // namespace
}  // namespace kdk
