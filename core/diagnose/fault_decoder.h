// How an architecture's kernel reports a fault and what its error code means: one FaultDecoder each.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "core/diagnose/fault.h"

namespace kdk {

class FaultDecoder {
 public:
  virtual ~FaultDecoder() = default;
  // Takes what one line of the kernel's report says. Called in log order; what is known is not overwritten.
  virtual void read_line(std::string_view line, Fault& fault) const = 0;
  // Names the exception whose entry code is `symbol`. `fatal` says that the kernel is dying of an exception
  // above it: an entry that also happens in good health counts only then. False when it is no such entry.
  virtual bool read_entry(std::string_view symbol, bool fatal, Fault& fault) const = 0;
  // Adds what the kernel stored in the task for the exception that is known already.
  virtual void read_task(Kernel& kernel, VirtAddr task, Fault& fault) const = 0;
  // Bits, access and reason from the exception and its error code.
  virtual void decode(Fault& fault) const = 0;
  // Whether the error code says that a page is there, but not for an access of this kind.
  virtual bool page_forbids(const Fault& fault) const = 0;
};
const FaultDecoder& arm64_faults();
const FaultDecoder& x86_64_faults();

// A jump to an address of the kernel's but for the bits of an authentication code. Without FEAT_FPAC a wrong
// code does not fault by itself: the pointer comes out unusable, and is used (Arm ARM, pseudocode of Auth()).
bool failed_authentication(KernelMemory& memory, const Fault& fault);

// What the page tables did not allow the kernel, by the error code and the address, for people; empty when
// the fault is about something else or not enough is known.
std::string_view forbidden_access(const Arch& arch, const Fault& fault);

// The hexadecimal number behind `key` in the line, with or without "0x".
std::optional<uint64_t> hex_after(std::string_view line, std::string_view key);

// "NAME: 0002 [#1] ...": what die() heads its report with.
struct DieHeader {
  std::string_view name;
  uint64_t code = 0;
};
std::optional<DieHeader> die_header(std::string_view line);

}  // namespace kdk
