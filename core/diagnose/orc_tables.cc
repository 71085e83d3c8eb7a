#include "core/diagnose/orc_tables.h"

#include <algorithm>
#include <array>

namespace kdk {
namespace {

constexpr size_t max_ftrace_ops = 1024;

OrcTable::Read reader(KernelMemory& memory) {
  return [&memory](uint64_t address, MutableBytes out) {
    return static_cast<bool>(memory.read(VirtAddr{address}, out));
  };
}

}  // namespace

// include/asm-generic/vmlinux.lds.h (ORC_UNWIND_TABLE) puts the symbols around the tables.
void OrcTables::open_image() {
  opened_ = true;
  const std::optional<VirtAddr> ips = kernel_.symbol("__start_orc_unwind_ip"),
                                ips_end = kernel_.symbol("__stop_orc_unwind_ip"),
                                rows = kernel_.symbol("__start_orc_unwind"),
                                rows_end = kernel_.symbol("__stop_orc_unwind");
  if (!ips || !ips_end || !rows || !rows_end) {
    why_not_ = "no symbols of ORC tables: the kernel has none, or kallsyms does not name data";
    return;
  }
  const uint64_t bytes = ips_end->value - ips->value;
  OrcTable::Location location{ips->value, rows->value, bytes / sizeof(il32)};
  if (ips_end->value <= ips->value || bytes % sizeof(il32) != 0 ||
      rows_end->value - rows->value != location.count * orc_row_size) {
    why_not_ = "the ORC tables' sizes do not fit together";
    return;
  }
  const std::optional<VirtAddr> header = kernel_.symbol("__start_orc_header");
  std::array<uint8_t, orc_header_size> hash;
  if (!header) {
    std::array<uint8_t, orc_row_size> row;
    format_ = orc_format_of_rows(location, reader(kernel_.memory()));
    if (!format_) {
      why_not_ = kernel_.memory().read(*rows, row) ? "the rows of the ORC table fit no known format"
                                                   : "the ORC table is not in the dump";
    }
  } else if (kernel_.memory().read(*header, hash)) {
    format_ = orc_format_of_header(hash);
    if (!format_) why_not_ = "the hash in .orc_header is of no known ORC format";
  } else {
    why_not_ = "the ORC table's header cannot be read";
  }
  if (format_) image_ = std::make_unique<OrcTable>(location, *format_, reader(kernel_.memory()));
}

// Modules are built with their kernel, so their rows have its format.
const OrcTable* OrcTables::module_table(const Module& module) {
  auto [entry, is_new] = modules_.try_emplace(module.address);
  std::optional<OrcFormat> format = format_;
  if (!format && vmlinux_ != nullptr) format = vmlinux_->format();
  if (!is_new || !format) return entry->second.get();
  const Layout& layout = kernel_.layout();
  KernelMemory& memory = kernel_.memory();
  const auto count_at = layout.offset("module", "arch.num_orcs"),
             ips_at = layout.offset("module", "arch.orc_unwind_ip"),
             rows_at = layout.offset("module", "arch.orc_unwind");
  if (!count_at || !ips_at || !rows_at) return nullptr;
  const VirtAddr address{module.address};
  const std::optional<uint32_t> count = memory.u32(address + *count_at);
  const std::optional<uint64_t> ips = memory.u64(address + *ips_at), rows = memory.u64(address + *rows_at);
  if (!count || !ips || !rows || *count == 0) return nullptr;
  // The tables lie in the module's own memory: a count that leads out of it is not one.
  auto inside = [&](uint64_t begin, uint64_t size) {
    return std::any_of(module.ranges.begin(), module.ranges.end(), [&](const Module::Range& range) {
      return begin >= range.base && in_bounds(range.size, begin - range.base, size);
    });
  };
  if (!inside(*ips, uint64_t{*count} * sizeof(il32)) || !inside(*rows, uint64_t{*count} * orc_row_size)) {
    return nullptr;
  }
  entry->second =
      std::make_unique<OrcTable>(OrcTable::Location{*ips, *rows, *count}, *format, reader(memory));
  return entry->second.get();
}

// A dynamic ftrace trampoline is a copy of ftrace_caller or ftrace_regs_caller: the address in the original
// that `pc` was copied from. Source: orc_ftrace_find().
std::optional<uint64_t> OrcTables::ftrace_source(uint64_t pc) {
  const Layout& layout = kernel_.layout();
  KernelMemory& memory = kernel_.memory();
  const auto start_at = layout.offset("ftrace_ops", "trampoline"),
             size_at = layout.offset("ftrace_ops", "trampoline_size"),
             flags_at = layout.offset("ftrace_ops", "flags"), next_at = layout.offset("ftrace_ops", "next");
  const std::optional<VirtAddr> list = kernel_.symbol("ftrace_ops_list");
  if (!start_at || !size_at || !flags_at || !next_at || !list) return std::nullopt;
  std::optional<uint64_t> ops = memory.u64(*list);
  for (size_t i = 0; ops && *ops != 0 && i < max_ftrace_ops; ++i) {
    const VirtAddr at{*ops};
    const std::optional<uint64_t> start = memory.u64(at + *start_at), size = memory.u64(at + *size_at),
                                  flags = memory.u64(at + *flags_at);
    if (!start || !size || !flags) return std::nullopt;
    if (*start != 0 && pc >= *start && pc - *start < *size) {
      const auto save_regs =
          static_cast<uint64_t>(layout.enumerator("FTRACE_OPS_FL_SAVE_REGS").value_or(1 << 2));
      const std::optional<VirtAddr> original =
          kernel_.symbol((*flags & save_regs) != 0 ? "ftrace_regs_caller" : "ftrace_caller");
      if (!original) return std::nullopt;
      // Named as the kernel's own traces name it (kernel/trace/ftrace.c, FTRACE_TRAMPOLINE_SYM).
      constexpr std::string_view owner = "__builtin__ftrace";
      kernel_.symbols().add(*start, *size, 't', "ftrace_trampoline", owner);
      kernel_.symbols().add_range(*start, *start + *size, owner);
      kernel_.symbols().finish();
      return original->value + (pc - *start);
    }
    ops = memory.u64(at + *next_at);
  }
  return std::nullopt;
}

std::optional<OrcRule> OrcTables::find(uint64_t pc) {
  if (!opened_) open_image();
  if (const Module* module = code_.module_at(pc)) {
    const OrcTable* table = module_table(*module);
    return table != nullptr ? table->find(pc) : std::nullopt;
  }
  if (!code_.in_image(pc)) {
    const std::optional<uint64_t> source = ftrace_source(pc);
    if (!source || !code_.in_image(*source)) return std::nullopt;
    pc = *source;
  }
  std::optional<OrcRule> rule = image_ ? image_->find(pc) : std::nullopt;
  if (!rule && vmlinux_ != nullptr) rule = vmlinux_->find(pc);
  return rule;
}

}  // namespace kdk
