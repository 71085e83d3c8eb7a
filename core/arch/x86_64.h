// Register numbering of x86-64, for what is x86-64's own: its unwinder, its fault decoding. Everything else
// goes through arch.h.
#pragma once

#include <cstddef>

namespace kdk::x86_64_reg {

// The first 17 are numbered as in DWARF (System V ABI AMD64 supplement, figure 3.36).
enum Index : size_t {
  rax,
  rdx,
  rcx,
  rbx,
  rsi,
  rdi,
  rbp,
  rsp,
  r8,
  r9,
  r10,
  r11,
  r12,
  r13,
  r14,
  r15,
  rip,
  rflags,
  cs,
  ss,
  ds,
  es,
  fs,
  gs,
  fs_base,
  gs_base,
  orig_rax,
  count
};

}  // namespace kdk::x86_64_reg
