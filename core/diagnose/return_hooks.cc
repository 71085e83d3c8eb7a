#include "core/diagnose/return_hooks.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace kdk {
namespace {

// SHADOW_STACK_SIZE of v6.12; older kernels have 50 entries (FTRACE_RETFUNC_DEPTH), which is less.
constexpr size_t graph_stack_bytes = 4096;
constexpr size_t max_probes = 4096;

}  // namespace

ReturnHooks::ReturnHooks(Kernel& kernel, uint64_t task) : kernel_(kernel), task_(task) {
  // The last two are of kernels whose return probes have no rethook.
  for (std::string_view name :
       {"return_to_handler", "arch_rethook_trampoline", "kretprobe_trampoline", "__kretprobe_trampoline"}) {
    if (std::optional<VirtAddr> address = kernel.symbol(name)) trampolines_.push_back(address->value);
  }
}

bool ReturnHooks::is_hook(uint64_t address) const {
  return std::find(trampolines_.begin(), trampolines_.end(), address) != trampolines_.end();
}

std::optional<uint64_t> ReturnHooks::original(uint64_t slot) {
  if (task_ == 0) return std::nullopt;
  if (std::optional<uint64_t> address = from_graph_tracer(slot)) return address;
  return from_return_probe(slot);
}

// task_struct.ret_stack is a stack of struct ftrace_ret_stack, with other words between them since v6.11;
// each says where on the stack it belongs. What lies above its top is left over, so the lowest match is
// right.
std::optional<uint64_t> ReturnHooks::from_graph_tracer(uint64_t slot) {
  const Layout& layout = kernel_.layout();
  const auto stack_at = layout.offset("task_struct", "ret_stack");
  const auto ret = layout.offset("ftrace_ret_stack", "ret"), retp = layout.offset("ftrace_ret_stack", "retp");
  if (!stack_at || !ret || !retp) return std::nullopt;
  KernelMemory& memory = kernel_.memory();
  const std::optional<VirtAddr> stack = memory.pointer(VirtAddr{task_} + *stack_at);
  if (!stack || stack->value == 0) return std::nullopt;
  std::vector<uint8_t> bytes(graph_stack_bytes);
  bytes.resize(memory.read(*stack, bytes).bytes);
  for (uint64_t at = 0; at < bytes.size(); at += sizeof(ul64)) {
    const auto belongs = load<ul64>(bytes, at + *retp), address = load<ul64>(bytes, at + *ret);
    if (belongs && address && *belongs == slot && !is_hook(*address)) return *address;
  }
  return std::nullopt;
}

// A list of nodes, newest first. Several probes of one function have a node each, of which only the oldest
// has more than the trampoline.
std::optional<uint64_t> ReturnHooks::from_return_probe(uint64_t slot) {
  struct Form {
    std::string_view head, node, frame;
  };
  constexpr std::array<Form, 2> forms = {{{"rethooks.first", "rethook_node", "frame"},
                                          {"kretprobe_instances.first", "kretprobe_instance", "fp"}}};
  const Layout& layout = kernel_.layout();
  KernelMemory& memory = kernel_.memory();
  for (const Form& form : forms) {
    const auto head = layout.offset("task_struct", form.head), link = layout.offset(form.node, "llist"),
               ret = layout.offset(form.node, "ret_addr"), frame = layout.offset(form.node, form.frame);
    if (!head || !link || !ret || !frame) continue;
    std::optional<uint64_t> next = memory.u64(VirtAddr{task_} + *head);
    for (size_t i = 0; next && *next != 0 && i < max_probes; ++i) {
      const VirtAddr node = VirtAddr{*next} - *link;
      const std::optional<uint64_t> address = memory.u64(node + *ret);
      if (memory.u64(node + *frame) == slot && address && !is_hook(*address)) return address;
      next = memory.u64(VirtAddr{*next});  // llist_node.next
    }
  }
  return std::nullopt;
}

}  // namespace kdk
