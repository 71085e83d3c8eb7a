#include "analyze/inspect/interrupts.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "analyze/inspect/object.h"
#include "analyze/inspect/types/walks.h"
#include "core/base/error.h"
#include "core/kernel/percpu.h"

namespace kdk {
namespace {

constexpr size_t most_handlers = 256;  // that share a line
constexpr uint64_t most_lines = 1 << 20;
// irq_data's state: enum of include/linux/irq.h, which BTF has; else the values that it has had since Linux
// commit 0d0b4c866bcc ("genirq: Introduce struct irq_common_data to host shared irq data") (in v4.3).
constexpr int64_t per_cpu_bit = 1 << 11, disabled_bit = 1 << 16, masked_bit = 1 << 17,
                  in_progress_bit = 1 << 18;

class Reader {
 public:
  Reader(TypedMemory& types, Interrupts& out, Problems& problems)
      : objects_(types), kernel_(types.kernel()), out_(out), problems_(problems) {
    out_.cpus = objects_.cpus();
    const Layout& layout = kernel_.layout();
    disabled_ = static_cast<uint64_t>(layout.enumerator("IRQD_IRQ_DISABLED").value_or(disabled_bit));
    per_cpu_ = static_cast<uint64_t>(layout.enumerator("IRQD_PER_CPU").value_or(per_cpu_bit));
    masked_ = static_cast<uint64_t>(layout.enumerator("IRQD_IRQ_MASKED").value_or(masked_bit));
    in_progress_ = static_cast<uint64_t>(layout.enumerator("IRQD_IRQ_INPROGRESS").value_or(in_progress_bit));
  }

  void run() {
    // Linux commit 721255b9826b ("genirq: Use a maple tree for interrupt descriptor management") (in v6.5);
    // a radix tree before; an array without CONFIG_SPARSE_IRQ.
    if (const auto tree = kernel_.symbol("sparse_irqs")) {
      add(walk_maple(objects_.types(), *tree));
    } else if (const auto radix = kernel_.symbol("irq_desc_tree")) {
      add(walk_xarray(objects_.types(), *radix));
    } else if (const auto array = kernel_.symbol("irq_desc")) {
      const uint64_t size = kernel_.layout().size_of("irq_desc").value_or(0);
      // Linux commit b99dc723b12e ("genirq: Expose nr_irqs in core code") (in v7.2) renamed it.
      auto count = kernel_.symbol("total_nr_irqs");
      if (!count) count = kernel_.symbol("nr_irqs");
      const uint64_t lines = count ? kernel_.memory().u32(*count).value_or(0) : 0;
      if (size == 0 || lines == 0 || lines > most_lines)
        throw Error(Errc::missing, "the array irq_desc has no known size");
      for (uint64_t i = 0; i < lines; ++i) line(i, objects_.at("irq_desc", *array + i * size));
    } else {
      throw Error(Errc::missing,
                  "no interrupts: none of the symbols sparse_irqs, irq_desc_tree and irq_desc is known");
    }
  }

  void name_threads(const KernelLog& log) {
    std::vector<uint64_t> addresses(threads_.begin(), threads_.end());
    const auto known = read_task_set(kernel_, addresses, log);
    for (Interrupt& line : out_.lines) {
      for (InterruptHandler& handler : line.handlers) {
        if (handler.thread) handler.thread = known.at(handler.thread->task.address);
      }
    }
  }

 private:
  void add(const Walk& walk) {
    if (!walk.problem.empty()) problems_.add("the interrupt descriptors: " + walk.problem);
    for (const WalkItem& item : walk.items) line(item.first, objects_.at("irq_desc", {item.value}));
  }
  void line(uint64_t number, const Object& desc);
  void count(Interrupt& out, const Object& desc);
  void handlers(Interrupt& out, const Object& desc);

  Objects objects_;
  Kernel& kernel_;
  Interrupts& out_;
  Problems& problems_;
  uint64_t disabled_ = 0, masked_ = 0, in_progress_ = 0, per_cpu_ = 0;
  std::set<uint64_t> threads_;
};

void Reader::line(uint64_t number, const Object& desc) {
  Interrupt out;
  if (number > UINT32_MAX) {
    problems_.add(fmt::format("there is a descriptor of interrupt {:#x}", number));
    return;
  }
  out.irq = number;
  out.address = desc.address();
  const auto own = desc.number("irq_data.irq");
  if (!own) {
    problems_.add(
        fmt::format("the descriptor of interrupt {} at {:#x} cannot be read", number, desc.address()));
    return;
  }
  if (*own != number)
    problems_.add(fmt::format("the descriptor of interrupt {} says it is {}", number, *own));
  out.hardware_irq = desc.number("irq_data.hwirq");
  if (const auto chip = desc.target("irq_data.chip")) out.chip = chip->pointed_text("name", 64);
  const uint64_t state = desc.number("irq_common_data.state_use_accessors").value_or(0);
  // Those that each CPU has of its own are switched there, and the line says that it is off.
  out.disabled = (state & disabled_) != 0 && (state & per_cpu_) == 0;
  out.masked = (state & masked_) != 0;
  out.in_progress = (state & in_progress_) != 0;
  out.unhandled = desc.number("irqs_unhandled");
  out.affinity = objects_.cpu_list(desc, "irq_common_data.affinity");
  out.effective_affinity = objects_.cpu_list(desc, "irq_common_data.effective_affinity");
  count(out, desc);
  handlers(out, desc);
  out_.lines.push_back(std::move(out));
}

void Reader::count(Interrupt& out, const Object& desc) {
  // Linux commit 86d2a2f51fba ("genirq: Convert kstat_irqs to a struct") (in v6.10): the counter is its first
  // member, as it was all there was before.
  const auto per_cpu = desc.pointer("kstat_irqs");
  if (!per_cpu) return;
  for (const unsigned cpu : out_.cpus) {
    const auto offset = per_cpu_offset(kernel_, cpu);
    const auto value = offset ? kernel_.memory().u32(*per_cpu + *offset) : std::nullopt;
    if (!value) continue;
    out.counts.push_back({cpu, *value});
    out.total += *value;
  }
}

void Reader::handlers(Interrupt& out, const Object& desc) {
  std::set<uint64_t> seen;
  for (auto action = desc.target("action"); action; action = action->target("next")) {
    if (!seen.insert(action->address()).second || out.handlers.size() == most_handlers) {
      problems_.add(fmt::format("the handlers of interrupt {} have no end", out.irq));
      return;
    }
    const auto function = action->number("handler");
    if (!function) {
      problems_.add(
          fmt::format("a handler of interrupt {} at {:#x} cannot be read", out.irq, action->address()));
      return;
    }
    InterruptHandler handler;
    handler.address = action->address();
    handler.name = action->pointed_text("name", 128);
    if (*function != 0) handler.function = objects_.symbol_text(*function);
    if (const auto thread = action->pointer("thread_fn"))
      handler.thread_function = objects_.symbol_text(thread->value);
    if (const auto thread = action->pointer("thread")) {
      threads_.insert(thread->value);
      handler.thread.emplace().task.address = thread->value;
    }
    out.handlers.push_back(std::move(handler));
  }
}

}  // namespace

Interrupts read_interrupts(TypedMemory& types, const KernelLog& log) {
  Interrupts out;
  Problems problems;
  Reader reader(types, out, problems);
  reader.run();
  reader.name_threads(log);
  out.problems = problems.take();
  return out;
}

}  // namespace kdk
