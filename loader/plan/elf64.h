// The ELF64 little-endian structures the loader reads (/proc/kcore) and writes (elfcorehdr). Both are headers
// without a file behind them, so libelf has nothing to hold on to.
//
// Source: System V ABI, chapter 4 (ELF header) and 5 (program header); layout equals elf(5).
#pragma once

#include <array>
#include <cstdint>

#include "core/base/bytes.h"

namespace kdk::elf64 {

struct Header {
  std::array<uint8_t, 16> ident{};
  ul16 type;
  ul16 machine;
  ul32 version;
  ul64 entry;
  ul64 phoff;
  ul64 shoff;
  ul32 flags;
  ul16 ehsize;
  ul16 phentsize;
  ul16 phnum;
  ul16 shentsize;
  ul16 shnum;
  ul16 shstrndx;
};
static_assert(sizeof(Header) == 64 && alignof(Header) == 1);

struct ProgramHeader {
  ul32 type;
  ul32 flags;
  ul64 offset;
  ul64 vaddr;
  ul64 paddr;
  ul64 filesz;
  ul64 memsz;
  ul64 align;
};
static_assert(sizeof(ProgramHeader) == 56 && alignof(ProgramHeader) == 1);

// ELFCLASS64, ELFDATA2LSB, EV_CURRENT.
constexpr std::array<uint8_t, 16> ident_le64 = {0x7f, 'E', 'L', 'F', 2, 1, 1};
constexpr uint16_t type_core = 4;
constexpr uint16_t machine_x86_64 = 62;
constexpr uint16_t machine_aarch64 = 183;
constexpr uint16_t phnum_extended = 0xffff;  // PN_XNUM: the count is elsewhere
constexpr uint32_t pt_load = 1;
constexpr uint32_t pt_note = 4;
constexpr uint32_t flags_rwx = 7;

}  // namespace kdk::elf64
