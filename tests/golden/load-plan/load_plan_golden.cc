// The JSON of plans and states for fake machines, compared with the files beside this one.
// KDK_GOLDEN_REWRITE=1 rewrites them; the difference is then reviewed like any other change.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "core/base/file.h"
#include "loader/plan/plan_json.h"
#include "tests/support/fake_machine.h"

namespace kdk {
namespace {

using testing::FakeMachine;

void compare(const std::string& name, std::string json) {
  json += "\n";
  // The program's version changes with every release; nothing else in these files does.
  std::string version = std::string("\"version\": \"") + KDK_VERSION + "\"";
  if (size_t at = json.find(version); at != std::string::npos)
    json.replace(at, version.size(), "\"version\": \"0.0.0\"");
  std::filesystem::path path = std::filesystem::path(KDK_GOLDEN_DIR) / (name + ".json");
  if (std::getenv("KDK_GOLDEN_REWRITE") != nullptr) {
    write_file_atomic(path, as_bytes(json));
    return;
  }
  EXPECT_EQ(json, read_text_file(path)) << name << ": KDK_GOLDEN_REWRITE=1 rewrites it";
}

// The plan as JSON, with the temporary directory's name taken out.
std::string plan_for(const FakeMachine& fake, LoadInputs inputs, bool loaded) {
  testing::TempDir dir;
  fake.write(dir.path());
  std::string json = plan_to_json(make_plan(read_machine(SysRoot(dir.path())), std::move(inputs)), loaded);
  std::string name = dir.path().string();
  for (size_t at = json.find(name); at != std::string::npos; at = json.find(name))
    json.erase(at, name.size());
  return json;
}

LoadInputs inputs_with(std::vector<uint8_t> initrd) {
  LoadInputs inputs;
  inputs.kernel = {"/boot/vmlinuz", testing::FakeImage().bytes()};
  inputs.initrd = InputFile{"/boot/initrd.img", std::move(initrd)};
  inputs.seeds.kaslr.fill(1);
  inputs.seeds.rng.fill(2);
  return inputs;
}

TEST(LoadPlanGolden, Healthy) {
  compare("healthy", plan_for(FakeMachine(), inputs_with(testing::fake_cpio({{"init", 100000}})), true));
}

// Two regions, a CPU hole, no kcore, an initramfs that is too big: the other branches of every field.
TEST(LoadPlanGolden, Troubled) {
  FakeMachine fake;
  fake.kcore = false;
  fake.cpus = {{0, 0x7fdb0000}, {3, 0x7fdc0000, false}};
  fake.command_line = "console=ttyAMA0 crashkernel=1G,high \"odd \x01 option\"\n";
  fake.iomem =
      "40000000-bfffffff : System RAM\n"
      "  b8000000-bfffffff : Crash kernel\n"
      "800000000-87fffffff : System RAM\n"
      "  840000000-847ffffff : Crash kernel\n";
  fake.crash_size.reset();
  // Declares nearly 2 GiB of content; nothing but its header and name is needed to see that it cannot fit.
  std::vector<uint8_t> initrd = testing::fake_cpio({{"init", 0x1000}});
  std::copy_n("7fff0000", 8, initrd.begin() + 6 + 8 * 6);
  compare("troubled", plan_for(fake, inputs_with(initrd), false));
}

LoadInputs x86_inputs(std::vector<uint8_t> initrd) {
  LoadInputs inputs = inputs_with(std::move(initrd));
  testing::FakeBzImage kernel;
  kernel.signature_size = 1472;
  inputs.kernel.bytes = kernel.bytes();
  return inputs;
}

TEST(LoadPlanGolden, X86Healthy) {
  compare("x86-healthy",
          plan_for(FakeMachine::x86_64(), x86_inputs(testing::fake_cpio({{"init", 100000}})), true));
}

TEST(LoadPlanGolden, X86Segments) {
  LoadInputs inputs = x86_inputs(testing::fake_cpio({{"init", 100000}}));
  inputs.call = LoadCall::kexec_load;
  compare("x86-segments", plan_for(FakeMachine::x86_64(), std::move(inputs), true));
}

// Secure Boot with an unsigned kernel, all memory above 4 GiB, no word of the kernel about its header.
TEST(LoadPlanGolden, X86Troubled) {
  FakeMachine fake = FakeMachine::x86_64();
  fake.iomem =
      "00100000-bfffffff : System RAM\n"
      "100000000-87fffffff : System RAM\n"
      "  840000000-84fffffff : Crash kernel\n";
  fake.elfcorehdr_size.reset();
  fake.secure_boot = true;
  fake.lockdown = "none [integrity] confidentiality\n";
  LoadInputs inputs = inputs_with(testing::fake_cpio({{"init", 100000}}));
  inputs.kernel.bytes = testing::FakeBzImage().bytes();
  compare("x86-troubled", plan_for(fake, std::move(inputs), false));
}

// What `load` records of these inputs.
LoadRecord record_of(const SysRoot& root, LoadInputs inputs) {
  PreparedLoad load;
  load.request = {
      inputs.kernel.path, inputs.initrd->path, "", "root=/dev/vda1 ro", "loglevel=7", true, false, false, {}};
  const BootSeeds seeds = inputs.seeds;
  load.plan = make_plan(read_machine(root), std::move(inputs));
  load.segments = identify_segments(load.plan, seeds);
  LoadRecord record = make_record(root, load);
  record.loaded_at = "2026-01-02T03:04:05Z";
  return record;
}

TEST(LoadPlanGolden, X86Status) {
  testing::TempDir dir;
  SysRoot root(dir.path());
  FakeMachine fake = FakeMachine::x86_64();
  fake.crash_loaded = "1\n";
  fake.write(dir.path());
  const LoadRecord record = record_of(root, x86_inputs(testing::fake_cpio({{"init", 100000}})));
  write_record(root, record);
  compare("x86-status-armed", status_to_json(read_status(root)));
}

TEST(LoadPlanGolden, Status) {
  testing::TempDir dir;
  SysRoot root(dir.path());
  FakeMachine fake;
  fake.crash_loaded = "1\n";
  fake.write(dir.path());
  const LoadRecord record = record_of(root, inputs_with(testing::fake_cpio({{"init", 100000}})));
  write_record(root, record);
  compare("status-armed", status_to_json(read_status(root)));
  fake.cpus.pop_back();
  fake.write(dir.path());
  write_record(root, record);
  compare("status-stale", status_to_json(read_status(root)));
  fake.crash_loaded = "0\n";
  fake.write(dir.path());
  compare("status-not-armed", status_to_json(read_status(root)));
}

}  // namespace
}  // namespace kdk
