// Rules of a --scrub file: read, carried out on a synthetic machine, and what then is in the dumps.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "capture/save.h"
#include "capture/scrub/rules.h"
#include "capture/scrub/scrub.h"
#include "core/base/file.h"
#include "core/formats/eraseinfo.h"
#include "core/kernel/kernel.h"
#include "tests/support/scrub_machine.h"

namespace kdk {
namespace {

using test::ScrubMachine;

std::string error_of(std::string_view rules) {
  try {
    parse_scrub_rules(rules, "s.toml");
  } catch (const Error& e) {
    return e.message();
  }
  return "none";
}

TEST(ScrubRules, MistakesAreNamedByLine) {
  EXPECT_EQ(error_of(""), "s.toml: has no rule: nothing to erase");
  EXPECT_NE(error_of("[[variables]]\nname = \"x\"").find("s.toml:1"), std::string::npos);
  EXPECT_EQ(error_of("[[variable]]\nmember = \"x\""), "s.toml:1: variable.name: is missing");
  EXPECT_EQ(error_of("[[variable]]\nname = \"x\"\nmembr = \"y\""),
            "s.toml:3: variable.membr: there is no such key");
  EXPECT_NE(error_of("[[variable]]\nname = \"x y\"").find("s.toml:2: variable.name: \"x y\" is no name"),
            std::string::npos);
  for (const char* path : {"a..b", "a.", ".a", "a[", "a[]", "a[x]", "a[1]b", "a->b", "[1]", "1a", ""}) {
    EXPECT_NE(error_of("[[variable]]\nname = \"x\"\nmember = \"" + std::string(path) + "\"")
                  .find("s.toml:3: variable.member"),
              std::string::npos)
        << path;
  }
  EXPECT_EQ(error_of("[[variable]]\nname = \"x\"\nmember = \"a[1][2].b_3\""), "none");
  EXPECT_NE(error_of("[[variable]]\nname = \"x\"\nlength = 0").find("s.toml:3"), std::string::npos);
  EXPECT_NE(error_of("[[variable]]\nname = \"x\"\nlength = 8\nnullify = true").find("s.toml:4"),
            std::string::npos);
  EXPECT_NE(error_of("[[list]]\nhead = \"x\"\nstruct = \"y\"").find("either link or next"),
            std::string::npos);
  EXPECT_NE(error_of("[[cache]]\nmember = \"y\"").find("either name or variable"), std::string::npos);
  EXPECT_NE(error_of("[[cache]]\nname = \"y\"\nmember = \"y\"").find("cache.struct: is needed"),
            std::string::npos);
  EXPECT_NE(error_of("[[range]]\nvirtual = \"0x10\"").find("length: is missing"), std::string::npos);
  EXPECT_NE(error_of("[[range]]\nlength = 1").find("either virtual or physical"), std::string::npos);
  EXPECT_NE(
      error_of("[[range]]\nvirtual = \"10\"\nlength = 1").find("s.toml:2: range.virtual: is no address"),
      std::string::npos);
  EXPECT_NE(
      error_of("[[range]]\nvirtual = \"0xffffffffffffffff\"\nlength = 2").find("beyond the last address"),
      std::string::npos);
  EXPECT_NE(
      error_of("[[keys]]\nkinds = [\"passwords\"]").find("\"passwords\" is not one of keyrings, dm-crypt"),
      std::string::npos);
  EXPECT_NE(error_of("[[keys]]\n").find("kinds: is missing"), std::string::npos);
}

class Scrubbing : public testing::Test {
 protected:
  // The first (or only) rule's result; `scrubbed_` is the dump then.
  const ScrubbedRule& scrub(std::string_view rules) {
    scrubbed_.reset();
    erasure_.emplace(4096u);
    result_ = find_erasure(parse_scrub_rules(rules, "s.toml"), *dump_, &kernel_, "", *erasure_, stop_);
    scrubbed_ = scrubbed_dump(*dump_, *erasure_);
    return result_.rules.front();
  }
  // Every byte of the dump that was changed, is in one of these.
  uint64_t changed_bytes() {
    const std::unique_ptr<PageReader> before = dump_->reader(), after = scrubbed_->reader();
    uint64_t changed = 0;
    for (const PfnRange& range : dump_->ram()) {
      for (Pfn pfn = range.begin; pfn < range.end; pfn = pfn + 1) {
        const Bytes a = before->page(pfn).bytes, b = after->page(pfn).bytes;
        for (size_t i = 0; i < a.size(); ++i) changed += a[i] != b[i];
      }
    }
    return changed;
  }

  ScrubMachine m_;
  std::unique_ptr<Dump> dump_ = m_.machine.open();
  Kernel kernel_{*dump_};
  std::optional<Erasure> erasure_;
  Scrub result_;
  std::unique_ptr<Dump> scrubbed_;
  std::atomic<bool> stop_ = false;
};

TEST_F(Scrubbing, AVariableUpToTheNextSymbol) {
  const ScrubbedRule& rule = scrub("[[variable]]\nname = \"plain\"");
  EXPECT_EQ(rule.problem, "");
  EXPECT_EQ(rule.bytes, 48u);
  EXPECT_TRUE(m_.filled(*scrubbed_, m_.at["plain"], 48));
  EXPECT_EQ(changed_bytes(), 48u);
  // The image is in the linear map, too: the same pages.
  EXPECT_TRUE(m_.filled(*scrubbed_, m_.machine.linear(m_.machine.image_phys(m_.at["plain"])), 48));
  EXPECT_EQ(result_.eraseinfo(), "erase plain size 48\n");
}

TEST_F(Scrubbing, MembersThroughStructsPointersAndArrays) {
  EXPECT_EQ(scrub("[[variable]]\nname = \"one\"\ntype = \"struct secret\"\nmember = \"name\"").bytes, 16u);
  EXPECT_TRUE(m_.filled(*scrubbed_, m_.at["one"] + ScrubMachine::name, 16));
  EXPECT_EQ(changed_bytes(), 16u);

  // A string, up to its end, on the other side of two pointers.
  EXPECT_EQ(scrub("[[variable]]\nname = \"one\"\ntype = \"secret\"\nmember = \"next.next.text\"").bytes, 17u);
  EXPECT_TRUE(m_.filled(*scrubbed_, m_.at["text2"], 17));
  EXPECT_EQ(changed_bytes(), 17u);

  // BTF knows the type of this one; all elements, or one.
  EXPECT_EQ(scrub("[[variable]]\nname = \"table\"\nmember = \"name\"").places, 3u);
  EXPECT_EQ(changed_bytes(), 48u);
  EXPECT_EQ(scrub("[[variable]]\nname = \"table\"").bytes, 3 * ScrubMachine::size);
  EXPECT_EQ(scrub("[[variable]]\nname = \"one\"\ntype = \"secret\"\nmember = \"name[3]\"").bytes, 1u);
  EXPECT_TRUE(m_.filled(*scrubbed_, m_.at["one"] + ScrubMachine::name + 3, 1));
  EXPECT_EQ(scrub("[[variable]]\nname = \"one\"\ntype = \"secret\"\nmember = \"name[16]\"").problem,
            "there is no element 16 of 16");
}

TEST_F(Scrubbing, PointersNeedALengthWhereTypesHaveNone) {
  const char* one = "[[variable]]\nname = \"one\"\ntype = \"secret\"\n";
  EXPECT_EQ(scrub(one + std::string("member = \"blob\"\nlength_member = \"len\"")).bytes, 24u);
  EXPECT_TRUE(m_.filled(*scrubbed_, m_.at["blob0"], 24));
  EXPECT_TRUE(m_.untouched(*scrubbed_, m_.at["blob0"] + 24, 40));
  EXPECT_EQ(scrub(one + std::string("member = \"opaque\"\nlength = 10")).bytes, 10u);
  EXPECT_TRUE(m_.filled(*scrubbed_, m_.at["blob0"], 10));
  EXPECT_EQ(scrub(one + std::string("member = \"opaque\"")).problem,
            "points to something of unknown size: give length, length_member or nullify");
  EXPECT_EQ(changed_bytes(), 0u);
  EXPECT_EQ(scrub(one + std::string("member = \"opaque\"\nnullify = true")).bytes, 8u);
  EXPECT_TRUE(m_.filled(*scrubbed_, m_.at["one"] + ScrubMachine::opaque, 8, 0));
  EXPECT_TRUE(m_.untouched(*scrubbed_, m_.at["blob0"], 64));
  EXPECT_EQ(result_.eraseinfo(), "erase one.opaque nullify\n");
  EXPECT_EQ(scrub(one + std::string("member = \"name\"\nnullify = true")).problem,
            "is no pointer that could become NULL");
  const char* pointer = "[[variable]]\nname = \"pointer_to_two\"\ntype = \"struct secret *\"\n";
  EXPECT_EQ(scrub(pointer + std::string("member = \"name\"")).bytes, 16u);
  EXPECT_TRUE(m_.filled(*scrubbed_, m_.at["two"] + ScrubMachine::name, 16));
  EXPECT_EQ(scrub(pointer + std::string("nullify = true")).bytes, 8u);
  EXPECT_TRUE(m_.filled(*scrubbed_, m_.at["pointer_to_two"], 8, 0));
  // NULL: nothing is there, and that is no failure.
  EXPECT_EQ(scrub(one + std::string("member = \"next.next.next.text\"")).problem, "");
  EXPECT_EQ(result_.rules.front().bytes, 0u);
}

TEST_F(Scrubbing, EveryCpuHasItsOwnVariable) {
  EXPECT_EQ(scrub("[[variable]]\nname = \"percpu_secret\"\nlength = 32").places, 2u);
  EXPECT_TRUE(m_.filled(*scrubbed_, m_.at["percpu0"], 32));
  EXPECT_TRUE(m_.filled(*scrubbed_, m_.at["percpu1"], 32));
  EXPECT_EQ(changed_bytes(), 64u);
}

TEST_F(Scrubbing, AllElementsOfAList) {
  const ScrubbedRule& rule = scrub(
      "[[list]]\nhead = \"secrets\"\nstruct = \"secret\"\nlink = \"link\"\nmember = \"blob\"\nlength_member "
      "= \"len\"");
  EXPECT_EQ(rule.problem, "");
  EXPECT_EQ(rule.places, 3u);
  EXPECT_EQ(rule.bytes, 24u + 25 + 26);
  for (unsigned i = 0; i < 3; ++i)
    EXPECT_TRUE(m_.filled(*scrubbed_, m_.at["blob" + std::to_string(i)], 24 + i));
  EXPECT_EQ(result_.eraseinfo(), "erase secret.blob in secrets size 75\n");
  // Without a head: from a pointer, by the element's own pointer to the next.
  EXPECT_EQ(scrub("[[list]]\nhead = \"pointer_to_two\"\nhead_type = \"secret *\"\nstruct = \"secret\"\nnext "
                  "= \"next\"\nmember = \"name\"")
                .places,
            2u);
  EXPECT_TRUE(m_.untouched(*scrubbed_, m_.at["one"], ScrubMachine::size));
  EXPECT_TRUE(m_.filled(*scrubbed_, m_.at["three"] + ScrubMachine::name, 16));
}

TEST_F(Scrubbing, ListsThatLieEndAndSaySo) {
  m_.machine.put_u64(m_.at["three"] + ScrubMachine::link,
                     m_.at["two"].value + ScrubMachine::link);  // a ring without the head
  const std::unique_ptr<Dump> dump = m_.machine.open();
  Kernel kernel(*dump);
  Erasure erasure(4096);
  const ScrubRules rules = parse_scrub_rules(
      "[[list]]\nhead = \"secrets\"\nstruct = \"secret\"\nlink = \"link\"\nmember = \"name\"", "s");
  const Scrub scrub = find_erasure(rules, *dump, &kernel, "", erasure, stop_);
  EXPECT_EQ(scrub.rules[0].problem, "the list is circular");
  EXPECT_EQ(scrub.rules[0].places, 3u);  // what was found is erased all the same
}

TEST_F(Scrubbing, AllObjectsOfACache) {
  EXPECT_EQ(scrub("[[cache]]\nname = \"secret_jar\"").places, 64u);
  EXPECT_TRUE(m_.filled(*scrubbed_, m_.at["slab"], 8192));
  EXPECT_EQ(
      scrub("[[cache]]\nvariable = \"secret_jar_pointer\"\nstruct = \"secret\"\nmember = \"name\"").bytes,
      64 * 16u);
  EXPECT_TRUE(m_.filled(*scrubbed_, m_.at["slab"] + 63 * 128 + ScrubMachine::name, 16));
  EXPECT_TRUE(m_.untouched(*scrubbed_, m_.at["slab"] + 63 * 128 + 24, 104));
  EXPECT_NE(scrub("[[cache]]\nname = \"no_jar\"").problem.find("there is no slab cache no_jar"),
            std::string::npos);
}

TEST_F(Scrubbing, Ranges) {
  const auto range = [](const char* kind, uint64_t at, int length) {
    std::ostringstream text;
    text << "[[range]]\n" << kind << " = \"0x" << std::hex << at << "\"\nlength = " << std::dec << length;
    return text.str();
  };
  EXPECT_EQ(scrub(range("virtual", m_.at["plain"].value + 1, 3)).bytes, 3u);
  EXPECT_TRUE(m_.filled(*scrubbed_, m_.at["plain"] + 1, 3));
  EXPECT_EQ(changed_bytes(), 3u);
  const PhysAddr slab = m_.machine.phys(m_.at["slab"]);
  EXPECT_EQ(scrub(range("physical", slab.value + 4090, 12)).bytes, 12u);  // over the end of a page
  EXPECT_TRUE(m_.filled(*scrubbed_, m_.at["slab"] + 4090, 12));
  EXPECT_EQ(changed_bytes(), 12u);
  EXPECT_EQ(scrub(range("virtual", 0xffffffff00000000, 4)).problem,
            "address 0xffffffff00000000 is not mapped");
  EXPECT_EQ(scrub(range("physical", 0x10, 4)).absent_bytes, 4u);
}

TEST_F(Scrubbing, PayloadsOfKeys) {
  const ScrubbedRule& rule = scrub("[[keys]]\nkinds = [\"keyrings\"]");
  EXPECT_EQ(rule.problem, "");
  EXPECT_EQ(rule.places, 3u);
  EXPECT_TRUE(m_.filled(*scrubbed_, m_.at["user_key"], 40));
  EXPECT_TRUE(m_.untouched(*scrubbed_, m_.at["user_key"] + 40, 8));
  EXPECT_TRUE(m_.filled(*scrubbed_, m_.at["private_key"], 50));
  EXPECT_TRUE(m_.untouched(*scrubbed_, m_.at["public_key"], 64));
  EXPECT_TRUE(m_.untouched(*scrubbed_, m_.at["three"], ScrubMachine::size));  // what a keyring points to
  EXPECT_TRUE(m_.filled(*scrubbed_, m_.at["slab"] + 5 * 128, 128));
  EXPECT_EQ(changed_bytes(), 40u + 50 + 128);
  EXPECT_EQ(result_.eraseinfo(), "erase keys keyrings size 218\n");
}

TEST_F(Scrubbing, KeysOfEncryptedDisksAndTheirCiphers) {
  const ScrubbedRule& rule = scrub("[[keys]]\nkinds = [\"dm-crypt\"]");
  EXPECT_EQ(rule.problem, "");
  EXPECT_TRUE(m_.filled(*scrubbed_, m_.at["disk_key"], 32));
  EXPECT_TRUE(m_.untouched(*scrubbed_, m_.at["disk_key"] + 32, 16));
  EXPECT_TRUE(m_.filled(*scrubbed_, m_.at["outer"] + 24, 104));
  EXPECT_TRUE(m_.untouched(*scrubbed_, m_.at["outer"], 24));
  EXPECT_TRUE(m_.filled(*scrubbed_, m_.at["inner"] + 24, 104));
  EXPECT_EQ(rule.bytes, 32u + 2 * 104);
}

TEST_F(Scrubbing, WhatIsNotThereIsSaid) {
  EXPECT_EQ(scrub("[[variable]]\nname = \"nothing\"").problem, "the kernel has no variable nothing");
  EXPECT_EQ(scrub("[[variable]]\nname = \"one\"\nmember = \"x\"").problem,
            "the kernel does not say of what type it is: give type");
  EXPECT_EQ(scrub("[[variable]]\nname = \"one\"\ntype = \"nope\"\nmember = \"x\"").problem,
            "the kernel has no type nope");
  EXPECT_EQ(scrub("[[variable]]\nname = \"one\"\ntype = \"secret\"\nmember = \"x\"").problem,
            "secret has no member x");
  Erasure erasure(4096);
  const ScrubRules rules = parse_scrub_rules("[[variable]]\nname = \"plain\"", "s");
  EXPECT_EQ(find_erasure(rules, *dump_, nullptr, "no VMCOREINFO", erasure, stop_).rules[0].problem,
            "no VMCOREINFO");
  EXPECT_TRUE(erasure.empty());
}

// What ends up in files.
class ScrubbedDumps : public testing::Test {
 protected:
  ScrubbedDumps() {
    std::string name = std::filesystem::temp_directory_path() / "kdk_scrub_XXXXXX";
    dir_ = ::mkdtemp(name.data());
    options_.inputs = {dir_ / "in"};
    options_.output = dir_ / "out";
    options_.progress = ProgressMode::none;
    options_.summary = dir_ / "summary.json";
    options_.scrub = dir_ / "rules.toml";
    options_.level = level_zero;
    options_.force = true;
  }
  ~ScrubbedDumps() override { std::filesystem::remove_all(dir_); }
  void rules(std::string_view text) { write_file_atomic(*options_.scrub, as_bytes(text)); }
  CaptureReport save() { return save_dump(options_, stop_); }
  nlohmann::json summary() {
    std::ifstream file(*options_.summary);
    return nlohmann::json::parse(file);
  }

  std::filesystem::path dir_;
  SaveOptions options_;
  std::atomic<bool> stop_ = false;
  ScrubMachine m_;
};

constexpr std::string_view two_rules = "[[variable]]\nname = \"plain\"\n[[keys]]\nkinds = [\"keyrings\"]\n";

TEST_F(ScrubbedDumps, EveryFormatHasNothingOfIt) {
  // A second page with the same content as one that is scrubbed: they are no longer equal, and must not
  // share.
  const VirtAddr twin = m_.machine.linear(m_.machine.alloc_pages(1));
  const Pfn original = m_.machine.pfn_of(m_.machine.phys(m_.at["slab"]));
  m_.machine.put(twin, m_.machine.page(original));
  write_file_atomic(options_.inputs[0], m_.machine.elf());
  rules(two_rules);
  const auto check = [&](const std::vector<std::filesystem::path>& paths) {
    const std::unique_ptr<Dump> dump = open_dump(paths);
    EXPECT_EQ(eraseinfo(*dump), "erase plain size 48\nerase keys keyrings size 218\n");
    EXPECT_TRUE(m_.filled(*dump, m_.at["plain"], 48));
    EXPECT_TRUE(m_.filled(*dump, m_.at["user_key"], 40));
    EXPECT_TRUE(m_.filled(*dump, m_.at["slab"] + 5 * 128, 128));
    EXPECT_TRUE(m_.untouched(*dump, m_.at["slab"], 5 * 128));
    EXPECT_TRUE(m_.untouched(*dump, twin, 4096));
    EXPECT_EQ(dump->vmcoreinfo().text(), m_.machine.vmcoreinfo());
  };
  for (const OutputFormat format : {OutputFormat::kdump, OutputFormat::flattened, OutputFormat::elf}) {
    options_.format = format;
    const CaptureReport report = save();
    EXPECT_EQ(report.status, CaptureStatus::complete) << (report.reasons.empty() ? "" : report.reasons[0]);
    check({options_.output});
  }
  // From a dump that is compressed already: its own form of a page must not be taken over.
  write_file_atomic(options_.inputs[0], m_.machine.kdump(Codec::zstd));
  options_.format = OutputFormat::kdump;
  options_.split = {dir_ / "a", dir_ / "b"};
  EXPECT_EQ(save().status, CaptureStatus::complete);
  check(options_.split);
  const nlohmann::json json = summary()["scrub"];
  EXPECT_EQ(json["erased_bytes"], 48 + 218);
  EXPECT_EQ(json["rules"][1]["name"], "keys keyrings");
  EXPECT_EQ(json["rules"][1]["bytes"], 218);

  // What was erased stays on record when the dump is copied, and more can be added.
  options_.inputs = options_.split;
  options_.split.clear();
  options_.output = dir_ / "more.elf";
  options_.format = OutputFormat::elf;
  rules("[[list]]\nhead = \"secrets\"\nstruct = \"secret\"\nlink = \"link\"\nmember = \"name\"");
  EXPECT_EQ(save().status, CaptureStatus::complete);
  EXPECT_EQ(eraseinfo(*open_dump(options_.output)),
            "erase plain size 48\nerase keys keyrings size 218\nerase secret.name in secrets size 48\n");
}

TEST_F(ScrubbedDumps, AFailingRuleIsSaidAndStopsNothingUnlessAskedTo) {
  write_file_atomic(options_.inputs[0], m_.machine.elf());
  rules("[[variable]]\nname = \"nothing\"\n[[variable]]\nname = \"plain\"\n");
  const CaptureReport report = save();
  EXPECT_EQ(report.status, CaptureStatus::partial);
  EXPECT_TRUE(m_.filled(*open_dump(options_.output), m_.at["plain"], 48));
  EXPECT_EQ(eraseinfo(*open_dump(options_.output)), "erase plain size 48\n");
  EXPECT_EQ(summary()["scrub"]["rules"][0]["problem"], "the kernel has no variable nothing");

  options_.output = dir_ / "strict";
  options_.scrub_strict = true;
  EXPECT_THROW(save(), Error);
  EXPECT_FALSE(std::filesystem::exists(options_.output));
  EXPECT_EQ(summary()["status"], "failed");

  rules("[[variable]]\nname = \"nothing\"\noptional = true\n[[variable]]\nname = \"plain\"\n");
  EXPECT_EQ(save().status, CaptureStatus::complete);
}

// Where the rules are unknown, everything might have been meant.
TEST_F(ScrubbedDumps, WithoutReadableRulesThereIsNoDump) {
  write_file_atomic(options_.inputs[0], m_.machine.elf());
  EXPECT_THROW(save(), Error);
  rules("[[variable]]\nnme = 1");
  EXPECT_THROW(save(), Error);
  EXPECT_FALSE(std::filesystem::exists(options_.output));
}

// The header has the host's name, too.
TEST_F(ScrubbedDumps, TheHeaderForgetsAnErasedHostName) {
  const VirtAddr names = m_.machine.image_alloc(6 * 65);
  m_.machine.symbol("init_uts_ns", names);
  m_.machine.offset("uts_namespace.name", 0);
  m_.machine.put_text(names, "Linux");
  m_.machine.put_text(names + 65, "secrethost");
  m_.machine.put_text(names + 2 * 65, "6.12.0-guest");
  m_.machine.put_text(names + 4 * 65, "aarch64");
  write_file_atomic(options_.inputs[0], m_.machine.elf());
  std::ostringstream range;
  range << "[[range]]\nvirtual = \"0x" << std::hex << (names + 65).value << "\"\nlength = 65";
  rules(range.str());
  EXPECT_EQ(save().status, CaptureStatus::complete);
  const std::unique_ptr<Dump> dump = open_dump(options_.output);
  EXPECT_EQ(dump->info().uts_nodename, std::string(64, 'X'));
  EXPECT_EQ(dump->info().uts_release, "6.12.0-guest");
  const MappedFile file = MappedFile::open(options_.output);
  const std::string_view host = "secrethost";
  EXPECT_EQ(std::ranges::search(as_text(file.bytes()), host).begin(), as_text(file.bytes()).end());
}

}  // namespace
}  // namespace kdk
