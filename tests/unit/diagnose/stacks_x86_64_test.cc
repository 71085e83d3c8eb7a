// Which stacks an x86-64 CPU has, in every form kernels keep them.
#include <gtest/gtest.h>

#include "core/diagnose/crash.h"
#include "tests/unit/diagnose/x86_64_machine.h"

namespace kdk {
namespace {

class StacksX86 : public testing::Test {
 protected:
  // Per-CPU variables of CPU 1, from offset 0 of the per-CPU section on.
  void SetUp() override {
    const VirtAddr offsets = m.machine.image_alloc(16);
    per_cpu = m.machine.alloc(0x4000);
    section = m.machine.image_alloc(0x4000);
    m.variables["__per_cpu_offset"] = offsets;
    m.machine.put_u64(offsets + 8, per_cpu.value - section.value);
  }
  // Where CPU 1 has the per-CPU variable `name`.
  VirtAddr variable(const std::string& name, uint64_t offset) {
    m.variables[name] = section + offset;
    return per_cpu + offset;
  }
  const StackRange* find(const StackSet& set, std::string_view name) {
    for (const StackRange& range : set.ranges) {
      if (range.name == name) return &range;
    }
    return nullptr;
  }
  void expect(std::string_view name, uint64_t low, uint64_t high) {
    const StackSet set = cpu_stacks(*m.kernel, 1);
    const StackRange* range = find(set, name);
    ASSERT_NE(range, nullptr) << name;
    EXPECT_EQ(range->low, low) << name;
    EXPECT_EQ(range->high, high) << name;
  }

  test::X86Machine m;
  VirtAddr per_cpu, section;
};

TEST_F(StacksX86, InterruptStackBehindItsPointer) {
  const VirtAddr stack = m.machine.vmalloc(4);
  const uint64_t high = stack.value + 0x4000;
  struct Form {
    std::string symbol;
    uint64_t pointer;
  };
  // By kernel: the end, the last word, or (before v5.2) 64 bytes below the end.
  for (const Form& form : {Form{"hardirq_stack_ptr", high}, Form{"hardirq_stack_ptr", high - 8},
                           Form{"irq_stack_ptr", high - 64}}) {
    m.variables.erase("hardirq_stack_ptr");
    m.machine.put_u64(variable(form.symbol, 0x100), form.pointer);
    m.open();
    expect("irq", stack.value, high);
  }
  m.variables.erase("irq_stack_ptr");
  // v6.2 to v6.14.
  m.types.fields["pcpu_hot.hardirq_stack_ptr"] = {24, 8};
  m.types.sizes["irq_stack"] = 0x8000;  // KASAN
  m.machine.put_u64(variable("pcpu_hot", 0x200) + 24, high - 8);
  m.open();
  expect("irq", high - 0x8000, high);
}

TEST_F(StacksX86, ExceptionStacksOfTheEntryArea) {
  const uint64_t area = 0xfffffe1234567000;
  m.machine.put_u64(variable("cea_exception_stacks", 0x300), area);
  m.types.fields = {{"cea_exception_stacks.DF_stack", {0x1000, 0x2000}},
                    {"cea_exception_stacks.NMI_stack", {0x4000, 0x2000}},
                    {"cea_exception_stacks.DB_stack", {0x7000, 0x2000}},
                    {"cea_exception_stacks.MCE_stack", {0xa000, 0x2000}},
                    {"cea_exception_stacks.VC_stack", {0xd000, 0x2000}},
                    {"cea_exception_stacks.VC2_stack", {0x10000, 0x2000}}};
  m.open();
  expect("df", area + 0x1000, area + 0x3000);
  expect("nmi", area + 0x4000, area + 0x6000);
  expect("db", area + 0x7000, area + 0x9000);
  expect("mce", area + 0xa000, area + 0xc000);
  expect("vc", area + 0xd000, area + 0xf000);
  expect("vc2", area + 0x10000, area + 0x12000);
}

// Without types, or before v5.1, the CPU's own table has the tops.
TEST_F(StacksX86, ExceptionStacksOfTheInterruptStackTable) {
  const VirtAddr tss = variable("cpu_tss_rw", 0x1000);
  const VirtAddr guarded = m.machine.vmalloc(2);        // two pages between guards
  const VirtAddr neighbours = m.machine.vmalloc(2);     // two stacks of a page each, one above the other
  m.machine.put_u64(tss + 36, guarded.value + 0x2000);  // #DF
  m.machine.put_u64(tss + 44, neighbours.value + 0x1000);
  m.machine.put_u64(tss + 52, neighbours.value + 0x2000);
  m.machine.put_u64(tss + 60, 0x123);  // not a stack
  m.machine.put_u64(tss + 4, 0xfffffe0000003000);
  m.types.sizes["entry_stack"] = 0x1000;
  m.open();
  expect("df", guarded.value, guarded.value + 0x2000);
  expect("nmi", neighbours.value, neighbours.value + 0x1000);
  expect("db", neighbours.value + 0x1000, neighbours.value + 0x2000);
  expect("entry", 0xfffffe0000002000, 0xfffffe0000003000);
  EXPECT_EQ(find(cpu_stacks(*m.kernel, 1), "mce"), nullptr);
}

TEST_F(StacksX86, NothingKnownNothingSaid) {
  m.open();
  EXPECT_TRUE(cpu_stacks(*m.kernel, 1).ranges.empty());
  EXPECT_TRUE(cpu_stacks(*m.kernel, 0).ranges.empty());
  EXPECT_TRUE(cpu_stacks(*m.kernel, 100000).ranges.empty());
}

TEST_F(StacksX86, PointersThatLie) {
  m.machine.put_u64(variable("hardirq_stack_ptr", 0x100), 0x10);
  m.machine.put_u64(variable("cea_exception_stacks", 0x300), UINT64_MAX - 0xfff);
  m.types.fields = {{"cea_exception_stacks.NMI_stack", {0x4000, 0x2000}}};
  const VirtAddr tss = variable("cpu_tss_rw", 0x1000);
  for (uint64_t i = 0; i < 16; ++i) m.machine.put_u64(tss + 4 + i * 8, UINT64_MAX - i);
  m.types.sizes["entry_stack"] = 0x1000;
  m.open();
  for (const StackRange& range : cpu_stacks(*m.kernel, 1).ranges) EXPECT_LT(range.low, range.high);
}

}  // namespace
}  // namespace kdk
