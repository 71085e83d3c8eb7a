// What /proc/kcore says about the running kernel's address space: the best source of addresses there is,
// because the kernel computes them itself and needs no symbol names.
//
// Source: fs/proc/kcore.c. One PT_LOAD per memory area; p_paddr is the physical address for RAM and for the
// kernel image, and -1 for vmalloc, modules and vmemmap. The image's PT_LOAD spans exactly [_text, _end). Its
// PT_NOTE carries a copy of VMCOREINFO (Linux commit 23c85094fe18 ("proc/kcore: add vmcoreinfo note to
// /proc/kcore") (in v4.19)).
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/base/bytes.h"

namespace kdk {

struct KcoreSegment {
  uint64_t vaddr = 0;
  uint64_t paddr = 0;
  uint64_t size = 0;
};

struct Kcore {
  uint16_t machine = 0;                // ELF e_machine
  std::vector<KcoreSegment> segments;  // those with a physical address, in file order
  std::string vmcoreinfo;              // KEY=VALUE lines; empty when the note is not there
};

// Reads `size` bytes at `offset`; returns fewer only where the file ends.
using ReadAt = std::function<std::vector<uint8_t>(uint64_t offset, uint64_t size)>;

// Reads the headers and notes only. Throws Error{format} when they are not those of an ELF64 little-endian
// core.
Kcore parse_kcore(const ReadAt& read);

}  // namespace kdk
