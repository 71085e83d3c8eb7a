#include "capture/filter/useful_memory.h"

#include <algorithm>
#include <string_view>
#include <unordered_set>

#include "core/kernel/init_task.h"
#include "core/kernel/modules.h"

namespace kdk {
namespace {

// Larger than any real one: task_struct is below 16 KiB, a stack at most 64 KiB (or a page), log_buf_len= at
// most 2 GiB.
constexpr uint64_t max_struct = 64 << 10, max_stack = 1 << 20, max_log = uint64_t{1} << 31;
constexpr uint64_t max_module = uint64_t{256} << 20;
constexpr size_t max_tasks = size_t{4} << 20;  // PID_MAX_LIMIT, include/linux/threads.h

// Collects the page frames behind virtual addresses.
class Pages {
 public:
  explicit Pages(KernelMemory& memory) : memory_(memory) {}

  // What is not mapped in between is left out. Of more than `most` bytes nothing is believed.
  void add(VirtAddr start, uint64_t size, uint64_t most) {
    if (size == 0 || size > most || size > left_) return;
    left_ -= size;
    const uint64_t page = memory_.page_size();
    for (uint64_t done = 0; done < size;) {
      const VirtAddr here = start + done;
      const Translation t = memory_.translate(here);
      uint64_t step = page - here.value % page;
      if (t && t.contiguous != 0) {
        step = std::min(t.contiguous, size - done);
        ranges_.push_back({{t.pa.value / page}, {(t.pa.value + step - 1) / page + 1}});
      }
      done += step;
    }
  }
  std::vector<PfnRange> take() { return std::move(ranges_); }

 private:
  KernelMemory& memory_;
  std::vector<PfnRange> ranges_;
  uint64_t left_ = uint64_t{64} << 30;  // two million tasks; a bound for lists that lie
};

void add_ring(Kernel& kernel, VirtAddr prb, Pages& pages) {
  const Vmcoreinfo& info = kernel.vmcoreinfo();
  KernelMemory& memory = kernel.memory();
  const auto size = info.size("printk_ringbuffer"), desc_size = info.size("prb_desc"),
             info_size = info.size("printk_info");
  const auto desc_ring = info.offset("printk_ringbuffer.desc_ring"),
             data_ring = info.offset("printk_ringbuffer.text_data_ring"),
             count_bits = info.offset("prb_desc_ring.count_bits"), descs = info.offset("prb_desc_ring.descs"),
             infos = info.offset("prb_desc_ring.infos"), size_bits = info.offset("prb_data_ring.size_bits"),
             data = info.offset("prb_data_ring.data");
  if (!size || !desc_size || !info_size || !desc_ring || !data_ring || !count_bits || !descs || !infos ||
      !size_bits || !data)
    return;
  pages.add(prb, *size, max_struct);
  const auto bits = memory.u32(prb + *desc_ring + *count_bits),
             text_bits = memory.u32(prb + *data_ring + *size_bits);
  const auto add = [&](uint64_t pointer, std::optional<uint32_t> shift, uint64_t item) {
    const std::optional<VirtAddr> at = memory.pointer(prb + pointer);
    if (at && shift && *shift < 32 && item <= max_struct) pages.add(*at, item << *shift, max_log);
  };
  add(*desc_ring + *descs, bits, *desc_size);
  add(*desc_ring + *infos, bits, *info_size);
  add(*data_ring + *data, text_bits, 1);
}

// Walks the tasks; source: include/linux/sched/signal.h (for_each_process_thread).
class TaskWalk {
 public:
  TaskWalk(Kernel& kernel, Pages& pages)
      : kernel_(kernel), memory_(kernel.memory()), pages_(pages), layout_(kernel.layout()) {
    size_ = layout_.size_of("task_struct").value_or(0);
    stack_ = layout_.offset("task_struct", "stack");
    stack_size_ = layout_.size_of("thread_union").value_or(16 << 10);  // THREAD_SIZE
    signal_ = layout_.offset("task_struct", "signal");
    thread_head_ = layout_.offset("signal_struct", "thread_head");
    thread_node_ = layout_.offset("task_struct", "thread_node");
  }

  void walk() {
    const auto tasks = layout_.offset("task_struct", "tasks");
    std::optional<VirtAddr> init = kernel_.symbol("init_task");
    if (!init) init = find_init_task(kernel_);
    if (!init || !tasks) return;
    add(*init);
    walk_list(memory_, *init + *tasks, max_tasks, [&](VirtAddr node) {
      add_process(node - *tasks);
      return true;
    });
  }

 private:
  void add_process(VirtAddr leader) {
    add(leader);
    if (!signal_ || !thread_head_ || !thread_node_) return;
    const std::optional<VirtAddr> signal = memory_.pointer(leader + *signal_);
    if (!signal) return;
    pages_.add(*signal + *thread_head_, 16, max_struct);
    walk_list(memory_, *signal + *thread_head_, max_tasks,
              [&](VirtAddr node) { return add(node - *thread_node_) || node == leader + *thread_node_; });
  }

  // False when it was met before.
  bool add(VirtAddr task) {
    if (seen_.size() >= max_tasks || !seen_.insert(task.value).second) return false;
    pages_.add(task, size_, max_struct);
    const std::optional<VirtAddr> stack = stack_ ? memory_.pointer(task + *stack_) : std::nullopt;
    if (stack) pages_.add(*stack, stack_size_, max_stack);
    return true;
  }

  Kernel& kernel_;
  KernelMemory& memory_;
  Pages& pages_;
  const Layout& layout_;
  uint64_t size_ = 0, stack_size_ = 0;
  std::optional<uint64_t> stack_, signal_, thread_head_, thread_node_;
  std::unordered_set<uint64_t> seen_;
};

}  // namespace

std::vector<PfnRange> log_pages(Kernel& kernel) {
  Pages pages(kernel.memory());
  KernelMemory& memory = kernel.memory();
  const Vmcoreinfo& info = kernel.vmcoreinfo();
  if (const auto symbol = info.symbol("prb")) {
    pages.add({*symbol}, 8, max_struct);
    if (const std::optional<VirtAddr> prb = memory.pointer({*symbol})) add_ring(kernel, *prb, pages);
  }
  // Before v5.10; since then log_buf is the ring's text.
  const auto buffer = info.symbol("log_buf"), length = info.symbol("log_buf_len");
  for (std::string_view name : {"log_buf", "log_buf_len", "log_first_idx", "log_next_idx", "clear_seq"}) {
    if (const auto symbol = info.symbol(name)) pages.add({*symbol}, 8, max_struct);
  }
  if (buffer && length) {
    const std::optional<VirtAddr> text = memory.pointer({*buffer});
    if (text) pages.add(*text, memory.u32({*length}).value_or(0), max_log);
  }
  return pages.take();
}

std::vector<PfnRange> variable_pages(Kernel& kernel) {
  Pages pages(kernel.memory());
  for (std::string_view name : {"init_uts_ns", "__per_cpu_offset", "__cpu_possible_mask", "__cpu_online_mask",
                                "nr_cpu_ids", "crash_notes", "panic_cpu", "modules"}) {
    if (const std::optional<VirtAddr> symbol = kernel.symbol(name)) pages.add(*symbol, 8, max_struct);
  }
  if (const auto count = kernel.symbol("nr_cpu_ids"), offsets = kernel.symbol("__per_cpu_offset");
      count && offsets)
    pages.add(*offsets, uint64_t{8} * kernel.memory().u32(*count).value_or(0), max_struct);
  return pages.take();
}

std::vector<PfnRange> task_pages(Kernel& kernel) {
  Pages pages(kernel.memory());
  TaskWalk(kernel, pages).walk();
  return pages.take();
}

std::vector<PfnRange> module_pages(Kernel& kernel) {
  Pages pages(kernel.memory());
  for (const Module& module : list_modules(kernel).modules) {
    pages.add({module.address}, kernel.layout().size_of("module").value_or(0), max_struct);
    for (const Module::Range& range : module.ranges) pages.add({range.base}, range.size, max_module);
  }
  return pages.take();
}

}  // namespace kdk
