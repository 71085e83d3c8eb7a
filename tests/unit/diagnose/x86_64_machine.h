// A synthetic x86-64 kernel with stacks, code, ORC rules and registers to unwind.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/arch/x86_64.h"
#include "tests/unit/diagnose/function_machine.h"
#include "tests/unit/diagnose/orc_rows.h"

namespace kdk::test {

namespace r = x86_64_reg;

constexpr uint64_t x86_stack_size = 16384;

// Types by name, for layouts that a test makes up.
struct FakeTypes : Layout::TypeSource {
  std::map<std::string, Layout::Field> fields;  // "type.path"
  std::map<std::string, uint64_t> sizes, lengths;

  std::optional<Layout::Field> field(std::string_view type, std::string_view path) const override {
    auto found = fields.find(std::string(type) + "." + std::string(path));
    return found == fields.end() ? std::nullopt : std::optional(found->second);
  }
  std::optional<uint64_t> size_of(std::string_view type) const override { return value(sizes, type); }
  std::optional<int64_t> enumerator(std::string_view) const override { return std::nullopt; }
  std::optional<uint64_t> array_length(std::string_view type, std::string_view path) const override {
    return value(lengths, std::string(type) + "." + std::string(path));
  }

 private:
  static std::optional<uint64_t> value(const std::map<std::string, uint64_t>& map, std::string_view key) {
    auto found = map.find(std::string(key));
    return found == map.end() ? std::nullopt : std::optional(found->second);
  }
};

inline Registers x86_registers(uint64_t rip, uint64_t rsp, uint64_t rbp = 0x1b9) {
  Registers registers;
  for (size_t i = 0; i <= r::ss; ++i) registers.set(i, 0x1000 + i);
  registers.set(r::orig_rax, UINT64_MAX);
  registers.set(r::rip, rip);
  registers.set(r::rsp, rsp);
  registers.set(r::rbp, rbp);
  registers.set(r::rflags, 0x246);
  registers.set(r::cs, 0x10);
  registers.set(r::ss, 0x18);
  return registers;
}

inline Registers x86_user_registers() {
  Registers registers = x86_registers(0x401000, 0x7ffc12345678);
  registers.set(r::cs, 0x33);
  registers.set(r::ss, 0x2b);
  return registers;
}

// With ORC rules per function.
struct X86Machine : FunctionMachine {
  explicit X86Machine(MachineOptions options = {.x86_64 = X86_64Options{}})
      : FunctionMachine(std::move(options)) {}

  // Code: `caller` calls `callee`, or through a register. The return address.
  uint64_t call(unsigned caller, unsigned callee, uint64_t offset = 0x40) {
    const uint64_t after = function(caller, offset);
    machine.put_u8(VirtAddr{after - 5}, 0xe8);
    machine.put_u32(VirtAddr{after - 4}, static_cast<uint32_t>(function(callee) - after));
    return after;
  }
  uint64_t indirect_call(unsigned caller, uint64_t offset = 0x40) {
    const uint64_t after = function(caller, offset);
    machine.put_u16(VirtAddr{after - 2}, 0xd0ff);  // call *%rax
    return after;
  }
  void code(unsigned n, std::initializer_list<uint8_t> bytes) {
    machine.put(VirtAddr{function(n)}, std::vector<uint8_t>(bytes));
  }
  // The rule for all of fn.
  void rule(unsigned n, const OrcRule& rule) { rules[function(n)] = rule; }
  void rule_at(unsigned n, uint64_t offset, const OrcRule& rule) { rules[function(n, offset)] = rule; }

  // struct pt_regs at `at`.
  void pt_regs(VirtAddr at, const Registers& registers) {
    constexpr std::array<size_t, 21> order = {r::r15, r::r14,      r::r13, r::r12, r::rbp,    r::rbx, r::r11,
                                              r::r10, r::r9,       r::r8,  r::rax, r::rcx,    r::rdx, r::rsi,
                                              r::rdi, r::orig_rax, r::rip, r::cs,  r::rflags, r::rsp, r::ss};
    for (size_t i = 0; i < order.size(); ++i)
      machine.put_u64(at + i * 8, registers.get(order[i]).value_or(0));
  }
  void interrupt_frame(VirtAddr at, const Registers& registers) {
    size_t i = 0;
    for (size_t index : {r::rip, r::cs, r::rflags, r::rsp, r::ss}) {
      machine.put_u64(at + i++ * 8, *registers.get(index));
    }
  }

  void open(unsigned functions = 40) {
    const std::vector<std::pair<uint64_t, OrcRule>> rows(rules.begin(), rules.end());
    if (!rows.empty()) {
      const VirtAddr ips = machine.image_alloc(rows.size() * 4), table = machine.image_alloc(rows.size() * 6);
      const OrcBytes bytes = orc_table(rows, format, ips.value);
      machine.put(ips, bytes.ips);
      machine.put(table, bytes.rows);
      variables["__start_orc_unwind_ip"] = ips;
      variables["__stop_orc_unwind_ip"] = ips + rows.size() * 4;
      variables["__start_orc_unwind"] = table;
      variables["__stop_orc_unwind"] = table + rows.size() * 6;
      if (const std::vector<uint8_t> header = orc_header(format); !header.empty()) {
        variables["__start_orc_header"] = machine.image_alloc(header.size());
        machine.put(variables["__start_orc_header"], header);
      }
      if (orc_excluded) machine.exclude(machine.pfn_of(machine.phys(table)));
    }
    variables["_end"] = machine.image_end();
    FunctionMachine::open(functions);
    kernel->symbols().add_range(machine.text().value, machine.image_end().value, {});
    kernel->symbols().finish();
    kernel->layout().add_source(types);
  }

  FakeTypes types;
  OrcFormat format = OrcFormat::v3;
  bool orc_excluded = false;  // the page of the rows is not in the dump
  std::map<uint64_t, OrcRule> rules;
};

}  // namespace kdk::test
