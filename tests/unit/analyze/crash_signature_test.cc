// Signatures: what they are made of, and what they must not depend on.
#include "analyze/triage/crash_signature.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "analyze/triage/function_name.h"
#include "core/base/sha256.h"

namespace kdk {
namespace {

Frame frame(std::string symbol, uint64_t offset, FrameKind kind = FrameKind::call) {
  Frame out;
  out.symbol = std::move(symbol);
  out.symbol_offset = offset;
  out.pc = 0xffff800080000000 + offset;
  out.kind = kind;
  out.trust = Trust::frame_record;
  return out;
}

Crash oops() {
  Crash crash;
  crash.crash_class.name = "null_deref";
  crash.fault.emplace();
  CpuState cpu;
  cpu.crashed = true;
  cpu.backtrace.frames = {frame("panic", 1),
                          frame("die", 2),
                          frame("el1h_64_sync", 3),
                          frame("foo_write.isra.0", 0x10, FrameKind::exception),
                          frame("vfs_write", 0x20),
                          frame("__arm64_sys_write", 0x30),
                          frame("invoke_syscall", 0x40)};
  crash.cpus.push_back(cpu);
  return crash;
}

LogRecord record(std::string text) {
  LogRecord out;
  out.text = std::move(text);
  return out;
}

TEST(Signature, IsMadeOfClassAndFailedStack) {
  auto found = sign(oops(), {}, "ab12");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->family.text,
            "kdumpkit family v3\nclass null_deref\nfunction foo_write\nfunction vfs_write\n");
  EXPECT_EQ(found->exact.text,
            "kdumpkit exact v3\nclass null_deref\nbuild-id ab12\nfunction foo_write.isra.0+0x10\n"
            "function vfs_write+0x20\n");
  EXPECT_EQ(found->family.sha256, sha256_hex(as_bytes(found->family.text)));
}

TEST(Signature, FamilyDoesNotDependOnTheBinary) {
  Crash other = oops();
  for (Frame& f : other.cpus[0].backtrace.frames) f.symbol_offset += 8, f.pc += 0x1000;
  other.cpus[0].backtrace.frames[3].symbol = "foo_write";
  other.cpus[0].backtrace.frames[5].symbol = "__x64_sys_write";
  other.cpus[0].backtrace.frames[6].symbol = "do_syscall_64";
  other.cpus[0].backtrace.frames[4].inlines.push_back({"new_sync_write", "fs/read_write.c", 1});
  auto a = sign(oops(), {}, "ab12"), b = sign(other, {}, "cd34");
  ASSERT_TRUE(a && b);
  EXPECT_EQ(a->family.text, b->family.text);
  EXPECT_NE(a->exact.sha256, b->exact.sha256);
}

TEST(SourceName, IsWithoutWhatCompilersAdd) {
  for (const char* symbol : {"foo", "foo.cold", "foo.isra.0", "foo.constprop.0.isra.0", "foo.part.0.cold",
                             "foo.llvm.1234", "foo.lto_priv.0"}) {
    EXPECT_EQ(source_name(symbol), "foo") << symbol;
  }
  EXPECT_EQ(source_name("__arm64_sys_read"), "__arm64_sys_read");
  EXPECT_EQ(source_name(""), "");
}

TEST(Signature, StopsAtWhatWasInterruptedAndSkipsGuesses) {
  Crash crash = oops();
  auto& frames = crash.cpus[0].backtrace.frames;
  frames[4].trust = Trust::scan;
  frames[5] = frame("cpu_idle_poll", 0x30, FrameKind::exception);
  auto found = sign(crash, {}, "");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->family.text, "kdumpkit family v3\nclass null_deref\nfunction foo_write\n");
}

TEST(Signature, BeginsWithWhoAskedALeaf) {
  Crash crash = oops();
  auto& frames = crash.cpus[0].backtrace.frames;
  frames[3].symbol = "__memcpy";
  Frame caller = frame("foo_write", 0x14, FrameKind::lr_candidate);
  caller.trust = Trust::inferred;
  frames.insert(frames.begin() + 4, caller);
  EXPECT_EQ(sign(crash, {}, "")->family.text, sign(oops(), {}, "")->family.text);
}

TEST(Signature, AtMostEightFunctions) {
  Crash crash = oops();
  for (int i = 0; i < 20; ++i) crash.cpus[0].backtrace.frames.push_back(frame("f" + std::to_string(i), 1));
  std::string text = sign(crash, {}, "")->family.text;
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 10);
}

TEST(Signature, RecursionCountsOnce) {
  Crash crash = oops();
  auto& frames = crash.cpus[0].backtrace.frames;
  for (uint64_t i = 0; i < 20; ++i) frames.insert(frames.begin() + 4, frame("foo_write", i));
  EXPECT_EQ(sign(crash, {}, "")->family.text, sign(oops(), {}, "")->family.text);
}

TEST(Signature, OfAHungTaskIsTheBlockedTasks) {
  Crash crash = oops();
  crash.crash_class.name = "hung_task";
  KernelLog log;
  for (const char* line :
       {"INFO: task dd:123 blocked for more than 120 seconds.", "      Not tainted 6.12 #1",
        "task:dd state:D", "Call trace:", " __switch_to+0xf0/0x150", " __schedule+0x2c0/0x9a0",
        " schedule+0x30/0x100", " __mutex_lock.constprop.0+0x90/0x400", " ext4_file_write_iter+0x44/0x700",
        "INFO: task cat:5 blocked for more than 9", "Call trace:", " other+0x1/0x2"}) {
    log.records.push_back(record(line));
  }
  EXPECT_EQ(sign(crash, log, "")->family.text,
            "kdumpkit family v3\nclass hung_task\nfunction __mutex_lock\nfunction ext4_file_write_iter\n");
}

TEST(Signature, NothingKnownHasNone) {
  EXPECT_FALSE(sign(Crash{}, {}, "ab"));
  Crash only_class;
  only_class.crash_class.name = "oom_panic";
  EXPECT_EQ(sign(only_class, {}, "")->family.text, "kdumpkit family v3\nclass oom_panic\n");
}

}  // namespace
}  // namespace kdk
