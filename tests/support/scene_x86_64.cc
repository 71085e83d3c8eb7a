// Stacks as code without frame pointers leaves them, and the ORC tables that describe them.
// Source: arch/x86/include/asm/orc_types.h, asm/ptrace.h, include/uapi/asm/ptrace.h (user_regs_struct), of
// v6.12.
#include "core/arch/x86_64.h"
#include "tests/support/scene_arch.h"

namespace kdk::test {
namespace {

namespace r = x86_64_reg;

constexpr uint64_t kernel_cs = 0x10, kernel_ss = 0x18, user_cs = 0x33, user_ss = 0x2b;
constexpr uint64_t pt_regs_size = 21 * 8;
constexpr uint16_t frame_size = 24;  // of every function: two words and the return address
// r15, r14, ... ss of struct pt_regs; user_regs_struct begins with them.
constexpr std::array<size_t, 21> pt_regs_order = {
    r::r15, r::r14, r::r13, r::r12, r::rbp,      r::rbx, r::r11, r::r10,    r::r9,  r::r8, r::rax,
    r::rcx, r::rdx, r::rsi, r::rdi, r::orig_rax, r::rip, r::cs,  r::rflags, r::rsp, r::ss};

Registers kernel_registers(uint64_t pc, uint64_t sp) {
  Registers registers;
  for (size_t i = 0; i < r::count; ++i) registers.set(i, 0x1000 + i);
  registers.set(r::rip, pc);
  registers.set(r::rsp, sp);
  registers.set(r::cs, kernel_cs);
  registers.set(r::ss, kernel_ss);
  registers.set(r::rflags, 0x10046);
  return registers;
}

// A stack that is filled from its top downwards. The caller's rsp before a call is where the callee's frame
// ends.
class Frames {
 public:
  Frames(DumpBuilder& machine, VirtAddr low) : machine_(machine), sp_(low + SceneArch::thread_size) {}
  uint64_t sp() const { return sp_.value; }
  void called_from(uint64_t return_address) {
    machine_.put_u64(VirtAddr{sp_.value - 8}, return_address);
    sp_ = VirtAddr{sp_.value - frame_size};
  }
  void user_registers() {
    Registers user = kernel_registers(0x53f680, 0x7ffc0de00000);
    user.set(r::cs, user_cs);
    user.set(r::ss, user_ss);
    sp_ = VirtAddr{sp_.value - pt_regs_size};
    for (size_t i = 0; i < pt_regs_order.size(); ++i) {
      machine_.put_u64(sp_ + i * 8, user.value[pt_regs_order[i]]);
    }
  }

 private:
  DumpBuilder& machine_;
  VirtAddr sp_;
};

// A row of .orc_unwind: sp_offset, bp_offset, then sp_reg:4, bp_reg:4, type:3, signal:1.
struct Row {
  uint16_t sp_offset, bp_offset, flags;
};
constexpr uint16_t reg_sp = 5, type_end_of_stack = 1 << 8, type_call = 2 << 8, type_regs = 3 << 8,
                   is_signal = 1 << 11;

class X86Scene : public SceneArch {
 public:
  std::vector<std::string> functions() const override {
    return {"__crash_kexec",  "panic",           "sysrq_handle_crash",
            "__handle_sysrq", "vfs_write",       std::string(syscall_entry),
            "do_syscall_64",  "faulty_fn",       "pv_native_safe_halt",
            "do_idle",        std::string(start)};
  }

  Registers crashed_cpu(DumpBuilder& machine, VirtAddr stack, const FunctionAt& at,
                        bool oops) const override {
    Frames frames(machine, stack);
    frames.user_registers();
    frames.called_from(at(syscall_entry, 0x20));
    frames.called_from(at("do_syscall_64", 0x20));
    frames.called_from(at("vfs_write", 0x20));
    // die() hands the registers of the exception to the crash path.
    if (oops) return kernel_registers(at("faulty_fn", 0x14), frames.sp());
    for (const char* name : {"__handle_sysrq", "sysrq_handle_crash", "panic"})
      frames.called_from(at(name, 0x20));
    return kernel_registers(at("__crash_kexec", 0x64), frames.sp());
  }

  Registers idle_cpu(DumpBuilder& machine, VirtAddr stack, const FunctionAt& at) const override {
    Frames frames(machine, stack);
    frames.called_from(at(start, 0x20));
    frames.called_from(at("do_idle", 0x20));
    return kernel_registers(at("pv_native_safe_halt", 0x8), frames.sp());
  }

  void put_unwind_tables(DumpBuilder& machine, const FunctionAt& at,
                         std::map<std::string, VirtAddr>& symbols) const override {
    // As Debian's 6.12 kernel has it: the hash of the format.
    static constexpr std::array<uint8_t, 20> header = {0xfe, 0x5d, 0x32, 0xbf, 0x58, 0x1b, 0xd6,
                                                       0x3b, 0x2c, 0xa9, 0xa5, 0xc6, 0x5b, 0xa5,
                                                       0xa6, 0x25, 0xea, 0xb3, 0xfe, 0x24};
    const std::vector<std::string> names = functions();
    const size_t count = names.size() + 1;
    VirtAddr hash = machine.image_alloc(header.size(), 4), ips = machine.image_alloc(count * 4, 4),
             rows = machine.image_alloc(count * 6, 2);
    machine.put(hash, header);
    for (size_t i = 0; i < count; ++i) {
      const bool behind = i == names.size();  // an empty row closes the table
      const uint64_t begin = behind ? at(names.back(), function_size) : at(names[i], 0);
      Row row{frame_size, 0, reg_sp | type_call};
      if (behind) row = {0, 0, 0};
      if (!behind && names[i] == syscall_entry) row = {0, 0, reg_sp | type_regs | is_signal};
      if (!behind && names[i] == start) row = {0, 0, type_end_of_stack};
      machine.put_u32(ips + i * 4, static_cast<uint32_t>(begin - (ips.value + i * 4)));
      machine.put_u16(rows + i * 6, row.sp_offset);
      machine.put_u16(rows + i * 6 + 2, row.bp_offset);
      machine.put_u16(rows + i * 6 + 4, row.flags);
    }
    symbols["__start_orc_header"] = hash;
    symbols["__start_orc_unwind_ip"] = ips;
    symbols["__stop_orc_unwind_ip"] = ips + count * 4;
    symbols["__start_orc_unwind"] = rows;
    symbols["__stop_orc_unwind"] = rows + count * 6;
  }

  std::vector<uint8_t> prstatus(const Registers& registers, int32_t pid) const override {
    std::vector<uint8_t> desc(336);
    store(MutableBytes(desc), 32, ul32(static_cast<uint32_t>(pid)));
    size_t at = 112;
    auto put = [&](uint64_t value) {
      store(MutableBytes(desc), at, ul64(value));
      at += 8;
    };
    for (size_t index : pt_regs_order) put(registers.value[index]);
    for (size_t index : {r::fs_base, r::gs_base, r::ds, r::es, r::fs, r::gs}) put(registers.value[index]);
    return desc;
  }

  std::string console() const override { return "ttyS0"; }

  std::vector<std::string> crash_log(bool oops) const override {
    const std::string cpu =
        "CPU: 0 UID: 0 PID: 77 Comm: trigger Tainted: G           OE      6.12.0-synthetic #1";
    const std::vector<std::string> user = {
        " entry_SYSCALL_64_after_hwframe+0x20/0x100", "RIP: 0033:0x53f680",
        "RSP: 002b:00007ffc0de00000 EFLAGS: 00010046 ORIG_RAX: 0000000000000001", " </TASK>"};
    std::vector<std::string> log;
    if (oops) {
      log = {"BUG: kernel NULL pointer dereference, address: 0000000000000008",
             "#PF: supervisor write access in kernel mode",
             "#PF: error_code(0x0002) - not-present page",
             "PGD 0 P4D 0",
             "Oops: Oops: 0002 [#1] PREEMPT SMP NOPTI",
             cpu,
             "RIP: 0010:faulty_fn+0x14/0x100",
             "CR2: 0000000000000008 CR3: 0000000001a1c000 CR4: 00000000000006e0",
             "Call Trace:",
             " <TASK>",
             " ? page_fault_oops+0x10/0x20",
             " vfs_write+0x20/0x100",
             " do_syscall_64+0x20/0x100"};
    } else {
      log = {"sysrq: Trigger a crash",
             "Kernel panic - not syncing: sysrq triggered crash",
             cpu,
             "Call Trace:",
             " <TASK>",
             " panic+0x20/0x100",
             " sysrq_handle_crash+0x20/0x100",
             " __handle_sysrq+0x20/0x100",
             " vfs_write+0x20/0x100",
             " do_syscall_64+0x20/0x100"};
    }
    log.insert(log.end(), user.begin(), user.end());
    if (oops) {
      log.insert(log.end(), {"Modules linked in: demo_driver(OE)", "CR2: 0000000000000008",
                             "---[ end trace 0000000000000000 ]---"});
    }
    return log;
  }

 private:
  static constexpr std::string_view syscall_entry = "entry_SYSCALL_64_after_hwframe",
                                    start = "common_startup_64";
};

}  // namespace

const SceneArch& x86_64_scene() {
  static const X86Scene scene;
  return scene;
}

}  // namespace kdk::test
