// What the CPU refused to do: which exception, the error code it gave, and the address it was about. Facts
// come from the kernel's own report in the log first, then from the exception boundary of the crashing CPU's
// trace, then from what the kernel stored in the task; each says which. Architectures decode into the same
// struct.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/diagnose/frame.h"
#include "core/diagnose/log_trace.h"
#include "core/kernel/kernel.h"
#include "core/kernel/printk.h"

namespace kdk {

// A bit or field of the error code that says something.
struct FaultBit {
  std::string name;     // as the architecture's manual calls it: "W", "WnR", "index"
  std::string meaning;  // "write access", "0x10"
};

struct Fault {
  std::string exception;           // stable name: page_fault, general_protection, data_abort, ...; open-ended
  std::string title;               // for people: "#PF page fault"
  std::optional<unsigned> vector;  // x86-64: trap number; arm64: exception class (ESR EC)
  std::string exception_source;    // "log", "stack" (entry function under the exception boundary), "task"
  std::optional<uint64_t> error_code;  // x86-64: the error code pushed; arm64: ESR_EL1
  std::string error_code_source;       // "log", "task"
  std::vector<FaultBit> bits;          // set bits and fields of it
  std::string access;                  // "read", "write", "execute"; empty: unknown or not a memory access
  std::string reason;                  // "page not present", "level 2 translation fault"; empty: unknown
  std::optional<uint64_t> address;     // CR2, FAR_EL1, or the operand the kernel decoded
  std::string address_source;          // "log", "log (CR2)", "log (decoded from the instruction)", "task"
  std::string address_kind;            // null_pointer, error_pointer, list_poison, slab_poison, user,
                                       // non_canonical, kernel; empty without an address
  std::string address_note;            // "NULL pointer + 0x8"
  // What the kernel's page tables in the dump say of a kernel address.
  struct Tables {
    std::string status;                // mapped, not_mapped, table_unreadable
    std::string level;                 // of the last entry looked at: PTE, PMD, PUD, P4D, PGD
    std::optional<uint64_t> physical;  // when mapped
  };
  std::optional<Tables> tables;
};

// The fault behind a crash; nullopt when no exception led to it (panic() was called, sysrq, a lockup).
// `crash_record` is the deciding log record, `trace` and `task` are the crashing CPU's. Never throws.
std::optional<Fault> find_fault(Kernel& kernel, const KernelLog& log, std::optional<size_t> crash_record,
                                const Backtrace* trace, std::optional<VirtAddr> task);

// "write to 0x0000000000000008 (NULL pointer + 0x8): page not present"; empty when nothing is known.
std::string describe(const Fault& fault);

}  // namespace kdk
