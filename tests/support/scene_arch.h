// The part of a crash scene that is an architecture's own: function names, stacks and registers, the note's
// layout, the kernel's words.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/dump_builder.h"

namespace kdk::test {

class SceneArch {
 public:
  // Address of a function of functions(), plus bytes.
  using FunctionAt = std::function<uint64_t(std::string_view name, uint64_t offset)>;
  static constexpr uint64_t function_size = 0x100, thread_size = 16384;

  virtual ~SceneArch() = default;
  virtual std::vector<std::string> functions() const = 0;
  // Fills the stack at `stack` and returns the registers of the note. CPU 0 crashed in task 77; CPU 1 idles.
  virtual Registers crashed_cpu(DumpBuilder& machine, VirtAddr stack, const FunctionAt& at,
                                bool oops) const = 0;
  virtual Registers idle_cpu(DumpBuilder& machine, VirtAddr stack, const FunctionAt& at) const = 0;
  // What else the kernel has in memory to unwind; adds its symbols.
  virtual void put_unwind_tables(DumpBuilder& machine, const FunctionAt& at,
                                 std::map<std::string, VirtAddr>& symbols) const {
    (void)machine, (void)at, (void)symbols;
  }
  // The description of NT_PRSTATUS.
  virtual std::vector<uint8_t> prstatus(const Registers& registers, int32_t pid) const = 0;
  virtual std::string console() const = 0;  // of the command line
  // The log of the crash, one record per line.
  virtual std::vector<std::string> crash_log(bool oops) const = 0;
};

const SceneArch& arm64_scene();
const SceneArch& x86_64_scene();

}  // namespace kdk::test
