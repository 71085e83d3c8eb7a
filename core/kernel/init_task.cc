#include "core/kernel/init_task.h"

#include <string_view>
#include <vector>

namespace kdk {
namespace {

// True when the task_struct at `task` looks like the one idle task that starts the list.
bool looks_like_init_task(Kernel& kernel, VirtAddr task) {
  const Layout& layout = kernel.layout();
  KernelMemory& memory = kernel.memory();
  auto tasks = layout.offset("task_struct", "tasks");
  auto pid = layout.offset("task_struct", "pid");
  auto parent = layout.offset("task_struct", "real_parent");
  if (!tasks || !pid || !parent) return false;
  if (memory.u32(task + *pid) != 0u || memory.pointer(task + *parent) != task) return false;
  VirtAddr head = task + *tasks;
  auto next = memory.pointer(head);
  auto prev = memory.pointer(head + 8);
  return next && prev && *next != head && memory.pointer(*next + 8) == head && memory.pointer(*prev) == head;
}

}  // namespace

std::optional<VirtAddr> find_init_task(Kernel& kernel) {
  constexpr uint64_t max_image_bytes = uint64_t{256} << 20;
  constexpr uint64_t max_hole_bytes = uint64_t{32} << 20;  // init memory is unmapped once the kernel is up
  constexpr std::string_view name = "swapper";  // followed by "/0" once the boot CPU runs (init_idle) and NUL
  auto start = kernel.symbol("_stext");
  auto comm = kernel.layout().offset("task_struct", "comm");
  if (!start || !comm) return std::nullopt;
  KernelMemory& memory = kernel.memory();
  const uint64_t page_size = memory.page_size();
  std::vector<uint8_t> buffer(page_size + name.size() - 1);  // the name may lie across two pages
  std::optional<VirtAddr> found;
  uint64_t hole = 0;
  for (uint64_t done = 0; done < max_image_bytes; done += page_size) {
    VirtAddr here = VirtAddr{align_down(start->value, page_size)} + done;
    if (memory.translate(here).status == Translation::Status::unmapped) {
      hole += page_size;
      if (hole > max_hole_bytes) break;  // beyond the end of the image
      continue;
    }
    hole = 0;
    std::string_view text = as_text(buffer).substr(0, memory.read(here, buffer).bytes);
    for (size_t at = text.find(name); at != std::string_view::npos; at = text.find(name, at + 1)) {
      VirtAddr candidate = here + at - *comm;
      if (candidate.value % 8 != 0 || !looks_like_init_task(kernel, candidate)) continue;
      if (found && *found != candidate) return std::nullopt;  // two that look right: neither is believed
      found = candidate;
    }
  }
  return found;
}

}  // namespace kdk
