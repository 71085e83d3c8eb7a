#include "analyze/inspect/locks.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "core/base/log.h"

namespace kdk {
namespace {

constexpr size_t max_waiters = 1 << 16;    // of one lock
constexpr uint64_t max_stack = 256 << 10;  // bytes of one stack looked at
constexpr size_t max_problems = 32;
constexpr size_t max_frames = 64;

// Where one kind of lock has what is needed.
struct KindLayout {
  LockKind kind;
  uint64_t list = 0, task = 0;  // of the waiter
  // Of the lock: the head of its list. Linux commits 25500ba7e77c ("locking/mutex: Remove the list_head from
  // struct mutex"), b9bdd4b68404 (the same of struct semaphore) and that of struct rw_semaphore (in v7.1)
  // made it a pointer to the first waiter: then the ring has no head.
  std::optional<uint64_t> head, first_waiter;
  std::optional<uint64_t> owner, count;
  std::optional<Layout::Field> type;  // rwsem_waiter.type: 0 to write, 1 to read
};

struct Candidate {
  const KindLayout* layout = nullptr;
  uint64_t waiter = 0;
};

// Functions between a caller and the scheduler: what starts with one of these is not where a task waits.
bool is_lock_function(std::string_view name) {
  static constexpr std::array<std::string_view, 9> starts = {
      "__mutex_lock", "mutex_lock", "_mutex_lock", "__ww_mutex_lock", "ww_mutex_lock",
      "rwsem_down_",  "down_",      "__down",      "schedule"};
  if (name == "__schedule" || name == "__switch_to" || name == "down") return true;
  return std::any_of(starts.begin(), starts.end(),
                     [&](std::string_view start) { return name.starts_with(start); });
}

std::optional<LockKind> kind_of(std::string_view name) {
  for (std::string_view start :
       {"__mutex_lock", "mutex_lock", "__ww_mutex_lock", "ww_mutex_lock", "_mutex_lock"}) {
    if (name.starts_with(start)) return LockKind::mutex;
  }
  for (std::string_view start : {"rwsem_down_", "down_read", "down_write", "__down_read", "__down_write"}) {
    if (name.starts_with(start)) return LockKind::rwsem;
  }
  if (name == "down" || name.starts_with("__down") || name.starts_with("down_")) return LockKind::semaphore;
  return std::nullopt;
}

class Reader {
 public:
  Reader(Kernel& kernel, const ProcessTable& table, const UnwindAids& aids, LockTable& out)
      : kernel_(kernel), memory_(kernel.memory()), table_(table), aids_(aids), out_(out) {
    for (size_t i = 0; i < table.list.tasks.size(); ++i) by_address_[table.list.tasks[i].address] = i;
  }

  void run() {
    find_layouts();
    if (kinds_.empty()) {
      out_.why_not = "no layouts for struct mutex and mutex_waiter, rw_semaphore and rwsem_waiter";
      return;
    }
    for (size_t i = 0; i < table_.list.tasks.size(); ++i) {
      const Task& task = table_.list.tasks[i];
      const bool waits =
          !task.on_cpu.value_or(false) && std::string_view("RXZI").find(task.state) == std::string_view::npos;
      if (waits) examine(i);
    }
    std::stable_sort(out_.locks.begin(), out_.locks.end(),
                     [](const Lock& a, const Lock& b) { return a.waiters.size() > b.waiters.size(); });
    find_chains(out_);
  }

 private:
  void find_layouts();
  void add_kind(LockKind kind, std::string_view lock, std::string_view waiter);
  void examine(size_t index);
  std::optional<uint64_t> lock_of(const Candidate& candidate, const std::vector<ul64>& stack,
                                  const Registers& registers, std::vector<uint64_t>& queue);
  std::optional<size_t> waiting_task(uint64_t node, const KindLayout& layout);
  void read_lock(Lock& lock, const KindLayout& layout);
  LockWaiter waiter_at(size_t task, uint64_t waiter, const KindLayout& layout);
  StackRange stack_of(size_t task);
  void problem(std::string text) {
    if (out_.problems.size() < max_problems) out_.problems.push_back(std::move(text));
  }

  Kernel& kernel_;
  KernelMemory& memory_;
  const ProcessTable& table_;
  const UnwindAids& aids_;
  LockTable& out_;
  std::vector<KindLayout> kinds_;
  std::map<uint64_t, size_t> by_address_;
  std::map<size_t, StackRange> stacks_;
  std::map<uint64_t, size_t> locks_;  // by address
  std::set<size_t> placed_;           // tasks that are known to wait
};

void Reader::add_kind(LockKind kind, std::string_view lock, std::string_view waiter) {
  const Layout& layout = kernel_.layout();
  KindLayout found;
  found.kind = kind;
  const auto list = layout.offset(waiter, "list"), task = layout.offset(waiter, "task");
  found.head = layout.offset(lock, "wait_list");
  found.first_waiter = layout.offset(lock, "first_waiter");
  if (!list || !task || (!found.head && !found.first_waiter)) return;
  found.list = *list;
  found.task = *task;
  // Linux commit 3ca0ff571b09 ("locking/mutex: Rework mutex::owner") (in v4.10); Linux commit 94a9717b3c40
  // ("locking/rwsem: Make rwsem->owner an atomic_long_t") (in v5.3). A semaphore has one (last_holder) only
  // with CONFIG_DETECT_HUNG_TASK_BLOCKER.
  if (kind == LockKind::semaphore) {
    found.owner = layout.offset(lock, "last_holder");
  } else {
    found.owner = layout.offset(lock, "owner");
  }
  found.count = layout.offset(lock, "count");
  if (kind == LockKind::rwsem) found.type = layout.field(waiter, "type");
  kinds_.push_back(found);
}

void Reader::find_layouts() {
  add_kind(LockKind::mutex, "mutex", "mutex_waiter");
  add_kind(LockKind::rwsem, "rw_semaphore", "rwsem_waiter");
  add_kind(LockKind::semaphore, "semaphore", "semaphore_waiter");
}

StackRange Reader::stack_of(size_t task) {
  auto [found, fresh] = stacks_.try_emplace(task);
  if (fresh) {
    const StackSet stacks = task_stack(kernel_, VirtAddr{table_.list.tasks[task].address});
    if (!stacks.ranges.empty()) found->second = stacks.ranges.front();
  }
  return found->second;
}

// The task whose waiter a member of a list is: it says so itself, and lies on that task's stack.
std::optional<size_t> Reader::waiting_task(uint64_t node, const KindLayout& layout) {
  const auto task = memory_.u64(VirtAddr{node - layout.list + layout.task});
  const auto found = task ? by_address_.find(*task) : by_address_.end();
  if (found == by_address_.end()) return std::nullopt;
  const StackRange stack = stack_of(found->second);
  if (node < stack.low || node >= stack.high) return std::nullopt;
  return found->second;
}

// Follows the ring from a waiter to the lock; `queue` gets the waiters in the lock's order. nullopt: no ring.
std::optional<uint64_t> Reader::lock_of(const Candidate& candidate, const std::vector<ul64>& stack,
                                        const Registers& registers, std::vector<uint64_t>& queue) {
  const KindLayout& layout = *candidate.layout;
  const uint64_t start = candidate.waiter + layout.list;
  std::vector<uint64_t> ring;
  std::optional<size_t> head;  // place in the ring
  uint64_t node = start;
  std::set<uint64_t> seen;
  do {
    if (!seen.insert(node).second || ring.size() >= max_waiters) return std::nullopt;
    const auto next = memory_.u64(VirtAddr{node}), prev = memory_.u64(VirtAddr{node + 8});
    if (!next || !prev || memory_.u64(VirtAddr{*next + 8}) != node || memory_.u64(VirtAddr{*prev}) != node)
      return std::nullopt;
    if (!waiting_task(node, layout)) {
      if (head) return std::nullopt;  // two members are no waiters: another list
      head = ring.size();
    }
    ring.push_back(node);
    node = *next;
  } while (node != start);

  auto rotate_to = [&](size_t first) {
    std::rotate(ring.begin(), ring.begin() + static_cast<std::ptrdiff_t>(first), ring.end());
  };
  if (layout.head) {
    if (!head) return std::nullopt;
    rotate_to(*head);
    for (size_t i = 1; i < ring.size(); ++i) queue.push_back(ring[i] - layout.list);
    return ring.front() - *layout.head;
  }
  if (head) return std::nullopt;
  // No head: the lock is one of the values that the waiting function kept, on its stack or in a register; it
  // points at the first of these waiters.
  auto first_of = [&](uint64_t lock) -> std::optional<size_t> {
    if (lock == 0 || lock % 8 != 0) return std::nullopt;
    const auto first = memory_.u64(VirtAddr{lock + *layout.first_waiter});
    if (!first) return std::nullopt;
    const auto found = std::find(ring.begin(), ring.end(), *first + layout.list);
    return found == ring.end() ? std::nullopt : std::optional(static_cast<size_t>(found - ring.begin()));
  };
  std::vector<uint64_t> values;
  for (size_t i = 0; i < Registers::max_count; ++i) {
    if (auto value = registers.get(i)) values.push_back(*value);
  }
  values.insert(values.end(), stack.begin(), stack.end());
  for (uint64_t value : values) {
    const auto first = first_of(value);
    if (!first) continue;
    rotate_to(*first);
    for (uint64_t member : ring) queue.push_back(member - layout.list);
    return value;
  }
  return std::nullopt;
}

LockWaiter Reader::waiter_at(size_t task, uint64_t waiter, const KindLayout& layout) {
  LockWaiter out;
  out.task = task;
  out.address = waiter;
  if (layout.type) {
    // enum rwsem_waiter_type
    if (auto type = memory_.u32(VirtAddr{waiter + layout.type->offset}); type && *type <= 1)
      out.write = *type == 0;
  }
  return out;
}

void Reader::read_lock(Lock& lock, const KindLayout& layout) {
  const VirtAddr at{lock.address};
  // Flags are in the low bits of an owner: three of a mutex (MUTEX_FLAGS), up to three of an rwsem, of which
  // bit 0 says that readers have it (RWSEM_READER_OWNED).
  const auto owner = layout.owner ? memory_.u64(at + *layout.owner) : std::nullopt;
  if (owner) {
    lock.owner_address = *owner & ~uint64_t{7};
    lock.by_readers = lock.kind == LockKind::rwsem && (*owner & 1) != 0;
  }
  // An rwsem keeps the name of a reader that has let go: its count tells whether anybody has it. Linux commit
  // 64489e78004c ("locking/rwsem: Implement a new locking scheme") (in v5.3): bit 0 a writer, from bit 8
  // the readers.
  if (lock.kind == LockKind::rwsem && layout.count) {
    const auto count = memory_.u64(at + *layout.count);
    const bool held = !count || (*count & 1) != 0 || (*count >> 8 & 0x7fffffffffff) != 0;
    if (!held) {
      lock.owner_address = 0;
      lock.by_readers = false;
    }
  }
  if (auto found = by_address_.find(lock.owner_address); found != by_address_.end())
    lock.owner = found->second;
  if (auto hit = kernel_.symbols().lookup(lock.address)) {
    lock.name = escape_untrusted(hit->symbol.name);
    if (hit->offset != 0) lock.name += fmt::format("+{:#x}", hit->offset);
    if (!hit->symbol.module.empty()) lock.name += fmt::format(" [{}]", escape_untrusted(hit->symbol.module));
  }
}

void Reader::examine(size_t index) {
  const Task& task = table_.list.tasks[index];
  const VirtAddr at{task.address};
  const auto registers = sleeping_task_registers(kernel_, at);
  const StackRange range = stack_of(index);
  const auto sp = registers ? registers->get(memory_.arch().roles().sp) : std::nullopt;
  if (!sp || *sp < range.low || *sp >= range.high) return;
  const uint64_t low = align_down(*sp, uint64_t{8});
  std::vector<ul64> words(std::min(range.high - low, max_stack) / 8);
  const auto bytes = std::as_writable_bytes(std::span(words));
  const ReadResult read =
      memory_.read(VirtAddr{low}, {reinterpret_cast<uint8_t*>(bytes.data()), bytes.size()});
  words.resize(read.bytes / 8);

  std::vector<Candidate> candidates;
  for (size_t i = 0; i < words.size(); ++i) {
    if (words[i] != task.address) continue;
    for (const KindLayout& kind : kinds_) {
      const uint64_t waiter = low + i * 8 - kind.task;
      if (waiter >= low && waiter < range.high) candidates.push_back({&kind, waiter});
    }
  }
  // What is left of an older wait is in no ring any more; of a wait, one kind's list leads to a lock, but the
  // kinds look alike: the functions on the stack tell which it is.
  std::optional<LockKind> kind;
  std::string function;
  bool looked = false;
  for (const Candidate& candidate : candidates) {
    std::vector<uint64_t> queue;
    const auto address = lock_of(candidate, words, *registers, queue);
    if (!address) continue;
    if (!looked) {
      looked = true;
      Backtrace trace =
          unwind_from_registers(kernel_, *registers, task_stack(kernel_, at), aids_, max_frames);
      symbolise(kernel_, trace);
      for (const Frame& frame : trace.frames) {
        if (!kind) kind = kind_of(frame.symbol);
        if (kind && function.empty() && !is_lock_function(frame.symbol)) function = frame.symbol;
      }
    }
    if (!kind) {
      problem(fmt::format("task {} waits in a list, but its stack does not tell for which kind of lock",
                          task.pid.value_or(-1)));
      return;
    }
    if (candidate.layout->kind != *kind) continue;
    auto [known, fresh] = locks_.try_emplace(*address, out_.locks.size());
    if (fresh) {
      Lock lock;
      lock.address = *address;
      lock.kind = *kind;
      read_lock(lock, *candidate.layout);
      for (uint64_t waiter : queue) {
        const auto waiting = waiting_task(waiter + candidate.layout->list, *candidate.layout);
        if (waiting && placed_.insert(*waiting).second)
          lock.waiters.push_back(waiter_at(*waiting, waiter, *candidate.layout));
      }
      out_.locks.push_back(std::move(lock));
    }
    for (LockWaiter& waiter : out_.locks[known->second].waiters) {
      if (waiter.task == index) waiter.function = function;
    }
    return;
  }
}

}  // namespace

std::string_view to_string(LockKind kind) {
  switch (kind) {
    case LockKind::mutex:
      return "mutex";
    case LockKind::rwsem:
      return "rwsem";
    case LockKind::semaphore:
      return "semaphore";
  }
  return "mutex";
}

LockTable read_locks(Kernel& kernel, const ProcessTable& table, const UnwindAids& aids) {
  LockTable out;
  try {
    Reader(kernel, table, aids, out).run();
  } catch (const Error& error) {
    out.why_not = error.message();
  }
  return out;
}

}  // namespace kdk
