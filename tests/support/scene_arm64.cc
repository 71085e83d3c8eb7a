#include "tests/support/scene_arch.h"
#include "tests/unit/diagnose/crashed_machine.h"

namespace kdk::test {
namespace {

class Arm64Scene : public SceneArch {
 public:
  std::vector<std::string> functions() const override {
    return {"__crash_kexec",
            "panic",
            "sysrq_handle_crash",
            "__handle_sysrq",
            "vfs_write",
            "el0t_64_sync",
            "die",
            "do_page_fault",
            "el1h_64_sync",
            "faulty_fn",
            "cpu_do_idle",
            "do_idle",
            "secondary_start_kernel",
            "__schedule",
            "schedule",
            "do_nanosleep",
            "__mutex_lock",
            "rwsem_down_write_slowpath",
            "rwsem_down_read_slowpath",
            "__down_common"};
  }

  Registers crashed_cpu(DumpBuilder& machine, VirtAddr stack, const FunctionAt& at,
                        bool oops) const override {
    StackFrames frames(machine, stack, thread_size);
    uint64_t fp = frames.record(frames.user_entry(), at("el0t_64_sync", 0x20));
    if (oops) {
      fp = frames.record(fp, at("vfs_write", 0x20));
      Registers fault =
          kernel_registers(at("faulty_fn", 0x14), fp, frames.position().value, at("vfs_write", 0x20));
      fp = frames.pt_regs(fault, 304, fp, at("faulty_fn", 0x14));
      for (const char* name : {"el1h_64_sync", "do_page_fault", "die"})
        fp = frames.record(fp, at(name, 0x20));
    } else {
      for (const char* name : {"vfs_write", "__handle_sysrq", "sysrq_handle_crash", "panic"}) {
        fp = frames.record(fp, at(name, 0x20));
      }
    }
    return kernel_registers(at("__crash_kexec", 0x64), fp, frames.position().value,
                            at("__crash_kexec", 0x40));
  }

  Registers idle_cpu(DumpBuilder& machine, VirtAddr stack, const FunctionAt& at) const override {
    StackFrames frames(machine, stack, thread_size);
    uint64_t fp = frames.record(frames.thread_start(), at("secondary_start_kernel", 0x20));
    fp = frames.record(fp, at("do_idle", 0x20));
    return kernel_registers(at("cpu_do_idle", 0x8), fp, frames.position().value, at("cpu_do_idle", 0x4));
  }

  std::vector<uint8_t> prstatus(const Registers& registers, int32_t pid) const override {
    std::vector<uint8_t> desc(392);
    store(MutableBytes(desc), 32, ul32(static_cast<uint32_t>(pid)));
    for (size_t i = 0; i < 34; ++i) store(MutableBytes(desc), 112 + i * 8, ul64(registers.value[i]));
    return desc;
  }

  std::string console() const override { return "ttyAMA0"; }

  std::vector<std::string> crash_log(bool oops) const override {
    if (oops) {
      return {"Unable to handle kernel NULL pointer dereference at virtual address 0000000000000008",
              "Internal error: Oops: 0000000096000004 [#1] SMP",
              "Modules linked in: demo_driver(OE)",
              "CPU: 0 UID: 0 PID: 77 Comm: trigger Tainted: G           OE      6.12.0-synthetic #1",
              "Call trace:",
              " faulty_fn+0x14/0x100",
              " vfs_write+0x20/0x100",
              " el0t_64_sync+0x20/0x100",
              "Kernel panic - not syncing: Oops: Fatal exception"};
    }
    return {"sysrq: Trigger a crash",
            "Kernel panic - not syncing: sysrq triggered crash",
            "CPU: 0 UID: 0 PID: 77 Comm: trigger Tainted: G           OE      6.12.0-synthetic #1",
            "Call trace:",
            " dump_backtrace+0x94/0xec",
            " panic+0x20/0x100",
            " sysrq_handle_crash+0x20/0x100",
            " __handle_sysrq+0x20/0x100",
            " vfs_write+0x20/0x100",
            " el0t_64_sync+0x20/0x100"};
  }
};

}  // namespace

const SceneArch& arm64_scene() {
  static const Arm64Scene scene;
  return scene;
}

}  // namespace kdk::test
