// The x86 "bzImage" format: a boot sector and setup code whose header describes the protected-mode kernel
// behind them.
//
// Source: Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header"; the limits of kexec_file_load are
// those of arch/x86/kernel/kexec-bzimage64.c.
#pragma once

#include <cstdint>
#include <string>

#include "core/base/bytes.h"

namespace kdk {

struct BzImage {
  uint16_t protocol = 0;        // boot protocol, 0x020f = 2.15
  std::string version;          // the kernel's banner: release, builder, build; empty when there is none
  uint64_t setup_size = 0;      // bytes of boot sector and setup code; the kernel proper follows
  uint64_t kernel_size = 0;     // bytes in the file behind them, as the header counts them
  uint64_t payload_offset = 0;  // of the packed vmlinux, in the file; 0 when the header does not say
  uint64_t payload_size = 0;    // bytes
  uint64_t init_size = 0;  // bytes of memory the kernel needs from its load address until it knows better
  uint64_t alignment = 0;  // of the load address
  uint64_t preferred_address = 0;
  uint64_t command_line_size = 0;  // longest command line, without its NUL
  bool relocatable = false;        // runs at other addresses than the preferred one
  bool entry_64bit = false;        // has the 64-bit entry point
  bool above_4g = false;           // kernel, initrd, command line may lie above 4 GiB
  bool five_level = false;         // can be entered with 5-level page tables

  // The first word of `version`, as `uname -r` prints it.
  std::string release() const { return version.substr(0, version.find(' ')); }
};

// Reads the header of a whole bzImage (its PE side: pe_signature_size). Throws Error{unsupported} for other
// kinds of kernels (named where recognised) and for boot protocols before 2.12, Error{format} naming the
// offset for a truncated or contradictory one.
BzImage parse_bzimage(Bytes file);

}  // namespace kdk
