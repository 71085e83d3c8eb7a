// Names, retention, raw partitions and the configuration of `run`.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "capture/run/devices.h"
#include "capture/run/dump_name.h"
#include "capture/run/raw_format.h"
#include "capture/run/raw_place.h"
#include "capture/run/retention.h"
#include "capture/run/run_config.h"
#include "core/base/error.h"

namespace kdk {
namespace {

namespace fs = std::filesystem;

struct Directory {
  Directory() {
    std::string name = testing::TempDir() + "kdk-run-XXXXXX";
    path = ::mkdtemp(name.data());
  }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;
  ~Directory() { fs::remove_all(path); }
  fs::path path;
};

void write(const fs::path& file, size_t bytes) {
  fs::create_directories(file.parent_path());
  std::ofstream(file) << std::string(bytes, 'x');
}

TEST(DumpName, HostAndTime) {
  EXPECT_EQ(dump_name("db7", 1'795'494'600), "db7-2026-11-24T04-30-00Z");
  EXPECT_EQ(dump_name("a b/../c'\n", 0), "ab..c-1970-01-01T00-00-00Z");
  EXPECT_EQ(dump_name("(none)", 0), "host-1970-01-01T00-00-00Z");
  EXPECT_EQ(dump_name("-rf", 0), "rf-1970-01-01T00-00-00Z");
  EXPECT_EQ(dump_name("", UINT64_MAX), "host-9999-12-31T23-59-59Z");
  EXPECT_EQ(dump_name(std::string(300, 'h'), 0).size(), 64 + 21);
}

TEST(DumpName, TakenApart) {
  const auto name = parse_dump_name("db-7-2026-11-24T04-30-00Z-12.incomplete");
  ASSERT_TRUE(name);
  EXPECT_EQ(name->host, "db-7");
  EXPECT_EQ(name->time, "2026-11-24T04-30-00Z");
  EXPECT_EQ(name->number, 12);
  EXPECT_EQ(name->state, DumpState::incomplete);
  const auto first = parse_dump_name("db-7-2026-11-24T04-30-00Z");
  EXPECT_EQ(first->number, 1);
  EXPECT_EQ(first->state, DumpState::whole);
  EXPECT_TRUE(first->same_crash(*name));
  EXPECT_EQ(parse_dump_name("a-2026-11-24T04-30-00Z.partial")->state, DumpState::partial);
  EXPECT_FALSE(first->same_crash(*parse_dump_name("db-7-2026-11-24T04-30-01Z")));
  EXPECT_FALSE(first->same_crash(*parse_dump_name("db-2026-11-24T04-30-00Z")));
}

TEST(DumpName, StrangersAreNone) {
  for (const char* stranger :
       {"", "lost+found", ".partial", "a-2026-11-24T04-30-00Z.part", "a-2026-11-24",
        "a/b-2026-11-24T04-30-00Z", "-2026-11-24T04-30-00Z", "a-2026-11-24T04-30-00Z-",
        "a-2026-11-24T04-30-00Z-x", "a-2026-11-24T04-30-00Z-2x", "a-2026-11-24T04-30-00Z--2",
        "a-2026-11-24T04-30-00Z-99999999999", "a-2026-11-24T04-30-00Z.partial.partial"}) {
    EXPECT_FALSE(parse_dump_name(stranger)) << stranger;
  }
}

struct RetentionTest : testing::Test {
  void add(const std::string& name, size_t bytes) { write(here.path / name / "vmcore", bytes); }
  std::vector<std::string> left() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(here.path)) names.push_back(entry.path().filename());
    std::ranges::sort(names);
    return names;
  }
  Directory here;
  std::vector<std::string> notes;
};

TEST_F(RetentionTest, KeepsTheNewestOfAllHosts) {
  add("a-2026-01-01T00-00-00Z", 1);
  add("b-2026-01-02T00-00-00Z", 1);
  add("a-2026-01-03T00-00-00Z.incomplete", 1);
  add("a-2026-01-04T00-00-00Z-2", 1);
  add("a-2026-01-04T00-00-00Z-10", 1);
  const auto deleted = apply_retention(here.path, {3, 0}, "a-2026-01-04T00-00-00Z-10", notes);
  EXPECT_EQ(deleted.size(), 2);
  EXPECT_EQ(left(), (std::vector<std::string>{"a-2026-01-03T00-00-00Z.incomplete",
                                              "a-2026-01-04T00-00-00Z-10", "a-2026-01-04T00-00-00Z-2"}));
  apply_retention(here.path, {1, 0}, "a-2026-01-04T00-00-00Z-10", notes);
  EXPECT_EQ(left(), std::vector<std::string>{"a-2026-01-04T00-00-00Z-10"});
  EXPECT_TRUE(notes.empty());
  EXPECT_TRUE(apply_retention(here.path, {0, 0}, {}, notes).empty());
}

TEST_F(RetentionTest, KeepsASizeButAlwaysTheNewest) {
  add("a-2026-01-01T00-00-00Z", 100);
  add("a-2026-01-02T00-00-00Z", 100);
  add("a-2026-01-03T00-00-00Z", 100);
  apply_retention(here.path, {0, 250}, {}, notes);
  EXPECT_EQ(left().size(), 2);
  apply_retention(here.path, {0, 10}, {}, notes);
  EXPECT_EQ(left(), std::vector<std::string>{"a-2026-01-03T00-00-00Z"});
}

TEST_F(RetentionTest, SealedAndSplitDumpsCountToo) {
  for (const char* file : {"dmesg.txt.sealed", "summary.json.sealed", "vmcore.sealed", "SHA256SUMS"})
    write(here.path / "a-2026-01-01T00-00-00Z" / file, 1);
  for (const char* file : {"dmesg.txt", "vmcore.1", "vmcore.2"})
    write(here.path / "a-2026-01-02T00-00-00Z" / file, 1);
  add("a-2026-01-03T00-00-00Z", 1);
  EXPECT_EQ(apply_retention(here.path, {1, 0}, {}, notes).size(), 2);
  EXPECT_EQ(left(), std::vector<std::string>{"a-2026-01-03T00-00-00Z"});
}

TEST_F(RetentionTest, TouchesNothingElse) {
  add("a-2026-01-01T00-00-00Z", 1);
  add("a-2026-01-02T00-00-00Z", 1);
  write(here.path / "a-2025-01-01T00-00-00Z" / "thesis.tex", 1);
  write(here.path / "a-2025-01-03T00-00-00Z" / "vmcorectomy", 1);
  write(here.path / "notes", 1);
  fs::create_directory_symlink("/usr", here.path / "a-2024-01-01T00-00-00Z");
  apply_retention(here.path, {1, 0}, "a-2026-01-02T00-00-00Z", notes);
  EXPECT_EQ(left(), (std::vector<std::string>{"a-2024-01-01T00-00-00Z", "a-2025-01-01T00-00-00Z",
                                              "a-2025-01-03T00-00-00Z", "a-2026-01-02T00-00-00Z", "notes"}));
}

// Whoever crashes again and again, and is reset each time before the dump is whole, must not fill its disk.
TEST_F(RetentionTest, WhatADeadWriterLeftGoesFirst) {
  add("a-2026-01-01T00-00-00Z", 1);
  add("a-2026-01-02T00-00-00Z.partial", 1);
  add("a-2026-01-03T00-00-00Z.partial", 1);
  write(here.path / "a-2026-01-03T00-00-00Z.partial" / "vmcore.partial-77", 1);
  add("b-2026-01-01T00-00-00Z.partial", 1);  // of another machine, whose locks are not seen here
  add("a-2026-01-04T00-00-00Z.partial", 1);  // of this crash: until its dump is whole
  EXPECT_TRUE(apply_retention(here.path, {1, 0}, {}, notes).empty()) << "nobody knows whose";
  const std::string current = "a-2026-01-04T00-00-00Z-2.partial";
  add(current, 1);
  EXPECT_EQ(apply_retention(here.path, {2, 0}, current, notes),
            std::vector<fs::path>{here.path / "a-2026-01-02T00-00-00Z.partial"});
  EXPECT_EQ(apply_retention(here.path, {1, 0}, current, notes),
            std::vector<fs::path>{here.path / "a-2026-01-03T00-00-00Z.partial"});
  EXPECT_EQ(left(),
            (std::vector<std::string>{"a-2026-01-01T00-00-00Z", "a-2026-01-04T00-00-00Z-2.partial",
                                      "a-2026-01-04T00-00-00Z.partial", "b-2026-01-01T00-00-00Z.partial"}));
}

TEST_F(RetentionTest, WhatIsBeingWrittenStays) {
  add("a-2026-01-01T00-00-00Z", 1);
  add("a-2026-01-02T00-00-00Z.partial", 1);
  {
    const Fd writer = mark_as_being_written(here.path / "a-2026-01-02T00-00-00Z.partial");
    ASSERT_TRUE(writer);
    EXPECT_FALSE(mark_as_being_written(here.path / "a-2026-01-02T00-00-00Z.partial")) << "another is at it";
    EXPECT_TRUE(apply_retention(here.path, {1, 0}, "a-2026-01-03T00-00-00Z", notes).empty());
    EXPECT_TRUE(delete_dead_tries(here.path, "a-2026-01-02T00-00-00Z", notes).empty());
  }
  EXPECT_EQ(apply_retention(here.path, {1, 0}, "a-2026-01-03T00-00-00Z", notes).size(), 1);
}

TEST_F(RetentionTest, DeadTriesOfTheSameCrashOnly) {
  add("a-2026-01-01T00-00-00Z.partial", 1);
  add("a-2026-01-01T00-00-00Z-2.partial", 1);
  write(here.path / "a-2026-01-01T00-00-00Z-4.partial" / "thesis.tex", 1);
  add("a-2026-01-02T00-00-00Z.partial", 1);
  add("b-2026-01-01T00-00-00Z.partial", 1);
  add("a-2026-01-01T00-00-00Z.incomplete", 1);
  EXPECT_EQ(delete_dead_tries(here.path, "a-2026-01-01T00-00-00Z-3", notes).size(), 2);
  EXPECT_TRUE(delete_dead_tries(here.path, "lost+found", notes).empty());
  EXPECT_EQ(left(),
            (std::vector<std::string>{"a-2026-01-01T00-00-00Z-4.partial", "a-2026-01-01T00-00-00Z.incomplete",
                                      "a-2026-01-02T00-00-00Z.partial", "b-2026-01-01T00-00-00Z.partial"}));
  EXPECT_TRUE(notes.empty());
}

TEST(RawHeader, RoundTrip) {
  RawHeader header;
  header.state = RawState::whole;
  header.name = "db7-2026-11-24T04-30-00Z";
  header.files = {{"dmesg.txt", 1 << 20, 5, 1 << 20, {}},
                  {"vmcore.flat", 2 << 20, uint64_t{5} << 40, 0, {1, 2, 3}}};
  const std::optional<RawHeader> back = decode_raw_header(encode(header));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->state, RawState::whole);
  EXPECT_EQ(back->name, header.name);
  ASSERT_EQ(back->files.size(), 2);
  EXPECT_EQ(back->files[1].name, "vmcore.flat");
  EXPECT_EQ(back->files[1].size, uint64_t{5} << 40);
  EXPECT_EQ(back->files[1].sum, header.files[1].sum);
}

TEST(RawHeader, DamageAndMaliceAreSeen) {
  RawHeader header;
  header.state = RawState::whole;
  header.name = "db7";
  header.files = {{"dmesg.txt", 1 << 20, 5, 0, {}}};
  auto block = encode(header);
  EXPECT_FALSE(decode_raw_header(std::vector<uint8_t>(raw_header_bytes)));
  EXPECT_FALSE(decode_raw_header(Bytes(block).first(100)));
  block[300] ^= 1;
  EXPECT_THROW(decode_raw_header(block), Error);
  for (const char* name : {"../etc", "/etc", "", ".hidden", "a b"}) {
    RawHeader bad = header;
    bad.name = name;
    EXPECT_THROW(decode_raw_header(encode(bad)), Error) << name;
    bad = header;
    bad.files[0].name = name;
    EXPECT_THROW(decode_raw_header(encode(bad)), Error) << name;
  }
  RawHeader far = header;
  far.files[0].offset = UINT64_MAX - 3;
  EXPECT_THROW(decode_raw_header(encode(far)), Error);
  far.files[0].offset = 0;
  EXPECT_THROW(decode_raw_header(encode(far)), Error);
}

TEST(ClaimRaw, OnlyWhatIsBlank) {
  const Directory here;
  const fs::path device = here.path / "device";
  write(device, 0);
  fs::resize_file(device, 4 << 20);
  EXPECT_NO_THROW(claim_raw(device, false));
  EXPECT_NO_THROW(claim_raw(device, false)) << "claimed and empty";
  std::atomic<bool> stop = false;
  EXPECT_FALSE(fetch_raw(device, here.path / "out", false, stop));
  write(device, 2 << 20);
  EXPECT_THROW(claim_raw(device, false), Error);
  EXPECT_THROW(fetch_raw(device, here.path / "out", false, stop), Error);
  EXPECT_NO_THROW(claim_raw(device, true));
}

TEST(MountOptions, FlagsAndTheRest) {
  const MountOptions options = parse_mount_options("rw,noatime,data=journal,nodev,,commit=5");
  EXPECT_EQ(options.flags, 1024u | 4u);  // MS_NOATIME, MS_NODEV
  EXPECT_EQ(options.data, "data=journal,commit=5");
  EXPECT_EQ(parse_mount_options("").data, "");
}

std::string problem(const std::string& text) {
  try {
    read_run_config(ConfigFile::parse(text, "f"));
  } catch (const Error& e) {
    return e.message();
  }
  return "none";
}

constexpr const char* directory = "[[target]]\nkind = \"directory\"\npath = \"/d\"\n";

TEST(RunConfig, DefaultsAndEverySection) {
  const RunConfig config = read_run_config(ConfigFile::parse(directory, "f"));
  EXPECT_EQ(config.levels, std::vector<unsigned>{31});
  EXPECT_EQ(config.targets.at(0).max_bytes, 0);
  EXPECT_EQ(config.final_action, FinalAction::reboot);
  EXPECT_EQ(config.targets.at(0).describe(), "directory /d");
  const RunConfig other = read_run_config(
      ConfigFile::parse(std::string("[capture]\nexclude = \"zero,free\"\ncompress = "
                                    "\"zlib:4\"\n[run]\nfinal_action = \"halt\"\n[load]\nx = 1\n") +
                            directory,
                        "f"));
  EXPECT_EQ(other.levels, std::vector<unsigned>{17});
  EXPECT_EQ(other.codec, Codec::zlib);
  EXPECT_EQ(other.codec_level, 4);
  EXPECT_EQ(other.failure_action, FinalAction::halt) << "as final_action";
}

TEST(RunConfig, LevelsToFallBackToAndALimit) {
  const RunConfig config = read_run_config(ConfigFile::parse(
      std::string("[capture]\nlevel = [1, 17, 31]\n") + directory + "max_size = \"4G\"\n", "f"));
  EXPECT_EQ(config.levels, (std::vector<unsigned>{1, 17, 31}));
  EXPECT_EQ(config.targets.at(0).max_bytes, uint64_t{4} << 30);
}

TEST(RunConfig, RefusesWhatCannotBe) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "nowhere to save"},
      {"[tagret]\n", "f:1: tagret: there is no such section"},
      {"[capture]\nlevel = 32\n", "f:2: capture.level"},
      {"[capture]\nlevel = [1, 32]\n", "f:2: capture.level: 32 is not from 0 to 31"},
      {"[capture]\nlevel = []\n", "f:2: capture.level: is an empty list"},
      {"[capture]\nlevel = [1, \"31\"]\n", "f:2: capture.level: must be an integer or a list of integers"},
      {"[[target]]\nkind = \"directory\"\npath = \"/d\"\nmax_size = 5\n",
       "f:4: target.max_size: a size needs its unit"},
      {"[capture]\nlevel = 1\nexclude = \"all\"\n", "f:3: capture.exclude: and level mean the same"},
      {"[capture]\ncompress = \"zstd:99\"\n", "f:2: capture.compress: \"zstd:99\" has no such level"},
      {"[run]\nfinal_action = \"explode\"\n", "is not one of none, reboot"},
      {"[run]\ndump_deadline = \"3h\"\n", "is longer than total_deadline"},
      {"[run]\nwatchdog = \"dog\"\n", "is not auto, none or a device"},
      {"[run]\nwatchdog_timeout = \"2s\"\n", "is not between 3 s"},
      {"[[target]]\nkind = \"tape\"\n", "\"tape\" is not one of directory"},
      {"[[target]]\npath = \"/d\"\n", "f:1: target.kind: is missing"},
      {"[[target]]\nkind = \"directory\"\n", "target.path: is missing"},
      {"[[target]]\nkind = \"directory\"\npath = \"/d\"\ndevice = \"/dev/sda\"\n",
       "f:4: target.device: there is no such key"},
      {"[[target]]\nkind = \"mount\"\ndevice = \"sda1\"\n", "is not /dev/..., LABEL="},
      {"[[target]]\nkind = \"mount\"\ndevice = \"LABEL=\"\n", "is not /dev/..., LABEL="},
      {"[[target]]\nkind = \"mount\"\ndevice = \"/dev/sda1\"\npath = \"../etc\"\n", "no / in front, no .."},
      {"[[target]]\nkind = \"nfs\"\nserver = \"nas,sec=none\"\nexport = \"/e\"\n",
       "is neither an address nor a name"},
      {"[[target]]\nkind = \"ssh\"\nserver = \"-oProxyCommand=x\"\npath = \"/e\"\n", "begins with -"},
      {"[[target]]\nkind = \"ssh\"\nserver = \"a@b\"\npath = \"/e'x\"\n", "has a quote in it"},
      {"[[target]]\nkind = \"http\"\nurl = \"ftp://x\"\n", "does not begin with http://"},
      {"[[target]]\nkind = \"http\"\nurl = \"http://x\"\ns3_region = \"r\"\n", "needs credentials"},
      {"[[target]]\nkind = \"http\"\nurl = \"http://x\"\npart_size = \"1K\"\n", "is not from 64K"},
  };
  for (const auto& [text, expected] : cases) {
    EXPECT_NE(problem(text).find(expected), std::string::npos) << text << "-> " << problem(text);
  }
}

// The example says what the defaults are: taking the # away from them changes nothing.
TEST(RunConfig, TheExampleIsGood) {
  const RunConfig config = read_run_config(ConfigFile::read(KDK_EXAMPLE_CONFIG));
  ASSERT_EQ(config.targets.size(), 1);
  EXPECT_EQ(config.targets[0].path, "/var/crash");
  std::ifstream file(KDK_EXAMPLE_CONFIG);
  std::string text, line;
  while (std::getline(file, line)) {
    // Prose begins with "# ".
    const bool setting = line.size() > 1 && line[0] == '#' && line[1] != ' ' &&
                         !line.starts_with("#exclude") && !line.starts_with("#threads") &&
                         !line.starts_with("#scrub =") && !line.starts_with("#encrypt_to");
    text += (setting ? line.substr(1) : line) + "\n";
  }
  const RunConfig spelled = read_run_config(ConfigFile::parse(text, "example"));
  EXPECT_EQ(spelled.targets.size(), 6);
  EXPECT_EQ(spelled.networks.size(), 1);
  EXPECT_EQ(spelled.levels, config.levels);
  EXPECT_EQ(spelled.scrub_strict, config.scrub_strict);
  EXPECT_EQ(spelled.codec, config.codec);
  EXPECT_EQ(spelled.console_lines, config.console_lines);
  EXPECT_EQ(spelled.prepare_deadline, config.prepare_deadline);
  EXPECT_EQ(spelled.log_deadline, config.log_deadline);
  EXPECT_EQ(spelled.summary_deadline, config.summary_deadline);
  EXPECT_EQ(spelled.dump_deadline, config.dump_deadline);
  EXPECT_EQ(spelled.total_deadline, config.total_deadline);
  EXPECT_EQ(spelled.stall, config.stall);
  EXPECT_EQ(spelled.watchdog, config.watchdog);
  EXPECT_EQ(spelled.watchdog_timeout, config.watchdog_timeout);
  EXPECT_EQ(spelled.final_action, config.final_action);
}

}  // namespace
}  // namespace kdk
