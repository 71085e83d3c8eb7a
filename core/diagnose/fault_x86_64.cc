// Exceptions of x86-64 and their error codes (Intel SDM volume 3, chapter 6; AMD APM volume 2, chapter 8),
// and how the kernel reports them: arch/x86/mm/fault.c (show_fault_oops), kernel/dumpstack.c (__die_header),
// kernel/traps.c, asm/idtentry.h (entry names).
//
// Entry code overwrites orig_ax of the pt_regs with -1 once it has taken the error code from there, and a
// page fault of the kernel is not stored in the task: the log is the source of both, the stack only of the
// exception itself.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/diagnose/fault_decoder.h"

namespace kdk {
namespace {

enum Vector : unsigned {
  nmi = 2,
  double_fault = 8,
  invalid_tss = 10,
  general_protection = 13,
  page_fault = 14,
  machine_check = 18,
  control_protection = 21,
};

constexpr std::string_view guard_page_hit = "the guard page of a stack was hit";

struct Exception {
  unsigned vector;
  std::string_view name;  // of the entry: asm_exc_<name>
  std::string_view title;
  std::string_view said;  // what die() is given for it; empty: never
  bool has_code = false;  // the CPU pushes an error code
};

constexpr std::array<Exception, 22> exceptions{{
    {0, "divide_error", "#DE divide error", "divide error"},
    {1, "debug", "#DB debug", ""},
    {nmi, "nmi", "NMI", ""},
    {3, "int3", "#BP breakpoint", "int3"},
    {4, "overflow", "#OF overflow", "overflow"},
    {5, "bounds", "#BR bound range exceeded", "bounds"},
    {6, "invalid_op", "#UD invalid opcode", "invalid opcode"},
    {7, "device_not_available", "#NM device not available", "unexpected #NM exception"},
    // The kernel says so in the handler of a double fault or of a page fault that went on to that stack.
    {double_fault, "double_fault", "#DF double fault", "double fault", true},
    {9, "coproc_segment_overrun", "coprocessor segment overrun", "coprocessor segment overrun"},
    {invalid_tss, "invalid_tss", "#TS invalid TSS", "invalid TSS", true},
    {11, "segment_not_present", "#NP segment not present", "segment not present", true},
    {12, "stack_segment", "#SS stack segment fault", "stack segment", true},
    {general_protection, "general_protection", "#GP general protection fault", "general protection fault",
     true},
    {page_fault, "page_fault", "#PF page fault", "Oops", true},
    {16, "coprocessor_error", "#MF x87 floating-point error", "fpu exception"},
    {17, "alignment_check", "#AC alignment check", "alignment check", true},
    {machine_check, "machine_check", "#MC machine check", ""},
    {19, "simd_coprocessor_error", "#XM SIMD floating-point error", "simd exception"},
    {20, "virtualization_exception", "#VE virtualization exception", "VE fault"},
    {control_protection, "control_protection", "#CP control protection", "control protection", true},
    {29, "vmm_communication", "#VC VMM communication", "", true},
}};

void set_exception(const Exception& exception, std::string_view source, Fault& fault) {
  if (!fault.exception.empty()) return;
  fault.exception = exception.name;
  fault.title = exception.title;
  fault.vector = exception.vector;
  fault.exception_source = source;
}

const Exception& by_vector(unsigned vector) {
  return *std::find_if(exceptions.begin(), exceptions.end(),
                       [&](const Exception& e) { return e.vector == vector; });
}

void set_code(uint64_t code, std::string_view source, Fault& fault) {
  if (fault.error_code) return;
  fault.error_code = code;
  fault.error_code_source = source;
}

void set_address(std::optional<uint64_t> address, std::string_view source, Fault& fault) {
  if (fault.address || !address) return;
  fault.address = address;
  fault.address_source = source;
}

// "Oops: 0002 [#1]", "general protection fault, probably for non-canonical address 0x...: 0000 [#1]"; newer
// kernels put "Oops: " before all of them.
void read_header(std::string_view line, Fault& fault) {
  std::optional<DieHeader> header = die_header(line);
  if (!header) return;
  std::string_view name = header->name;
  constexpr std::string_view newer = "Oops: ";
  if (name.starts_with(newer)) name.remove_prefix(newer.size());
  // The kernel ran into the page below a stack. Most often the CPU cannot push the page fault then and makes
  // a double fault of it; where it could, page_fault_oops() is in the trace.
  if (name.starts_with("stack guard page")) {
    set_exception(by_vector(double_fault), "log", fault);
    fault.reason = guard_page_hit;
    return;
  }
  if (name.starts_with("Bad pagetable")) name = "Oops";  // a page fault with a reserved bit set
  for (const Exception& exception : exceptions) {
    if (exception.said.empty() || !name.starts_with(exception.said)) continue;
    if (!fault.exception.empty() && fault.exception != exception.name) return;  // of another oops
    set_exception(exception, "log", fault);
    if (exception.has_code) set_code(header->code, "log", fault);
    break;
  }
  // What it was about is decoded from the instruction and the registers; "maybe" when another operand could
  // be.
  std::string_view decoded = "log (decoded from the instruction)";
  set_address(hex_after(name, "probably for non-canonical address "), decoded, fault);
  set_address(hex_after(name, "maybe for address "), "log (a guess from the instruction)", fault);
}

struct Bit {
  unsigned bit;
  std::string_view name, meaning;
};

constexpr std::array<Bit, 10> page_fault_bits{{
    {0, "P", "the page is present: a protection violation"},
    {1, "W", "write access"},
    {2, "U", "user-mode access"},
    {3, "RSVD", "a reserved bit is set in a page table entry"},
    {4, "I", "instruction fetch"},
    {5, "PK", "protection key"},
    {6, "SS", "shadow stack access"},
    {7, "HLAT", "hypervisor-managed translation"},
    {15, "SGX", "violates SGX access control"},
    {31, "RMP", "violates the reverse map table (SEV-SNP)"},
}};

void decode_page_fault(Fault& fault) {
  if (!fault.error_code) return;
  uint64_t code = *fault.error_code;
  auto set = [&](unsigned bit) { return (code >> bit & 1) != 0; };
  for (const Bit& bit : page_fault_bits) {
    if (set(bit.bit)) fault.bits.push_back({std::string(bit.name), std::string(bit.meaning)});
  }
  fault.access = set(4) ? "execute" : set(1) ? "write" : "read";
  const bool user_page = fault.address && (*fault.address >> 63) == 0;
  fault.reason = !set(0)   ? "page not present"
                 : set(3)  ? "reserved bit set in a page table entry"
                 : set(5)  ? "forbidden by a protection key"
                 : set(6)  ? "shadow stack access refused"
                 : set(15) ? "forbidden by SGX"
                 : set(31) ? "forbidden by the reverse map table"
                 : set(4)  ? user_page ? "user page, not executable for the kernel (SMEP or NX)"
                                       : "page not executable here (NX)"
                 : set(1)  ? user_page ? "user page, not writable for the kernel here (SMAP, or read-only)"
                                       : "page not writable here"
                           : "page not readable here (SMAP)";
}

// #TS, #NP, #SS, #GP: zero, or what they are about.
void decode_selector(Fault& fault) {
  if (!fault.error_code || *fault.error_code == 0) return;
  uint64_t code = *fault.error_code;
  if (code & 1) fault.bits.push_back({"EXT", "while an event from outside the program was delivered"});
  std::string_view table = code & 2 ? "IDT" : code & 4 ? "LDT" : "GDT";
  fault.bits.push_back({"table", std::string(table)});
  fault.bits.push_back({"index", fmt::format("{:#x}", code >> 3 & 0x1fff)});
  fault.reason = code & 2 ? fmt::format("IDT gate {:#x}", code >> 3 & 0x1fff)
                          : fmt::format("segment selector {:#x}", code & 0xfffc);
}

void decode_control_protection(Fault& fault) {
  if (!fault.error_code) return;
  static constexpr std::array<std::string_view, 6> kinds = {"",          "near return", "far return or IRET",
                                                            "ENDBRANCH", "RSTORSSP",    "SETSSBSY"};
  uint64_t kind = *fault.error_code & 0x7fff;
  if (kind == 0 || kind >= kinds.size()) return;
  fault.bits.push_back({"CPEC", std::string(kinds[kind])});
  fault.reason = kind == 3 ? "indirect branch to a place without ENDBRANCH" : std::string(kinds[kind]);
}

class X86Faults : public FaultDecoder {
 public:
  void read_line(std::string_view line, Fault& fault) const override {
    for (std::string_view said :
         {"BUG: kernel NULL pointer dereference, address: ", "BUG: unable to handle page fault for address: ",
          // older kernels
          "BUG: unable to handle kernel NULL pointer dereference at ",
          "BUG: unable to handle kernel paging request at "}) {
      if (line.find(said) == std::string_view::npos) continue;
      set_exception(by_vector(page_fault), "log", fault);
      if (fault.vector == page_fault) set_address(hex_after(line, said), "log", fault);
      return;
    }
    if (line.find("double fault, error_code: ") != std::string_view::npos) {
      set_exception(by_vector(double_fault), "log", fault);
    }
    bool machine_checked = line.find("Machine Check Exception") != std::string_view::npos ||
                           line.find("Fatal machine check") != std::string_view::npos;
    if (machine_checked) set_exception(by_vector(machine_check), "log", fault);
    if (line.find("NMI: Not continuing") != std::string_view::npos ||
        line.find("NMI IOCK error") != std::string_view::npos) {
      set_exception(by_vector(nmi), "log", fault);
    }
    if (fault.vector == page_fault) {
      if (auto code = hex_after(line, "#PF: error_code(")) set_code(*code, "log", fault);
    }
    read_header(line, fault);
    // CR2 keeps its value for ever: it is about this exception only if that is a page fault, or came of one.
    if (fault.vector == page_fault || fault.vector == double_fault) {
      if (line.starts_with("CR2: ")) set_address(hex_after(line, "CR2: "), "log (CR2)", fault);
    }
  }

  bool read_entry(std::string_view symbol, bool fatal, Fault& fault) const override {
    constexpr std::string_view prefix = "asm_exc_";
    // The NMI entry calls its handler behind a label of its own (entry_64.S).
    if (symbol == "end_repeat_nmi" || symbol == "repeat_nmi") symbol = "asm_exc_nmi";
    if (!symbol.starts_with(prefix)) return false;
    symbol.remove_prefix(prefix.size());
    auto found = std::find_if(exceptions.begin(), exceptions.end(),
                              [&](const Exception& e) { return e.name == symbol; });
    if (found == exceptions.end()) return false;
    // A page fault may be a copy from user space that went on to call panic() for another reason.
    bool always = found->vector == nmi || found->vector == double_fault || found->vector == machine_check;
    if (!always && !fatal) return false;
    set_exception(*found, "stack", fault);
    return true;
  }

  void read_task(Kernel& kernel, VirtAddr task, Fault& fault) const override {
    auto value = [&](std::string_view member) -> std::optional<uint64_t> {
      std::optional<uint64_t> offset = kernel.layout().offset("task_struct", member);
      return offset ? kernel.memory().u64(task + *offset) : std::nullopt;
    };
    std::optional<uint64_t> number = value("thread.trap_nr"), code = value("thread.error_code");
    // What it holds of page faults is user space's (arch/x86/mm/fault.c, set_signal_archinfo()).
    if (number && number != double_fault && fault.reason == guard_page_hit) {
      fault.exception.clear();
      set_exception(by_vector(page_fault), "task", fault);
    } else if (number && number == fault.vector && fault.vector != page_fault && code &&
               by_vector(*fault.vector).has_code) {
      set_code(*code, "task", fault);
    }
  }

  void decode(Fault& fault) const override {
    switch (fault.vector.value_or(0)) {
      case page_fault:
        return decode_page_fault(fault);
      case invalid_tss:
      case 11:
      case 12:
      case general_protection:
        return decode_selector(fault);
      case control_protection:
        return decode_control_protection(fault);
      default:
        return;
    }
  }

  // The present bit, without those that name another judge than the rights in the page tables, or user mode.
  bool page_forbids(const Fault& fault) const override {
    constexpr uint64_t present = 1 << 0;
    constexpr uint64_t others = 1 << 2 | 1 << 3 | 1 << 5 | 1 << 6 | 1 << 15 | uint64_t{1} << 31;
    return fault.vector == page_fault && fault.error_code &&
           (*fault.error_code & (present | others)) == present;
  }
};

}  // namespace

const FaultDecoder& x86_64_faults() {
  static const X86Faults decoder;
  return decoder;
}

}  // namespace kdk
