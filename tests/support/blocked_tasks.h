// Gives tasks of a crash scene (arm64) stacks to sleep on.
#pragma once

#include "tests/support/crash_scene.h"
#include "tests/unit/diagnose/crashed_machine.h"

namespace kdk::test {

// A stack for a task of the scene that did not run: `functions` from the innermost outwards, on top of the
// entry from user space. `room` bytes lie between the frame of functions[hole] and that of its caller, for
// what that function kept on its stack; their address is returned.
inline VirtAddr put_sleeping_stack(Scene& scene, VirtAddr task, const std::vector<std::string>& functions,
                                   size_t hole = 0, uint64_t room = 0) {
  constexpr uint64_t cpu_context = 0x400, size = 16384;  // the scene's tasks have a page each
  DumpBuilder& machine = *scene.machine;
  machine.offset("task_struct.thread.cpu_context", cpu_context);
  const VirtAddr stack = machine.vmalloc(size / machine.page_size());
  machine.put_u64(task + Scene::stack_offset, stack.value);
  StackFrames frames(machine, stack, size);
  uint64_t fp = frames.record(frames.user_entry(), scene.functions.at("el0t_64_sync") + 0x20);
  VirtAddr kept;
  for (size_t i = functions.size(); i-- > 0;) {
    if (i == hole && room != 0) kept = frames.push(room);
    if (i == 0) break;
    fp = frames.record(fp, scene.functions.at(functions[i]) + 0x20);
  }
  for (uint64_t i = 0; i < 10; ++i) machine.put_u64(task + cpu_context + i * 8, 0x1900 + i);
  machine.put_u64(task + cpu_context + 80, fp);
  machine.put_u64(task + cpu_context + 88, frames.position().value);
  machine.put_u64(task + cpu_context + 96, scene.functions.at(functions.front()) + 0x20);
  return kept;
}

}  // namespace kdk::test
