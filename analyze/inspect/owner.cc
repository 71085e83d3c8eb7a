#include "analyze/inspect/owner.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <map>
#include <unordered_map>

#include "analyze/inspect/vmalloc.h"
#include "core/base/log.h"
#include "core/diagnose/crash.h"
#include "core/diagnose/unwind.h"
#include "core/kernel/percpu.h"
#include "core/kernel/tasks.h"

namespace kdk {
namespace {

constexpr uint64_t most_unit_bytes = uint64_t{1} << 30;  // of one CPU's area
constexpr size_t cache_name_length = 64;

// A range of addresses that somebody has.
struct Stack {
  uint64_t low = 0, high = 0;
  std::string name;  // "task", "irq", ...
  std::string comm;
  std::optional<int32_t> pid;
  std::optional<unsigned> cpu;
  uint64_t task = 0;
};
struct CpuArea {
  uint64_t low = 0, high = 0, offset = 0;
  unsigned cpu = 0;
};

// The last range that begins at or below the address, if it holds it.
template <typename T, typename Low, typename High>
const T* holder(const std::vector<T>& sorted, uint64_t address, Low low, High high) {
  auto after = std::upper_bound(sorted.begin(), sorted.end(), address,
                                [&](uint64_t a, const T& item) { return a < low(item); });
  if (after == sorted.begin()) return nullptr;
  --after;
  return address < high(*after) ? &*after : nullptr;
}

}  // namespace

std::string_view to_string(Owner::Kind kind) {
  switch (kind) {
    case Owner::Kind::unknown:
      return "unknown";
    case Owner::Kind::not_kernel:
      return "not_kernel";
    case Owner::Kind::unmapped:
      return "unmapped";
    case Owner::Kind::symbol:
      return "symbol";
    case Owner::Kind::slab:
      return "slab";
    case Owner::Kind::stack:
      return "stack";
    case Owner::Kind::per_cpu:
      return "per_cpu";
    case Owner::Kind::vmalloc:
      return "vmalloc";
    case Owner::Kind::struct_page:
      return "struct_page";
    case Owner::Kind::linear:
      return "linear";
  }
  return "unknown";
}

struct OwnerFinder::Impl {
  explicit Impl(TypedMemory& types_in) : types(types_in), kernel(types.kernel()), memory(kernel.memory()) {}

  // --- tables, each made when it is first asked for
  SlabPages* slabs() {
    if (!slabs_tried) {
      slabs_tried = true;
      try {
        slabs_made = std::make_unique<SlabPages>(types);
      } catch (const Error& error) {
        problem(fmt::format("struct pages and slabs: {}", error.message()));
      }
    }
    return slabs_made.get();
  }

  void add_stacks(const StackSet& set, std::string comm, std::optional<int32_t> pid,
                  std::optional<unsigned> cpu) {
    for (const StackRange& range : set.ranges) {
      const bool task = range.name == "task";
      stack_list.push_back({range.low, range.high, range.name, task ? comm : "", task ? pid : std::nullopt,
                            task ? std::nullopt : cpu, task ? set.task : 0});
    }
  }
  const std::vector<Stack>& stacks() {
    if (stacks_read) return stack_list;
    stacks_read = true;
    const TaskList tasks = read_tasks(kernel);
    for (const Task& task : tasks.tasks)
      add_stacks(task_stack(kernel, {task.address}), task.comm, task.pid, std::nullopt);
    for (const std::string& why : tasks.problems) problem("tasks: " + why);
    if (!tasks.why_not.empty()) problem("tasks: " + tasks.why_not);
    const auto idle = kernel.layout().offset("rq", "idle");
    for (unsigned cpu : cpu_mask(kernel, "__cpu_possible_mask").value_or(std::vector<unsigned>{})) {
      add_stacks(cpu_stacks(kernel, cpu), fmt::format("current of CPU {}", cpu), std::nullopt, cpu);
      const auto queue = per_cpu_address(kernel, "runqueues", cpu);
      const auto task = queue && idle ? memory.pointer(*queue + *idle) : std::nullopt;
      if (task && task->value != 0)
        add_stacks(task_stack(kernel, *task), fmt::format("swapper/{}", cpu), 0, std::nullopt);
    }
    // A stack that was found twice is known better as a task's.
    std::stable_sort(stack_list.begin(), stack_list.end(), [](const Stack& a, const Stack& b) {
      return a.low != b.low ? a.low < b.low : a.pid.has_value() > b.pid.has_value();
    });
    const auto same = [](const Stack& a, const Stack& b) { return a.low == b.low && a.high == b.high; };
    stack_list.erase(std::unique(stack_list.begin(), stack_list.end(), same), stack_list.end());
    return stack_list;
  }

  const std::vector<VmapArea>& areas() {
    if (!areas_read) {
      areas_read = true;
      VmapAreas found = read_vmap_areas(types);
      for (std::string& why : found.problems) problem(std::move(why));
      area_list = std::move(found.areas);
    }
    return area_list;
  }

  // mm/percpu.c: the first chunk has a unit for each CPU, which begins with the static variables. Further
  // chunks are in vmalloc space and have no owner of their own.
  const std::vector<CpuArea>& cpu_areas() {
    if (cpus_read) return cpu_list;
    cpus_read = true;
    const auto begin = kernel.symbol("__per_cpu_start"), end = kernel.symbol("__per_cpu_end");
    if (!begin) return cpu_list;
    uint64_t size = end ? end->value - begin->value : 0;
    if (const auto unit = kernel.symbol("pcpu_unit_size"))
      size = std::max<uint64_t>(size, memory.u32(*unit).value_or(0));
    if (size == 0 || size > most_unit_bytes) return cpu_list;
    for (unsigned cpu : cpu_mask(kernel, "__cpu_possible_mask").value_or(std::vector<unsigned>{})) {
      if (const auto offset = per_cpu_offset(kernel, cpu))
        cpu_list.push_back({begin->value + *offset, begin->value + *offset + size, *offset, cpu});
    }
    std::sort(cpu_list.begin(), cpu_list.end(),
              [](const CpuArea& a, const CpuArea& b) { return a.low < b.low; });
    return cpu_list;
  }

  const std::string& cache_name(VirtAddr cache) {
    const auto known = cache_names.find(cache.value);
    if (known != cache_names.end()) return known->second;
    std::string& name = cache_names[cache.value];
    const auto offset = kernel.layout().offset("kmem_cache", "name");
    const auto text = offset ? memory.pointer(cache + *offset) : std::nullopt;
    if (text) name = escape_untrusted(memory.string(*text, cache_name_length).value_or(""));
    if (name.empty()) name = fmt::format("cache {:#x}", cache.value);
    return name;
  }

  // --- look-ups
  bool by_symbol(Owner& owner) {
    const auto hit = kernel.symbols().lookup(owner.address);
    if (!hit) return false;
    owner.kind = Owner::Kind::symbol;
    owner.name = escape_untrusted(hit->symbol.name);
    owner.module = escape_untrusted(hit->symbol.module);
    owner.start = hit->symbol.address;
    owner.size = hit->symbol.size;
    return true;
  }

  bool by_slab(Owner& owner) {
    SlabPages* pages = slabs();
    if (pages == nullptr) return false;
    try {
      const auto object = pages->object_of({owner.address});
      if (!object) return false;
      owner.kind = Owner::Kind::slab;
      owner.name = cache_name(object->cache);
      owner.start = object->at.value;
      owner.size = object->size;
      owner.object = object->cache.value;
      return true;
    } catch (const Error& error) {
      owner.problems.push_back(fmt::format("slab: {}", error.message()));
      return false;
    }
  }

  bool by_stack(Owner& owner) {
    const Stack* stack = holder(
        stacks(), owner.address, [](const Stack& s) { return s.low; }, [](const Stack& s) { return s.high; });
    if (stack == nullptr) return false;
    owner.kind = Owner::Kind::stack;
    owner.name = stack->comm.empty() ? stack->name : stack->comm;
    owner.start = stack->low;
    owner.size = stack->high - stack->low;
    owner.pid = stack->pid;
    owner.cpu = stack->cpu;
    if (stack->task != 0) owner.object = stack->task;
    return true;
  }

  bool by_cpu(Owner& owner) {
    const CpuArea* area = holder(
        cpu_areas(), owner.address, [](const CpuArea& a) { return a.low; },
        [](const CpuArea& a) { return a.high; });
    if (area == nullptr) return false;
    owner.kind = Owner::Kind::per_cpu;
    owner.cpu = area->cpu;
    owner.start = area->low;
    owner.size = area->high - area->low;
    if (const auto hit = kernel.symbols().lookup(owner.address - area->offset)) {
      owner.name = escape_untrusted(hit->symbol.name);
      owner.start = hit->symbol.address + area->offset;
      owner.size = hit->symbol.size;
    }
    return true;
  }

  bool by_area(Owner& owner) {
    const VmapArea* area = holder(
        areas(), owner.address, [](const VmapArea& a) { return a.start; },
        [](const VmapArea& a) { return a.end; });
    if (area == nullptr) return false;
    owner.kind = Owner::Kind::vmalloc;
    owner.start = area->start;
    owner.size = area->end - area->start;
    if (area->vm != 0) owner.object = area->vm;
    if (area->caller != 0) {
      if (const auto hit = kernel.symbols().lookup(area->caller))
        owner.name = fmt::format("{}+{:#x}", escape_untrusted(hit->symbol.name), hit->offset);
    }
    return true;
  }

  std::optional<Pfn> pfn_of_struct_page(uint64_t address) {
    SlabPages* pages = slabs();
    if (pages == nullptr) return std::nullopt;
    const uint64_t size = pages->markers().struct_size;
    for (const PfnRange& range : pages->map().present()) {
      const auto first = pages->map().page_address(range.begin);
      if (!first || address < first->value) continue;
      const uint64_t distance = (address - first->value) / size;
      if (distance >= range.count()) continue;
      const Pfn pfn = range.begin + distance;
      const auto at = pages->map().page_address(pfn);
      if (at && address - at->value < size) return pfn;
    }
    return std::nullopt;
  }

  // include/linux/page-flags.h enum pageflags: names and numbers are the kernel's own.
  std::vector<std::string> flag_names(uint64_t flags) {
    if (!flags_read) {
      flags_read = true;
      for (const std::string_view name :
           {"PG_locked",     "PG_writeback",   "PG_referenced",   "PG_uptodate",     "PG_dirty",
            "PG_lru",        "PG_head",        "PG_waiters",      "PG_active",       "PG_workingset",
            "PG_error",      "PG_slab",        "PG_owner_priv_1", "PG_owner_2",      "PG_arch_1",
            "PG_reserved",   "PG_private",     "PG_private_2",    "PG_mappedtodisk", "PG_reclaim",
            "PG_swapbacked", "PG_unevictable", "PG_dropbehind",   "PG_mlocked",      "PG_uncached",
            "PG_hwpoison",   "PG_young",       "PG_idle",         "PG_arch_2",       "PG_arch_3"}) {
        const auto bit = kernel.layout().enumerator(name);
        if (bit && *bit >= 0 && *bit < 64) flag_bits.emplace(static_cast<unsigned>(*bit), name.substr(3));
      }
    }
    std::vector<std::string> out;
    for (const auto& [bit, name] : flag_bits) {
      if ((flags >> bit & 1) != 0) out.push_back(name);
    }
    return out;
  }

  PageFactsOf page(Pfn pfn) {
    PageFactsOf facts;
    facts.pfn = pfn.value;
    SlabPages* pages = slabs();
    const auto at = pages != nullptr ? pages->map().page_address(pfn) : std::nullopt;
    if (!at) return facts;
    facts.address = at->value;
    const auto bytes = pages->struct_page(pfn);
    if (!bytes) return facts;
    facts.readable = true;
    const PageMarkers& m = pages->markers();
    facts.flags = load<ul64>(*bytes, m.flags).value_or(0);
    facts.refcount = static_cast<int32_t>(load<ul32>(*bytes, m.refcount).value_or(0));
    facts.mapcount_word = load<ul32>(*bytes, m.mapcount).value_or(0);
    facts.mapping = load<ul64>(*bytes, m.mapping).value_or(0);
    if (pages->classifier().is_tail(bytes->data())) {
      facts.head = load<ul64>(*bytes, m.compound_head).value_or(0) - 1;
      const auto head_pfn = pfn_of_struct_page(facts.head);
      if (head_pfn && *head_pfn < pfn) {
        const PageFactsOf head = page(*head_pfn);
        if (head.head == 0) {
          facts.page_class = head.page_class;
          facts.order = head.order;
          facts.slab = head.slab;
        }
      }
      return facts;
    }
    // Of a tail, the flags are the head's, and other things are kept in its word.
    facts.flag_names = flag_names(facts.flags);
    const auto second = pages->struct_page(pfn + 1);
    const PageFacts found = pages->classifier().classify(bytes->data(), second ? second->data() : nullptr);
    facts.page_class = to_string(found.page_class);
    facts.order = found.order;
    facts.slab = found.slab;
    return facts;
  }

  // Page frames of vmalloc space, to where they are mapped first.
  const std::unordered_map<uint64_t, uint64_t>& mapped_frames() {
    constexpr size_t most = size_t{1} << 22;
    if (frames_read) return frames;
    frames_read = true;
    const uint64_t page_size = memory.page_size();
    for (const VmapArea& area : areas()) {
      for (uint64_t at = area.start; at < area.end && frames.size() < most;) {
        const Translation found = memory.translate({at});
        // Areas end with an unmapped guard page; one that is not mapped at its start is only reserved.
        if (!found) break;
        frames.emplace(found.pa.value / page_size, at);
        at += page_size;
      }
    }
    return frames;
  }

  void problem(std::string text) {
    constexpr size_t most = 16;
    if (problems.size() < most) problems.push_back(std::move(text));
  }

  TypedMemory& types;
  Kernel& kernel;
  KernelMemory& memory;
  bool slabs_tried = false, stacks_read = false, areas_read = false, cpus_read = false, flags_read = false,
       frames_read = false;
  std::unique_ptr<SlabPages> slabs_made;
  std::vector<Stack> stack_list;
  std::vector<VmapArea> area_list;
  std::vector<CpuArea> cpu_list;
  std::unordered_map<uint64_t, uint64_t> frames;
  std::map<uint64_t, std::string> cache_names;
  std::map<unsigned, std::string> flag_bits;
  std::vector<std::string> problems;
};

OwnerFinder::OwnerFinder(TypedMemory& types) : impl_(std::make_unique<Impl>(types)) {}
OwnerFinder::~OwnerFinder() = default;

PageFactsOf OwnerFinder::page(Pfn pfn) {
  return impl_->page(pfn);
}

std::optional<Pfn> OwnerFinder::pfn_of_struct_page(VirtAddr address) {
  return impl_->pfn_of_struct_page(address.value);
}

std::optional<VirtAddr> OwnerFinder::linear(PhysAddr physical) {
  const VaLayout& layout = impl_->memory.layout();
  if (layout.page_offset == 0) return std::nullopt;
  const VirtAddr at{physical.value - layout.phys_offset + layout.page_offset};
  const Translation back = impl_->memory.translate(at);
  return back && back.pa == physical ? std::optional(at) : std::nullopt;
}

std::optional<VirtAddr> OwnerFinder::used_as(PhysAddr physical) {
  Impl& impl = *impl_;
  const VirtAddr image{physical.value + impl.memory.layout().image_offset};
  if (impl.kernel.symbols().lookup(image.value)) {
    const Translation back = impl.memory.translate(image);
    if (back && back.pa == physical) return image;
  }
  const uint64_t page_size = impl.memory.page_size();
  const auto& frames = impl.mapped_frames();
  if (const auto frame = frames.find(physical.value / page_size); frame != frames.end())
    return VirtAddr{frame->second + physical.value % page_size};
  return linear(physical);
}

std::vector<OwnerFinder::TaskStack> OwnerFinder::task_stacks() {
  std::vector<TaskStack> out;
  for (const Stack& stack : impl_->stacks()) {
    if (stack.task != 0) out.push_back({stack.low, stack.high, stack.comm, stack.pid, stack.task});
  }
  return out;
}

Owner OwnerFinder::find(VirtAddr tagged) {
  Impl& impl = *impl_;
  const VirtAddr address = impl.memory.arch().strip(tagged.value, impl.memory.layout());
  Owner owner;
  owner.address = address.value;
  const Translation found = impl.memory.translate(address);
  if (found.status == Translation::Status::not_kernel) {
    owner.kind = Owner::Kind::not_kernel;
    return owner;
  }
  if (found) {
    owner.physical = found.pa.value;
    owner.page = impl.page({found.pa.value / impl.memory.page_size()});
  }
  // Stacks and per-CPU areas lie in vmalloc space or in the linear map: what is known best comes first.
  const bool known = impl.by_symbol(owner) || (owner.page && owner.page->slab && impl.by_slab(owner)) ||
                     impl.by_stack(owner) || impl.by_cpu(owner) || impl.by_area(owner);
  if (!known) {
    if (impl.pfn_of_struct_page(address.value)) {
      owner.kind = Owner::Kind::struct_page;
    } else if (found) {
      const auto alias = linear(found.pa);
      owner.kind = alias && *alias == address ? Owner::Kind::linear : Owner::Kind::unknown;
    } else {
      owner.kind = Owner::Kind::unmapped;
      if (found.status == Translation::Status::table_unavailable)
        owner.problems.emplace_back(to_string(found.status));
    }
  }
  owner.problems.insert(owner.problems.end(), impl.problems.begin(), impl.problems.end());
  return owner;
}

std::string OwnerFinder::annotate(uint64_t value) {
  Impl& impl = *impl_;
  const VirtAddr address = impl.memory.arch().strip(value, impl.memory.layout());
  if (address.value < impl.memory.layout().kernel_start) return {};
  Owner owner;
  owner.address = address.value;
  if (impl.by_symbol(owner)) {
    std::string name = owner.name;
    if (address.value != owner.start) name += fmt::format("+{:#x}", address.value - owner.start);
    if (!owner.module.empty()) name += fmt::format(" [{}]", owner.module);
    return name;
  }
  if (impl.by_slab(owner)) return fmt::format("[{}]", owner.name);
  if (impl.by_stack(owner)) return fmt::format("<stack of {}>", owner.name);
  return {};
}

}  // namespace kdk
