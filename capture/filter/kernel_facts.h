// Names of the crashed kernel for the header of the output, from whatever source the input has.
#pragma once

#include <string>

#include "core/formats/dump.h"
#include "core/formats/elf_writer.h"
#include "core/formats/kdump_writer.h"
#include "core/kernel/kernel.h"

namespace kdk {

// struct new_utsname; empty strings where nothing is known.
struct KernelNames {
  std::string sysname, nodename, release, version, machine, domainname;
};

// From the header of a kdump-compressed input, else init_uts_ns in memory, else VMCOREINFO and the ELF
// machine. `kernel` may be nullptr. Never throws.
KernelNames read_kernel_names(const Dump& dump, Kernel* kernel);

// The header of a kdump-compressed copy of `dump`, without dump level and codec. Refers to `dump`'s notes.
KdumpHeader dump_header(const Dump& dump, const KernelNames& names);

// Takes host and domain name over into `header` where `scrubbed`, the same kernel in a dump from which things
// were erased, has others than `kernel`.
void take_erased_names(KdumpHeader& header, Kernel& kernel, Kernel& scrubbed);

// The header of an ELF copy, with the virtual addresses that can be told; `kernel` may be nullptr. Refers to
// `dump`'s notes. Never throws.
ElfCoreHeader elf_header(const Dump& dump, Kernel* kernel);

}  // namespace kdk
