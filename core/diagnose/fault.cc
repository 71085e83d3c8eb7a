#include "core/diagnose/fault.h"

#include <elf.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "core/diagnose/classify.h"
#include "core/diagnose/fault_decoder.h"

namespace kdk {
namespace {

constexpr uint64_t max_errno = 4095;  // include/linux/err.h MAX_ERRNO
// POISON_POINTER_DELTA of 64-bit kernels; LIST_POISON1 and 2 are 0x100 and 0x122 above it
// (include/linux/poison.h).
constexpr uint64_t poison_delta = 0xdead000000000000;

const FaultDecoder* decoder_of(const Arch& arch) {
  switch (arch.elf_machine()) {
    case EM_AARCH64:
      return &arm64_faults();
    case EM_X86_64:
      return &x86_64_faults();
    default:
      return nullptr;
  }
}

bool starts_with(std::string_view line, std::string_view text) {
  size_t begin = line.find_first_not_of(" \t");
  return begin != std::string_view::npos && line.substr(begin).starts_with(text);
}

// The report of one oops: from the record that decided the class to the end of that oops or the panic.
void read_log(const KernelLog& log, size_t begin, const FaultDecoder& decoder, Fault& fault) {
  std::optional<PanicLine> panic = find_panic_line(log);
  for (const LogLine& line : kernel_lines(log)) {
    if (line.record < begin) continue;
    decoder.read_line(line.text, fault);
    if (panic && line.record >= panic->record) break;
    if (!fault.exception.empty() && starts_with(line.text, "---[ end trace")) break;
  }
}

// Functions in which the kernel reports a fatal exception, or leaves it for the crash kernel.
// Source: arch/x86/kernel/dumpstack.c, arch/x86/mm/fault.c, arch/arm64/kernel/traps.c.
bool is_dying(const Frame& frame) {
  static constexpr std::array<std::string_view, 7> names = {
      "die", "__die", "die_addr", "oops_end", "page_fault_oops", "no_context", "handle_stack_overflow"};
  return std::find(names.begin(), names.end(), frame.symbol) != names.end();
}

// The entry function lies inside the exception boundary: the frame before it.
void read_trace(const Backtrace& trace, const FaultDecoder& decoder, Fault& fault) {
  bool fatal = false;
  for (size_t i = 0; i + 1 < trace.frames.size(); ++i) {
    fatal = fatal || is_dying(trace.frames[i]);
    if (trace.frames[i + 1].kind != FrameKind::exception) continue;
    if (decoder.read_entry(trace.frames[i].symbol, fatal, fault)) fault.exception_source = "stack";
    return;
  }
}

bool all_bytes(uint64_t value, uint8_t byte) {
  // The low two bytes may hold a member offset.
  return value >> 16 == (uint64_t{0x0101010101010101} * byte) >> 16;
}

void describe_address(KernelMemory& memory, Fault& fault) {
  uint64_t address = *fault.address;
  const VaLayout& layout = memory.layout();
  auto is = [&](std::string_view kind, std::string note = {}) {
    fault.address_kind = kind;
    fault.address_note = std::move(note);
  };
  if (address < memory.page_size()) {
    return is("null_pointer", address == 0 ? "NULL pointer" : fmt::format("NULL pointer + {:#x}", address));
  }
  if (-address <= max_errno) {
    return is("error_pointer", fmt::format("error pointer -{}, or NULL pointer - {:#x}", -address, -address));
  }
  if (address >> 16 == poison_delta >> 16) {
    return is("list_poison", "list poison: the entry had been removed from its list");
  }
  if (all_bytes(address, 0x6b)) return is("slab_poison", "slab poison 0x6b: the object had been freed");
  if (all_bytes(address, 0x5a)) return is("slab_poison", "slab poison 0x5a: the object was not initialised");
  uint64_t canonical = memory.arch().strip(address, layout).value;
  if (failed_authentication(memory, fault)) {
    return is("non_canonical",
              fmt::format("a code pointer whose authentication failed: it was {:#018x}", canonical));
  }
  // The user half is as large as the kernel's.
  if (address < -layout.kernel_start) return is("user", "user address");
  if (canonical < layout.kernel_start) return is("non_canonical", "neither a user nor a kernel address");
  is("kernel");
}

// Names of the levels as Linux has them, from the bytes one entry covers.
std::string level_name(uint64_t entry_size, const VaLayout& layout, bool root) {
  if (root) return "PGD";
  unsigned level = 0;
  for (uint64_t size = uint64_t{1} << layout.page_shift; size < entry_size; size <<= layout.page_shift - 3) {
    ++level;
  }
  static constexpr std::array<std::string_view, 5> names = {"PTE", "PMD", "PUD", "P4D", "PGD"};
  return std::string(names[std::min<size_t>(level, names.size() - 1)]);
}

// Where the kernel's own tables lead for the address.
Fault::Tables look_up(KernelMemory& memory, uint64_t address) {
  Translation translation = memory.translate(VirtAddr{address});
  Fault::Tables tables;
  tables.status = translation.status == Translation::Status::mapped     ? "mapped"
                  : translation.status == Translation::Status::unmapped ? "not_mapped"
                                                                        : "table_unreadable";
  if (translation) tables.physical = translation.pa.value;
  const unsigned index_bits = memory.layout().page_shift - 3;
  bool entered = false, at_root = true;
  uint64_t entry_size = 0;  // of the level where the walk ends
  memory.translator().walk_tables([&](const Translator::TableEntry& entry) {
    if (!entered) return entered = true;  // the root itself
    if (entry_size == 0) entry_size = entry.size;
    if (address - entry.va.value >= entry.size) return false;
    if (!entry.table) return false;
    at_root = false;
    entry_size = entry.size >> index_bits;
    return true;
  });
  if (entry_size != 0) tables.level = level_name(entry_size, memory.layout(), at_root);
  return tables;
}

}  // namespace

bool failed_authentication(KernelMemory& memory, const Fault& fault) {
  const VaLayout& layout = memory.layout();
  if (layout.signature_mask == 0 || fault.access != "execute" || !fault.address) return false;
  const VirtAddr meant = memory.arch().strip(*fault.address, layout);
  return meant.value != *fault.address && memory.translate(meant);
}

std::string_view forbidden_access(const Arch& arch, const Fault& fault) {
  const FaultDecoder* decoder = decoder_of(arch);
  if (decoder == nullptr || !decoder->page_forbids(fault)) return {};
  const bool user = fault.address_kind == "user", kernel = fault.address_kind == "kernel";
  if (user) return fault.access == "execute" ? forbidden::user_execution : forbidden::user_access;
  if (kernel && fault.access == "execute") return forbidden::data_execution;
  if (kernel && fault.access == "write") return forbidden::read_only_write;
  return {};
}

std::optional<uint64_t> hex_after(std::string_view line, std::string_view key) {
  size_t at = line.find(key);
  if (at == std::string_view::npos) return std::nullopt;
  std::string_view rest = line.substr(at + key.size());
  rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
  if (rest.starts_with("0x")) rest.remove_prefix(2);
  uint64_t value = 0;
  auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), value, 16);
  if (error != std::errc()) return std::nullopt;
  return value;
}

std::optional<DieHeader> die_header(std::string_view line) {
  size_t count = line.find(" [#");
  if (count == std::string_view::npos || count == 0) return std::nullopt;
  std::string_view head = line.substr(0, count);
  size_t colon = head.rfind(": ");
  if (colon == std::string_view::npos) return std::nullopt;
  std::string_view digits = head.substr(colon + 2);
  DieHeader header{head.substr(0, colon)};
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), header.code, 16);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return header;
}

std::optional<Fault> find_fault(Kernel& kernel, const KernelLog& log, std::optional<size_t> crash_record,
                                const Backtrace* trace, std::optional<VirtAddr> task) {
  KernelMemory& memory = kernel.memory();
  const FaultDecoder* decoder = decoder_of(memory.arch());
  if (decoder == nullptr) return std::nullopt;
  Fault fault;
  if (crash_record) read_log(log, *crash_record, *decoder, fault);
  if (fault.exception.empty() && trace != nullptr) read_trace(*trace, *decoder, fault);
  if (fault.exception.empty()) return std::nullopt;
  if (task && !fault.error_code) decoder->read_task(kernel, *task, fault);
  decoder->decode(fault);
  if (fault.address) describe_address(memory, fault);
  if (fault.address_kind == "kernel") fault.tables = look_up(memory, *fault.address);
  return fault;
}

std::string describe(const Fault& fault) {
  std::string text = fault.access;
  if (fault.address) {
    std::string_view preposition = fault.access == "read"      ? " from "
                                   : fault.access == "write"   ? " to "
                                   : fault.access == "execute" ? " at "
                                                               : "address ";
    text += fmt::format("{}{:#018x}", preposition, *fault.address);
    if (!fault.address_note.empty()) text += fmt::format(" ({})", fault.address_note);
  }
  if (!fault.reason.empty()) text += (text.empty() ? "" : ": ") + fault.reason;
  return text;
}

}  // namespace kdk
