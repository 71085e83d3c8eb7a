#include "analyze/inspect/spinlocks.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "analyze/inspect/disassembly.h"
#include "core/base/log.h"

namespace kdk {
namespace {

constexpr uint64_t max_stack = 64 << 10;  // bytes of one stack looked at
constexpr size_t argument_words = 64;     // of the stack of a function that spins
constexpr size_t max_functions = 24;      // of one CPU whose code is looked at
constexpr uint64_t max_object = 1 << 16;  // in a larger one an address says little

// The first word of a qspinlock: whether it is taken, whether one CPU waits beside it, and which CPU is last
// in the queue. Source: include/asm-generic/qspinlock_types.h; Linux commits a33fda35e3a7
// ("locking/qspinlock: Introduce a simple generic 4-byte queued spinlock"), c1fb159db9f2 ("locking/qspinlock:
// Add pending bit") (in v4.2).
constexpr uint32_t locked_mask = 0xff, pending = 0x100;
constexpr unsigned tail_cpu_shift = 18;  // up to 16,383 CPUs; the number is one more than the CPU's
// Of a qrwlock: a writer has it, one waits, and the readers. Source: include/asm-generic/qrwlock.h; Linux
// commit d13316614633
// ("locking/qrwlock: Prevent slowpath writers getting held up by fastpath") (in v4.15).
constexpr uint32_t writer_locked = 0xff, writer_waits = 0x100;
constexpr unsigned reader_shift = 9;

// Functions that a CPU spins in.
bool spins(std::string_view symbol, bool& reader_writer) {
  reader_writer = symbol == "queued_read_lock_slowpath" || symbol == "queued_write_lock_slowpath";
  return reader_writer || symbol.ends_with("queued_spin_lock_slowpath");
}

// Between one of these and who wants the lock.
bool takes_locks(std::string_view symbol) {
  static constexpr std::array<std::string_view, 8> starts = {
      "_raw_", "__raw_", "do_raw_", "queued_", "native_queued_", "__pv_queued_", "spin_lock", "lock_"};
  return std::ranges::any_of(starts, [&](std::string_view start) { return symbol.starts_with(start); });
}

struct Spinning {
  size_t cpu = 0, frame = 0;  // of its trace, the function that spins
  bool reader_writer = false;
  const Registers* registers = nullptr;
};

class Reader {
 public:
  Reader(Kernel& kernel, const Crash& crash, OwnerFinder& owners, SpinLocks& out)
      : kernel_(kernel), memory_(kernel.memory()), crash_(crash), owners_(owners), out_(out) {}

  void run() {
    for (size_t i = 0; i < crash_.cpus.size(); ++i) {
      if (const auto spinning = spinning_at(i)) add_waiter(*spinning);
    }
    for (SpinLock& lock : out_.locks) find_holders(lock);
    std::ranges::stable_sort(out_.locks, std::greater(),
                             [](const SpinLock& lock) { return lock.waiters.size(); });
    find_cycles();
  }

 private:
  std::optional<Spinning> spinning_at(size_t cpu) const;
  std::vector<ul64> stack_words(const CpuState& cpu, uint64_t from, size_t limit);
  // How well a word fits the state of the lock that this CPU waits for; 0: not at all.
  int fits(uint32_t value, const Spinning& spinning) const;
  void add_waiter(const Spinning& spinning);
  void find_holders(SpinLock& lock);
  bool has_address(const CpuState& cpu, uint64_t low, uint64_t high);
  bool code_names(const CpuState& cpu, uint64_t address);
  void find_cycles();
  SpinCpu named(size_t index) const {
    const CpuState& cpu = crash_.cpus[index];
    return {index, cpu.cpu, cpu.comm, cpu.pid, {}};
  }
  bool waits_for(size_t cpu, const SpinLock& lock) const {
    return std::ranges::any_of(lock.waiters, [&](const SpinCpu& waiter) { return waiter.index == cpu; });
  }

  Kernel& kernel_;
  KernelMemory& memory_;
  const Crash& crash_;
  OwnerFinder& owners_;
  SpinLocks& out_;
};

// The innermost code that is not about the crash itself: below the last exception or interrupt, or the CPU's
// registers when the crash stopped it there.
std::optional<Spinning> Reader::spinning_at(size_t index) const {
  const CpuState& cpu = crash_.cpus[index];
  for (size_t i = 0; i < cpu.backtrace.frames.size(); ++i) {
    const Frame& frame = cpu.backtrace.frames[i];
    bool reader_writer = false;
    if (!spins(frame.symbol, reader_writer)) continue;
    const Registers* registers = frame.registers ? &*frame.registers : nullptr;
    if (registers == nullptr && i == 0 && cpu.registers) registers = &*cpu.registers;
    if (registers == nullptr) return std::nullopt;
    return Spinning{index, i, reader_writer, registers};
  }
  return std::nullopt;
}

int Reader::fits(uint32_t value, const Spinning& spinning) const {
  if (spinning.reader_writer) {
    if ((value & locked_mask) == writer_locked) return 3;
    if ((value & writer_waits) != 0 && value >> reader_shift < 1 << 16) return 2;
    return 0;
  }
  // Taken by a hypervisor's rules (virt_spin_lock()) there is no queue: 1 is all there is.
  if ((value & locked_mask) != 1 || (value & 0xfe00) != 0) return 0;
  const auto cpu = crash_.cpus[spinning.cpu].cpu;
  const uint32_t tail = value >> tail_cpu_shift;
  if (cpu && tail == *cpu + 1) return 3;
  if (tail == 0) return (value & pending) != 0 ? 2 : 1;
  unsigned last = 0;
  for (const CpuState& any : crash_.cpus) last = std::max(last, any.cpu.value_or(0));
  return tail <= last + 1 ? 2 : 0;
}

// The stack that an address is on, from there up.
std::vector<ul64> Reader::stack_words(const CpuState& cpu, uint64_t from, size_t limit) {
  StackSet stacks;
  if (cpu.cpu) stacks = cpu_stacks(kernel_, *cpu.cpu);
  if (cpu.task) {
    for (StackRange& range : task_stack(kernel_, VirtAddr{*cpu.task}).ranges)
      stacks.ranges.push_back(std::move(range));
  }
  for (const StackRange& range : stacks.ranges) {
    if (from < range.low || from >= range.high) continue;
    std::vector<ul64> words(std::min<uint64_t>({(range.high - from) / 8, max_stack / 8, limit}));
    const auto bytes = std::as_writable_bytes(std::span(words));
    const ReadResult read =
        memory_.read(VirtAddr{from}, {reinterpret_cast<uint8_t*>(bytes.data()), bytes.size()});
    words.resize(read.bytes / 8);
    return words;
  }
  return {};
}

void Reader::add_waiter(const Spinning& spinning) {
  const CpuState& cpu = crash_.cpus[spinning.cpu];
  // The lock is the function's first argument, which compilers keep in a register while it spins, most often
  // the same one; else it lies on the stack.
  std::vector<uint64_t> values;
  for (size_t i = 0; i < Registers::max_count; ++i) {
    if (const auto value = spinning.registers->get(i)) values.push_back(*value);
  }
  const size_t in_registers = values.size();
  if (const auto sp = spinning.registers->get(memory_.arch().roles().sp)) {
    const std::vector<ul64> words = stack_words(cpu, align_down(*sp, uint64_t{8}), argument_words);
    values.insert(values.end(), words.begin(), words.end());
  }
  uint64_t address = 0;
  uint32_t state = 0;
  int best = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    if (values[i] % 4 != 0 || values[i] < memory_.translator().layout().kernel_start) continue;
    const auto value = memory_.u32(VirtAddr{values[i]});
    const int rank = value ? fits(*value, spinning) : 0;
    // What any word may be counts only in a register.
    if (rank <= best || (rank == 1 && i >= in_registers)) continue;
    best = rank;
    address = values[i];
    state = *value;
  }
  if (best == 0) {
    out_.problems.push_back(
        fmt::format("CPU {} spins in {}, on a lock that neither its registers nor its stack tell",
                    cpu.cpu ? fmt::format("{}", *cpu.cpu) : "?",
                    escape_untrusted(cpu.backtrace.frames[spinning.frame].symbol)));
    return;
  }
  auto known = std::ranges::find(out_.locks, address, &SpinLock::address);
  if (known == out_.locks.end()) {
    SpinLock lock;
    lock.address = address;
    lock.reader_writer = spinning.reader_writer;
    lock.value = state;
    lock.name = owners_.annotate(address);
    known = out_.locks.insert(known, std::move(lock));
  }
  SpinCpu waiter = named(spinning.cpu);
  for (size_t i = spinning.frame + 1; i < cpu.backtrace.frames.size() && waiter.function.empty(); ++i) {
    const Frame& frame = cpu.backtrace.frames[i];
    if (!takes_locks(frame.symbol)) waiter.function = escape_untrusted(frame.symbol);
  }
  known->waiters.push_back(std::move(waiter));
}

// Whether a pointer into [low, high) is in a register of this CPU, at the crash or at an exception, or on its
// stacks.
bool Reader::has_address(const CpuState& cpu, uint64_t low, uint64_t high) {
  const auto points = [&](uint64_t value) { return value >= low && value < high; };
  const auto in_registers = [&](const Registers& registers) {
    for (size_t i = 0; i < Registers::max_count; ++i) {
      if (const auto value = registers.get(i); value && points(*value)) return true;
    }
    return false;
  };
  if (cpu.registers && in_registers(*cpu.registers)) return true;
  std::optional<uint64_t> at;  // of the stack that was looked at last: where that began
  uint64_t end = 0;
  const auto look = [&](uint64_t from) {
    if (at && from >= *at && from < end) return false;
    const std::vector<ul64> words = stack_words(cpu, align_down(from, uint64_t{8}), max_stack);
    at = align_down(from, uint64_t{8});
    end = *at + words.size() * 8;
    return std::ranges::any_of(words, points);
  };
  if (cpu.registers) {
    if (const auto sp = cpu.registers->get(memory_.arch().roles().sp); sp && look(*sp)) return true;
  }
  for (const Frame& frame : cpu.backtrace.frames) {
    if (frame.registers && in_registers(*frame.registers)) return true;
    if (frame.at && look(*frame.at)) return true;
  }
  return false;
}

bool Reader::code_names(const CpuState& cpu, uint64_t address) {
  size_t looked = 0;
  for (const Frame& frame : cpu.backtrace.frames) {
    if (frame.symbol.empty() || frame.symbol_size == 0 || takes_locks(frame.symbol)) continue;
    if (++looked > max_functions) return false;
    try {
      DisassemblyRequest request;
      request.address = frame.pc;
      request.up_to = true;
      for (const Instruction& instruction : disassemble(kernel_, std::move(request), {}).instructions) {
        if (instruction.target == address || instruction.constant == address) return true;
      }
    } catch (const Error&) {
      // one function whose code is not there
    }
  }
  return false;
}

void Reader::find_holders(SpinLock& lock) {
  const Owner owner = owners_.find(VirtAddr{lock.address});
  const bool in_object = owner.kind == Owner::Kind::slab && owner.size > 4 && owner.size <= max_object;
  bool all_seen = true;  // every other CPU left registers and a stack
  const auto collect = [&](HolderEvidence evidence, auto&& has) {
    if (!lock.holders.empty()) return;
    for (size_t i = 0; i < crash_.cpus.size(); ++i) {
      const CpuState& cpu = crash_.cpus[i];
      if (waits_for(i, lock)) continue;
      all_seen = all_seen && cpu.answered;
      if (cpu.backtrace.frames.empty() || !has(cpu)) continue;
      SpinHolder holder{named(i), evidence};
      for (const Frame& frame : cpu.backtrace.frames) {
        bool ignored = false;
        if (frame.symbol.empty() || takes_locks(frame.symbol) || spins(frame.symbol, ignored)) continue;
        holder.by.function = escape_untrusted(frame.symbol);
        break;
      }
      lock.holders.push_back(std::move(holder));
    }
  };
  collect(HolderEvidence::address,
          [&](const CpuState& cpu) { return has_address(cpu, lock.address, lock.address + 1); });
  if (in_object) {
    collect(HolderEvidence::object,
            [&](const CpuState& cpu) { return has_address(cpu, owner.start, owner.start + owner.size); });
  }
  if (owner.kind == Owner::Kind::symbol)
    collect(HolderEvidence::code, [&](const CpuState& cpu) { return code_names(cpu, lock.address); });
  if (lock.holders.empty() && all_seen && lock.waiters.size() == 1)
    lock.holders.push_back({lock.waiters[0], HolderEvidence::itself});
}

// Each CPU waits for one lock at most: from a lock to that of its first holder that spins.
void Reader::find_cycles() {
  const auto next = [&](size_t lock) -> std::optional<size_t> {
    for (const SpinHolder& holder : out_.locks[lock].holders) {
      if (holder.evidence == HolderEvidence::itself) continue;
      for (size_t i = 0; i < out_.locks.size(); ++i) {
        if (i != lock && waits_for(holder.by.index, out_.locks[i])) return i;
      }
    }
    return std::nullopt;
  };
  std::vector<bool> done(out_.locks.size());
  for (size_t start = 0; start < out_.locks.size(); ++start) {
    std::vector<size_t> path;
    std::optional<size_t> at = start;
    while (at && !done[*at] && std::ranges::find(path, *at) == path.end()) {
      path.push_back(*at);
      at = next(*at);
    }
    if (at && !done[*at]) out_.cycles.emplace_back(std::ranges::find(path, *at), path.end());
    for (const size_t lock : path) done[lock] = true;
  }
}

}  // namespace

std::string_view to_string(HolderEvidence evidence) {
  switch (evidence) {
    case HolderEvidence::address:
      return "address";
    case HolderEvidence::object:
      return "object";
    case HolderEvidence::code:
      return "code";
    case HolderEvidence::itself:
      return "itself";
  }
  return "?";
}

SpinLocks read_spinlocks(Kernel& kernel, const Crash& crash, OwnerFinder& owners) {
  SpinLocks out;
  Reader(kernel, crash, owners, out).run();
  return out;
}

}  // namespace kdk
