// Exceptions of arm64: everything is in the syndrome register ESR_EL1 (Arm ARM D24.2.40), which the kernel
// prints with each report. Source: arch/arm64/mm/fault.c (mem_abort_decode), kernel/traps.c (die,
// panic_bad_stack,
// __do_kernel_serror), asm/brk-imm.h.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "core/diagnose/fault_decoder.h"

namespace kdk {
namespace {

enum ExceptionClass : unsigned {
  instruction_abort = 0x21,
  data_abort = 0x25,
  brk = 0x3c,
};

struct Class {
  unsigned code;
  std::string_view name, title;
};

constexpr std::array<Class, 12> classes{{
    {0x00, "undefined_instruction", "undefined instruction"},
    {0x0d, "bti", "branch target exception"},
    {0x0e, "illegal_state", "illegal execution state"},
    {0x1c, "fpac", "pointer authentication failure"},
    {instruction_abort, "instruction_abort", "instruction abort"},
    {0x22, "pc_alignment", "misaligned pc"},
    {data_abort, "data_abort", "data abort"},
    {0x26, "sp_alignment", "misaligned sp"},
    {0x27, "mops", "memory copy and set exception"},
    {0x2d, "gcs", "guarded control stack exception"},
    {0x2f, "serror", "SError"},
    {brk, "brk", "BRK instruction"},
}};

// Fault status code of aborts.
std::string fault_status(unsigned code) {
  static constexpr std::array<std::string_view, 4> kinds = {"address size fault", "translation fault",
                                                            "access flag fault", "permission fault"};
  if (code < 0x10) return fmt::format("level {} {}", code & 3, kinds[code >> 2]);
  switch (code) {
    case 0x10:
      return "synchronous external abort";
    case 0x11:
      return "synchronous tag check fault";
    case 0x13:
    case 0x14:
    case 0x15:
    case 0x16:
    case 0x17:
      return fmt::format("external abort on a level {} translation table", static_cast<int>(code) - 0x14);
    case 0x18:
      return "synchronous parity or ECC error";
    case 0x21:
      return "alignment fault";
    case 0x29:
      return "level -1 address size fault";
    case 0x2b:
      return "level -1 translation fault";
    case 0x30:
      return "TLB conflict abort";
    case 0x31:
      return "unsupported atomic hardware update";
    default:
      return {};
  }
}

// asm/brk-imm.h
std::string_view brk_meaning(uint64_t immediate) {
  if (immediate == 0x800) return "BUG() or WARN()";
  if (immediate == 0x900) return "KASAN";
  if ((immediate & ~uint64_t{0xff}) == 0x5500) return "UBSAN";
  if ((immediate & ~uint64_t{0x3ff}) == 0x8000) return "CFI";
  return {};
}

void set_syndrome(uint64_t esr, Fault& fault) {
  if (fault.error_code) return;
  fault.error_code = esr;
  fault.error_code_source = "log";
  unsigned code = static_cast<unsigned>(esr >> 26 & 0x3f);
  auto known =
      std::find_if(classes.begin(), classes.end(), [&](const Class& entry) { return entry.code == code; });
  fault.exception = known != classes.end() ? std::string(known->name) : fmt::format("class_{:02x}", code);
  fault.title =
      known != classes.end() ? std::string(known->title) : fmt::format("exception class {:#x}", code);
  fault.vector = code;
  fault.exception_source = "log";
}

class Arm64Faults : public FaultDecoder {
 public:
  void read_line(std::string_view line, Fault& fault) const override {
    if (!fault.address && line.find("Unable to handle kernel ") != std::string_view::npos) {
      if (auto address = hex_after(line, " at virtual address ")) set_address(*address, fault);
    }
    if (auto esr = hex_after(line, "ESR = ")) set_syndrome(*esr, fault);
    if (auto esr = hex_after(line, "ESR: ")) set_syndrome(*esr, fault);  // panic_bad_stack()
    if (auto far = hex_after(line, "FAR: "); far && !fault.address) set_address(*far, fault);
    if (line.find("SError Interrupt on CPU") != std::string_view::npos) {
      if (auto esr = hex_after(line, ", code ")) set_syndrome(*esr, fault);
    }
    // "Internal error: Oops: 0000000096000004 [#1]"; older kernels print 0 there for BUG().
    if (line.find("Internal error: ") != std::string_view::npos) {
      std::optional<DieHeader> header = die_header(line);
      if (header && header->code != 0) set_syndrome(header->code, fault);
    }
  }

  // el1h_64_sync and its like serve every exception.
  bool read_entry(std::string_view, bool, Fault&) const override { return false; }
  // thread.fault_address and fault_code are user space's (arch/arm64/mm/fault.c, set_thread_esr()).
  void read_task(Kernel&, VirtAddr, Fault&) const override {}

  void decode(Fault& fault) const override {
    if (!fault.error_code || !fault.vector) return;
    uint64_t esr = *fault.error_code;
    auto field = [&](std::string_view name, std::string meaning) {
      fault.bits.push_back({std::string(name), std::move(meaning)});
    };
    if (fault.vector == data_abort || fault.vector == instruction_abort) {
      unsigned status = static_cast<unsigned>(esr & 0x3f);
      fault.reason = fault_status(status);
      fault.access = fault.vector == instruction_abort ? "execute" : esr >> 6 & 1 ? "write" : "read";
      field("FSC", fmt::format("{:#04x}", status));
      if (fault.vector == data_abort && (esr >> 6 & 1) != 0) field("WnR", "write access");
      if (esr >> 7 & 1) field("S1PTW", "while a translation table was walked");
      if (esr >> 9 & 1) field("EA", "external abort");
      if (esr >> 10 & 1) {
        field("FnV", "the fault address register is not valid");
        fault.address.reset();
        fault.address_source.clear();
      }
    } else if (fault.vector == brk) {
      uint64_t immediate = esr & 0xffff;
      field("imm", fmt::format("{:#x}", immediate));
      fault.reason = brk_meaning(immediate);
    }
  }

  bool page_forbids(const Fault& fault) const override {
    const bool abort = fault.vector == data_abort || fault.vector == instruction_abort;
    return abort && fault.error_code && (*fault.error_code & 0x3c) == 0x0c;  // permission fault of any level
  }

 private:
  static void set_address(uint64_t address, Fault& fault) {
    fault.address = address;
    fault.address_source = "log";
  }
};

}  // namespace

const FaultDecoder& arm64_faults() {
  static const Arm64Faults decoder;
  return decoder;
}

}  // namespace kdk
