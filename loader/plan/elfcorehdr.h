// The ELF header the crashed machine leaves for its crash kernel: from it fs/proc/vmcore.c builds
// /proc/vmcore.
//
// Source: arch/arm64/kernel/machine_kexec_file.c (prepare_elf_headers) and kernel/crash_core.c for what
// kexec_file_load writes; fs/proc/vmcore.c for what is read: of each PT_NOTE and PT_LOAD only p_offset (a
// physical address) and p_memsz.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/base/bytes.h"
#include "loader/machine/machine.h"
#include "loader/plan/addresses.h"

namespace kdk {

// One program header: what it describes and where.
struct CoreHeader {
  enum class Kind { cpu_note, vmcoreinfo, kernel_image, ram };
  Kind kind = Kind::ram;
  std::optional<unsigned> cpu;  // cpu_note only
  Range memory;                 // physical; also p_offset
  uint64_t vaddr = 0;           // 0: not known
};
std::string_view to_string(CoreHeader::Kind kind);

// The program headers in their order: a note per CPU, VMCOREINFO, the kernel image (if known), every range of
// `ram`.
std::vector<CoreHeader> list_core_headers(const Machine& machine, const KernelAddresses& addresses,
                                          const std::vector<Range>& ram);

// The ELF64 core header with `headers` as its program headers, for machines of this ELF number. Throws
// Error{unsupported} when they are too many.
std::vector<uint8_t> make_elfcorehdr(const std::vector<CoreHeader>& headers, uint16_t elf_machine);

// Bytes of memory for an elfcorehdr with `headers` program headers. A kernel that follows hotplug in it needs
// room for the most it may ever write, and says how much that is for program headers alone
// (/sys/kernel/crash_elfcorehdr_size; Linux commit a72bbec70da2 ("crash: hotplug support for kexec_load()")
// (in v6.6)).
uint64_t elfcorehdr_size(const Machine& machine, size_t headers);

}  // namespace kdk
