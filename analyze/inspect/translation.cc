#include "analyze/inspect/translation.h"

#include <fmt/format.h>

#include "core/kernel/tasks.h"

namespace kdk {
namespace {

Task find_task(Kernel& kernel, int32_t pid) {
  TaskList tasks = read_tasks(kernel);
  for (Task& task : tasks.tasks) {
    if (task.pid == pid) return std::move(task);
  }
  if (!tasks.why_not.empty()) throw Error(Errc::missing, fmt::format("task {}: {}", pid, tasks.why_not));
  throw Error(Errc::missing, fmt::format("there is no task with pid {}", pid));
}

// mm_struct.pgd of a task's user memory, which is an address in the linear map.
PhysAddr root_of(Kernel& kernel, const Task& task, AddressTranslation& out) {
  KernelMemory& memory = kernel.memory();
  const uint64_t mm_at = kernel.layout().require_offset("task_struct", "mm");
  const uint64_t pgd_at = kernel.layout().require_offset("mm_struct", "pgd");
  ul64 mm, pgd;
  memory.require({task.address + mm_at}, {reinterpret_cast<uint8_t*>(&mm), sizeof mm}, "task_struct.mm");
  if (mm == 0)
    throw Error(Errc::missing, fmt::format("task {} has no user memory (a kernel thread, or it has exited)",
                                           task.pid.value_or(0)));
  out.mm = mm;
  memory.require({mm + pgd_at}, {reinterpret_cast<uint8_t*>(&pgd), sizeof pgd}, "mm_struct.pgd");
  const Translation root = memory.translate({pgd});
  if (!root)
    throw Error(Errc::fault, fmt::format("mm_struct.pgd {:#x}: {}", uint64_t{pgd}, to_string(root.status)),
                pgd);
  return root.pa;
}

void add_steps(kdumpkit::Dump& dump, std::optional<PhysAddr> root, AddressTranslation& out) {
  std::optional<uint64_t> tables;
  if (root) tables = root->value;
  for (const kdumpkit::Step& step : dump.walk(out.request.address, tables)) {
    AddressTranslation::Step item;
    item.level = step.level;
    item.kind = step.kind;
    item.entry = step.entry;
    item.size = step.size;
    if (item.kind != "unreadable") item.raw = step.raw;
    if (item.kind == "table" || item.kind == "leaf") item.to = step.to;
    for (std::string_view flag : kdumpkit::strings(step.flags)) item.flags.emplace_back(flag);
    if (item.kind == "leaf") out.physical_address = step.to;
    out.steps.push_back(std::move(item));
  }
}

// Where the image has a physical address, if it does: the address that symbols have.
std::optional<uint64_t> image_address(KernelMemory& memory, uint64_t physical) {
  const VirtAddr at{physical + memory.layout().image_offset};
  const Translation back = memory.translate(at);
  return back && back.pa.value == physical ? std::optional(at.value) : std::nullopt;
}

}  // namespace

AddressTranslation translate_address(kdumpkit::Dump& dump, Kernel& kernel, OwnerFinder& owners,
                                     TranslationRequest request) {
  AddressTranslation out;
  out.request = std::move(request);
  KernelMemory& memory = kernel.memory();
  std::optional<PhysAddr> root;
  if (out.request.physical) {
    out.physical_address = out.request.address;
    out.status = "mapped";
  } else {
    if (out.request.task) {
      const Task task = find_task(kernel, *out.request.task);
      out.comm = task.comm;
      out.task = task.address;
      root = root_of(kernel, task, out);
      out.root = root->value;
    }
    const VirtAddr stripped = memory.arch().strip(out.request.address, memory.layout());
    const bool in_kernel = stripped.value >= memory.layout().kernel_start;
    if (!root && !in_kernel) {
      out.status = std::string(to_string(Translation::Status::not_kernel)) + ": --task PID says whose it is";
      return out;
    }
    // A task's own table of arm64 has user space only; x86-64's has both.
    if (in_kernel) root.reset(), out.root.reset();
    add_steps(dump, root, out);
    const std::string& end = out.steps.empty() ? "" : out.steps.back().kind;
    out.status = end == "leaf"      ? to_string(Translation::Status::mapped)
                 : end == "invalid" ? to_string(Translation::Status::unmapped)
                                    : to_string(Translation::Status::table_unavailable);
    if (end == "unreadable" && in_kernel) {
      if (const auto found = dump.translate(out.request.address)) {
        out.physical_address = found->physical;
        out.status = to_string(Translation::Status::mapped);
        out.arithmetic = true;
      }
    }
  }
  if (!out.physical_address) return out;
  const Pfn pfn{*out.physical_address / memory.page_size()};
  out.page_state = to_string(kernel.dump().state(pfn));
  out.page = owners.page(pfn);
  if (const auto linear = owners.linear({*out.physical_address})) out.linear_address = linear->value;
  out.image_address = image_address(memory, *out.physical_address);
  return out;
}

}  // namespace kdk
