// What the CPU refused to do, from logs, traces and tasks of both architectures.
#include "core/diagnose/fault.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "core/diagnose/crash.h"
#include "core/kernel/layout.h"
#include "tests/support/dump_builder.h"
#include "tests/unit/diagnose/oops_texts.h"

namespace kdk {
namespace {

using test::log_of;

struct Machine {
  explicit Machine(test::MachineOptions options) : builder(std::move(options)) {}
  std::optional<Fault> fault_of(std::string_view text, const Backtrace* trace = nullptr,
                                std::optional<VirtAddr> task = std::nullopt) {
    dump = builder.open();
    kernel = std::make_unique<Kernel>(*dump);
    if (types) kernel->layout().add_source(*types);
    return find_fault(*kernel, log_of(text), text.empty() ? std::nullopt : std::optional<size_t>(0), trace,
                      task);
  }
  test::DumpBuilder builder;
  const Layout::TypeSource* types = nullptr;
  std::unique_ptr<Dump> dump;
  std::unique_ptr<Kernel> kernel;
};

struct X86 : Machine {
  X86() : Machine({.x86_64 = test::X86_64Options{}}) {}
};
struct Arm64 : Machine {
  Arm64() : Machine({}) {}
};

std::vector<std::string> names(const Fault& fault) {
  std::vector<std::string> out;
  for (const FaultBit& bit : fault.bits) out.push_back(bit.name);
  return out;
}

TEST(X86Fault, NullDereference) {
  auto fault = X86().fault_of(
      "BUG: kernel NULL pointer dereference, address: 0000000000000008\n"
      "#PF: supervisor write access in kernel mode\n"
      "#PF: error_code(0x0002) - not-present page\n"
      "PGD 0 P4D 0\n"
      "Oops: 0002 [#1] PREEMPT SMP NOPTI\n"
      "CR2: 0000000000000008 CR3: 0000000004a1c000 CR4: 00000000000006e0");
  ASSERT_TRUE(fault);
  EXPECT_EQ(fault->exception, "page_fault");
  EXPECT_EQ(fault->vector, 14u);
  EXPECT_EQ(fault->exception_source, "log");
  EXPECT_EQ(fault->error_code, 2u);
  EXPECT_EQ(fault->error_code_source, "log");
  EXPECT_EQ(names(*fault), (std::vector<std::string>{"W"}));
  EXPECT_EQ(fault->access, "write");
  EXPECT_EQ(fault->reason, "page not present");
  EXPECT_EQ(fault->address, 8u);
  EXPECT_EQ(fault->address_kind, "null_pointer");
  EXPECT_EQ(describe(*fault), "write to 0x0000000000000008 (NULL pointer + 0x8): page not present");
  EXPECT_FALSE(fault->tables);
}

// Every form of the head line, old and new; what follows is of the next oops.
TEST(X86Fault, HeadLines) {
  struct Case {
    std::string_view text, exception;
    std::optional<uint64_t> code, address;
    std::string_view address_source;
  };
  const std::vector<Case> cases = {
      {"Oops: 0002 [#1] PREEMPT SMP NOPTI", "page_fault", 2, {}, ""},
      {"Oops: Oops: 0011 [#1] SMP PTI", "page_fault", 0x11, {}, ""},
      {"Oops: general protection fault: 0000 [#1]", "general_protection", 0, {}, ""},
      {"general protection fault, probably for non-canonical address 0xdead000000000108: 0000 [#1] SMP",
       "general_protection", 0, 0xdead000000000108, "log (decoded from the instruction)"},
      {"Oops: general protection fault, maybe for address 0xffff888000001000: 0030 [#3] SMP",
       "general_protection", 0x30, 0xffff888000001000, "log (a guess from the instruction)"},
      {"invalid opcode: 0000 [#1] PREEMPT SMP", "invalid_op", {}, {}, ""},
      {"Oops: divide error: 0000 [#1] SMP", "divide_error", {}, {}, ""},
      {"stack segment: 0000 [#1] SMP", "stack_segment", 0, {}, ""},
      {"alignment check: 0000 [#1] SMP", "alignment_check", 0, {}, ""},
      {"Bad pagetable: 000d [#1] SMP", "page_fault", 0xd, {}, ""},
      {"double fault: 0000 [#1] SMP", "double_fault", 0, {}, ""},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.text);
    auto fault = X86().fault_of(std::string(c.text) + "\n---[ end trace 0 ]---\n" +
                                "BUG: unable to handle page fault for address: ffff88800badf000\n" +
                                "Oops: 0009 [#2]");
    ASSERT_TRUE(fault);
    EXPECT_EQ(fault->exception, c.exception);
    EXPECT_EQ(fault->error_code, c.code);
    EXPECT_EQ(fault->address, c.address);
    EXPECT_EQ(fault->address_source, c.address_source);
  }
}

TEST(X86Fault, PageFaultErrorCodes) {
  struct Case {
    uint64_t code;
    std::vector<std::string> bits;
    std::string_view access, reason;
  };
  const std::vector<Case> cases = {
      {0x0, {}, "read", "page not present"},
      {0x3, {"P", "W"}, "write", "page not writable here"},
      {0x1, {"P"}, "read", "page not readable here (SMAP)"},
      {0x10, {"I"}, "execute", "page not present"},
      {0x11, {"P", "I"}, "execute", "page not executable here (NX)"},
      {0xd, {"P", "U", "RSVD"}, "read", "reserved bit set in a page table entry"},
      {0x27, {"P", "W", "U", "PK"}, "write", "forbidden by a protection key"},
      {0x8007, {"P", "W", "U", "SGX"}, "write", "forbidden by SGX"},
      {0x80000003, {"P", "W", "RMP"}, "write", "forbidden by the reverse map table"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.code);
    char line[80];
    std::snprintf(line, sizeof line, "#PF: error_code(0x%04llx) - x",
                  static_cast<unsigned long long>(c.code));
    auto fault = X86().fault_of("BUG: unable to handle page fault for address: ffff88800badf000\n" +
                                std::string(line) + "\nOops: 0000 [#1]");
    ASSERT_TRUE(fault);
    EXPECT_EQ(fault->error_code, c.code);
    EXPECT_EQ(names(*fault), c.bits);
    EXPECT_EQ(fault->access, c.access);
    EXPECT_EQ(fault->reason, c.reason);
  }
}

// By the error code and the address; the log's own words count only where these are missing.
TEST(X86Fault, WhatThePageForbade) {
  Machine machine({.x86_64 = test::X86_64Options{}});
  constexpr std::string_view nx = "kernel tried to execute NX-protected page - exploit attempt? (uid: 0)\n";
  constexpr std::string_view smep = "unable to execute userspace code (SMEP?) (uid: 0)\n";
  constexpr std::string_view user = "00007fcd7dd03000", data = "ffff88800badf000";
  constexpr std::string_view general = "Access to a kernel address that does not allow it";
  constexpr std::string_view user_execution = "Execution of user memory by the kernel";
  struct Case {
    std::string_view said, address;
    std::optional<unsigned> code;
    std::string_view title, reason;
  };
  const std::vector<Case> cases = {
      {nx, data, 0x11, "Execution of kernel memory that holds no code", "page not executable here (NX)"},
      {"", data, 0x11, "Execution of kernel memory that holds no code", "page not executable here (NX)"},
      {nx, data, {}, "Execution of memory that holds no code", ""},
      {smep, user, 0x11, user_execution, "user page, not executable for the kernel (SMEP or NX)"},
      // The user's page is no code for its process either; or only the tables of page table isolation forbid
      // it.
      {nx, user, 0x11, user_execution, "user page, not executable for the kernel (SMEP or NX)"},
      {"", user, 0x11, user_execution, "user page, not executable for the kernel (SMEP or NX)"},
      {smep, user, {}, user_execution, ""},
      {"", user, 0x1, "Access of the kernel to user memory outside of the functions that may",
       "page not readable here (SMAP)"},
      {"", user, 0x3, "Access of the kernel to user memory outside of the functions that may",
       "user page, not writable for the kernel here (SMAP, or read-only)"},
      {"", data, 0x3, "Write to read-only memory of the kernel", "page not writable here"},
      {"", data, 0x10, general, "page not present"},
      {"", user, 0x2, general, "page not present"},
      {"", data, 0x80000003, general, "forbidden by the reverse map table"},
      {"", user, 0x15, general, "user page, not executable for the kernel (SMEP or NX)"},  // in user mode
  };
  for (const Case& c : cases) {
    std::string text = fmt::format("{}BUG: unable to handle page fault for address: {}", c.said, c.address);
    if (c.code) text += fmt::format("\n#PF: error_code({0:#06x}) - x\nOops: {0:04x} [#1] SMP", *c.code);
    SCOPED_TRACE(text);
    machine.fault_of(text);
    const Crash crash = diagnose(*machine.kernel, log_of(text));
    EXPECT_EQ(crash.crash_class.name, "bad_paging");
    EXPECT_EQ(crash.crash_class.title, c.title);
    ASSERT_TRUE(crash.fault);
    EXPECT_EQ(crash.fault->reason, c.reason);
  }
}

TEST(X86Fault, SelectorErrorCodes) {
  auto fault = X86().fault_of("general protection fault: 0402 [#1] SMP");
  EXPECT_EQ(fault->reason, "IDT gate 0x80");
  EXPECT_EQ(names(*fault), (std::vector<std::string>{"table", "index"}));
  fault = X86().fault_of("segment not present: 0031 [#1] SMP");
  EXPECT_EQ(fault->reason, "segment selector 0x30");
  EXPECT_EQ(names(*fault), (std::vector<std::string>{"EXT", "table", "index"}));
  fault = X86().fault_of("general protection fault: 0000 [#1] SMP");
  EXPECT_TRUE(fault->bits.empty() && fault->reason.empty());
}

TEST(X86Fault, KindsOfAddresses) {
  X86 machine;
  auto kind = [&](std::string_view address) {
    auto fault = machine.fault_of("BUG: unable to handle page fault for address: " + std::string(address));
    return fault->address_kind + (fault->address_note.empty() ? "" : ": " + fault->address_note);
  };
  EXPECT_EQ(kind("0000000000000000"), "null_pointer: NULL pointer");
  EXPECT_EQ(kind("0000000000000fff"), "null_pointer: NULL pointer + 0xfff");
  EXPECT_EQ(kind("ffffffffffffffea"), "error_pointer: error pointer -22, or NULL pointer - 0x16");
  EXPECT_EQ(kind("dead000000000122"), "list_poison: list poison: the entry had been removed from its list");
  EXPECT_EQ(kind("6b6b6b6b6b6b6b73"), "slab_poison: slab poison 0x6b: the object had been freed");
  EXPECT_EQ(kind("00005581b3a2e2a0"), "user: user address");
  EXPECT_EQ(kind("0000800000000000"), "non_canonical: neither a user nor a kernel address");
  EXPECT_EQ(kind("ffff7fffffffffff"), "non_canonical: neither a user nor a kernel address");
  EXPECT_EQ(kind("ffff88800badf000"), "kernel");
}

TEST(X86Fault, WhereTheTablesEnd) {
  X86 machine;
  VirtAddr page = machine.builder.vmalloc(1);
  auto tables = [&](uint64_t address) {
    char text[80];
    std::snprintf(text, sizeof text, "BUG: unable to handle page fault for address: %016llx",
                  static_cast<unsigned long long>(address));
    auto fault = machine.fault_of(text);
    if (!fault->tables) return std::string("not asked");
    return fault->tables->status + " " + fault->tables->level;
  };
  EXPECT_EQ(tables(page.value + 0x10), "mapped PTE");
  EXPECT_EQ(tables(page.value + 0x1000), "not_mapped PTE");  // the guard page
  EXPECT_EQ(tables(page.value + (1 << 30)), "not_mapped PUD");
  EXPECT_EQ(tables(0xffff900000000000), "not_mapped PGD");
  EXPECT_EQ(tables(8), "not asked");

  auto fault = machine.fault_of("BUG: unable to handle page fault for address: " + std::string("8"));
  EXPECT_FALSE(fault->tables);
}

Frame frame(std::string symbol, FrameKind kind = FrameKind::call) {
  Frame out;
  out.symbol = std::move(symbol);
  out.kind = kind;
  return out;
}

TEST(X86Fault, FromTheStackWhenTheLogSaysNothing) {
  X86 machine;
  Backtrace nmi;
  nmi.frames = {frame("__crash_kexec"), frame("panic"), frame("exc_nmi"), frame("end_repeat_nmi"),
                frame("spin", FrameKind::exception)};
  auto fault = machine.fault_of("Kernel panic - not syncing: x", &nmi);
  ASSERT_TRUE(fault);
  EXPECT_EQ(fault->exception, "nmi");
  EXPECT_EQ(fault->exception_source, "stack");
  EXPECT_FALSE(fault->error_code);

  // A page fault on the way to panic() is how copies from user space work ...
  Backtrace copy;
  copy.frames = {frame("panic"), frame("handle_mm_fault"), frame("asm_exc_page_fault"),
                 frame("copy_from_user", FrameKind::exception)};
  EXPECT_FALSE(machine.fault_of("Kernel panic - not syncing: x", &copy));
  // ... until the kernel dies of it.
  copy.frames.insert(copy.frames.begin() + 1, frame("page_fault_oops"));
  ASSERT_TRUE(fault = machine.fault_of("Kernel panic - not syncing: x", &copy));
  EXPECT_EQ(fault->exception, "page_fault");
  EXPECT_EQ(fault->exception_source, "stack");

  // An interrupt is no fault.
  Backtrace timer;
  timer.frames = {frame("die"), frame("asm_sysvec_apic_timer_interrupt"),
                  frame("idle", FrameKind::exception)};
  EXPECT_FALSE(machine.fault_of("Kernel panic - not syncing: x", &timer));
  EXPECT_FALSE(machine.fault_of("Kernel panic - not syncing: x"));
}

// task_struct.thread of a made-up layout.
class ThreadLayout : public Layout::TypeSource {
 public:
  std::optional<Layout::Field> field(std::string_view type, std::string_view path) const override {
    if (type != "task_struct") return std::nullopt;
    if (path == "thread.trap_nr") return Layout::Field{0x10, 8};
    if (path == "thread.error_code") return Layout::Field{0x18, 8};
    return std::nullopt;
  }
  std::optional<uint64_t> size_of(std::string_view) const override { return std::nullopt; }
  std::optional<int64_t> enumerator(std::string_view) const override { return std::nullopt; }
  std::optional<uint64_t> array_length(std::string_view, std::string_view) const override {
    return std::nullopt;
  }
};

TEST(X86Fault, TheTaskCompletesWhatIsKnown) {
  X86 machine;
  ThreadLayout layout;
  machine.types = &layout;
  VirtAddr task = machine.builder.alloc(64);
  Backtrace trace;
  trace.frames = {frame("die_addr"), frame("asm_exc_general_protection"), frame("f", FrameKind::exception)};
  auto code = [&](uint64_t number, uint64_t value) {
    machine.builder.put_u64(task + 0x10, number);
    machine.builder.put_u64(task + 0x18, value);
    auto fault = machine.fault_of("Kernel panic - not syncing: x", &trace, task);
    return fault && fault->error_code_source == "task" ? fault->error_code : std::nullopt;
  };
  EXPECT_EQ(code(13, 0x30), 0x30u);
  EXPECT_FALSE(code(14, 0x6));  // of an earlier fault, in user mode

  std::string_view overflow =
      "BUG: TASK stack guard page was hit at 0000000095839fb6 (stack is 000000006be12fa8..000000006f756dfa)\n"
      "stack guard page: 0000 [#1] PREEMPT SMP NOPTI\n"
      "CR2: ffff900000000ff8 CR3: 0000000002a1e000 CR4: 0000000000751ea0\n"
      "---[ end trace 0000000000000000 ]---";
  machine.builder.put_u64(task + 0x10, 8);
  auto fault = machine.fault_of(overflow, nullptr, task);
  ASSERT_TRUE(fault);
  EXPECT_EQ(fault->exception, "double_fault");
  EXPECT_EQ(fault->address, 0xffff900000000ff8u);
  EXPECT_EQ(fault->address_source, "log (CR2)");
  EXPECT_EQ(fault->reason, "the guard page of a stack was hit");
  machine.builder.put_u64(task + 0x10, 14);  // the CPU had room to push the page fault
  EXPECT_EQ(machine.fault_of(overflow, nullptr, task)->exception, "page_fault");
}

TEST(Arm64Fault, DataAbort) {
  auto fault = Arm64().fault_of(
      "Unable to handle kernel NULL pointer dereference at virtual address 0000000000000028\n"
      "Mem abort info:\n"
      "  ESR = 0x0000000096000044\n"
      "  EC = 0x25: DABT (current EL), IL = 32 bits\n"
      "  FSC = 0x04: level 0 translation fault\n"
      "Internal error: Oops: 0000000096000044 [#1] SMP");
  ASSERT_TRUE(fault);
  EXPECT_EQ(fault->exception, "data_abort");
  EXPECT_EQ(fault->vector, 0x25u);
  EXPECT_EQ(fault->error_code, 0x96000044u);
  EXPECT_EQ(names(*fault), (std::vector<std::string>{"FSC", "WnR"}));
  EXPECT_EQ(describe(*fault), "write to 0x0000000000000028 (NULL pointer + 0x28): level 0 translation fault");
}

// Where the log has one text for all of these, the syndrome tells them apart.
TEST(Arm64Fault, WhatThePageForbade) {
  Arm64 machine;
  auto title = [&](std::string_view address, std::string_view esr) {
    const std::string text =
        fmt::format("Unable to handle kernel paging request at virtual address {}\n  ESR = {}", address, esr);
    machine.fault_of(text);
    return diagnose(*machine.kernel, log_of(text)).crash_class.title;
  };
  EXPECT_EQ("Execution of user memory by the kernel", title("0000ffffb6980000", "0x000000008600000f"));
  EXPECT_EQ("Access of the kernel to user memory outside of the functions that may",
            title("0000ffffb6980000", "0x000000009600000f"));
  EXPECT_EQ("Execution of kernel memory that holds no code", title("ffff00000b2498f0", "0x000000008600000f"));
  EXPECT_EQ("Write to read-only memory of the kernel", title("ffff00000b2498f0", "0x000000009600004e"));
  EXPECT_EQ("Access to a kernel address that does not allow it",
            title("ffff00000b2498f0", "0x0000000096000047"));
}

TEST(Arm64Fault, OtherClasses) {
  struct Case {
    std::string_view text, exception, reason, access;
    std::optional<uint64_t> address;
  };
  const std::vector<Case> cases = {
      {"Internal error: Oops: 000000008600000e [#1] SMP",
       "instruction_abort",
       "level 2 permission fault",
       "execute",
       {}},
      {"Internal error: Oops - BUG: 00000000f2000800 [#1] SMP", "brk", "BUG() or WARN()", "", {}},
      {"Internal error: Oops - CFI: 00000000f2008228 [#1] SMP", "brk", "CFI", "", {}},
      {"Internal error: Oops - Undefined instruction: 0000000002000000 [#1] SMP",
       "undefined_instruction",
       "",
       "",
       {}},
      {"SError Interrupt on CPU0, code 0x00000000be000000 -- SError", "serror", "", "", {}},
      {"ESR: 0x0000000096000047 -- DABT (current EL)\nFAR: 0xffff80000000bff0", "data_abort",
       "level 3 translation fault", "write", 0xffff80000000bff0},
      // FnV: the address register says nothing.
      {"Unable to handle kernel paging request at virtual address ffff80000000bff0\n  ESR = "
       "0x0000000096000410",
       "data_abort",
       "synchronous external abort",
       "read",
       {}},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.text);
    auto fault = Arm64().fault_of(c.text);
    ASSERT_TRUE(fault);
    EXPECT_EQ(fault->exception, c.exception);
    EXPECT_EQ(fault->reason, c.reason);
    EXPECT_EQ(fault->access, c.access);
    EXPECT_EQ(fault->address, c.address);
  }
  // Old kernels print 0 for BUG().
  EXPECT_FALSE(Arm64().fault_of("Internal error: Oops - BUG: 0 [#1] SMP"));
}

// With and without an error code in the upper bits (FEAT_PAuth2 leaves anything there).
TEST(Arm64Fault, FailedAuthentication) {
  Machine machine({.pac_mask = 0x007f000000000000});
  const uint64_t code = machine.builder.vmalloc(1).value;
  auto note = [&](uint64_t address, std::string_view esr) {
    auto fault = machine.fault_of(fmt::format(
        "Unable to handle kernel paging request at virtual address {:016x}\n  ESR = {}", address, esr));
    return fault->address_kind + ": " + fault->address_note;
  };
  const std::string failed =
      fmt::format("non_canonical: a code pointer whose authentication failed: it was {:#018x}", code);
  EXPECT_EQ(note(code & ~(uint64_t{1} << 62), "0x0000000086000004"), failed);
  EXPECT_EQ(note(code ^ (uint64_t{0x5a35} << 48), "0x0000000086000004"), failed);
  EXPECT_EQ(note(code, "0x000000008600000e"), "kernel: ");
  // Data, and code that never was there.
  EXPECT_EQ(note(code & ~(uint64_t{1} << 62), "0x0000000096000004").substr(0, 8), "kernel: ");
  EXPECT_EQ(note((code & ~(uint64_t{1} << 62)) + (1 << 20), "0x0000000086000004").substr(0, 8), "kernel: ");
}

TEST(Fault, AnyLineAnyNumber) {
  for (std::string_view text :
       {"Oops: [#1]", "Oops: zz [#1]", " [#1]", ": [#1]", "Oops: 11111111111111111 [#1]",
        "CR2: ", "BUG: unable to handle page fault for address: ", "#PF: error_code(", "ESR = ", "ESR = 0x",
        "Internal error: Oops: 123456789abcdef01 [#1]", "Unable to handle kernel x at virtual address "}) {
    SCOPED_TRACE(text);
    auto x86 = X86().fault_of(text);
    EXPECT_FALSE(x86 && (x86->address || x86->error_code));
    EXPECT_FALSE(Arm64().fault_of(text));
  }
}

}  // namespace
}  // namespace kdk
