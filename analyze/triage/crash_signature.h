// Names for a kind of crash, so that two dumps of one bug can be recognised as such.
//
// A signature is the SHA-256 of a short text that is printed beside it: whoever doubts it can read what it is
// made of and compute it again. The first line names the algorithm and its version; a change of the rules
// below is a new version.
//
// family v3: the class, then up to eight functions of the stack that failed, innermost first, from the culprit
//   (report.h) on. v1 began with the check that noticed, whose name changes between kernels; v2 passed over a
//   culprit that is known by the link register alone, as the caller of memcpy() is. Independent of addresses,
//   offsets, kernel release, taint, and of whether a vmlinux was there (inlined functions are not in it), so
//   that one bug keeps its family over kernel updates.
// exact v3: the same functions with their offsets, and the kernel's build-id: the same bug in the same
//   binary.
#pragma once

#include <optional>
#include <string>

#include "core/diagnose/crash.h"
#include "core/kernel/printk.h"

namespace kdk {

struct Signature {
  std::string text;    // canonical, every line ends in '\n'
  std::string sha256;  // of it, hexadecimal
};

struct Signatures {
  Signature family, exact;
};

// nullopt when neither a class nor a function is known: such crashes have nothing in common.
// `log` gives the stack of a blocked task, which the CPUs' stacks do not show.
std::optional<Signatures> sign(const Crash& crash, const KernelLog& log, const std::string& build_id);

// The name two kernels share for a function: "foo.isra.0" is foo, __arm64_sys_read and __x64_sys_read are
// sys_read.
std::string common_name(std::string_view function);

}  // namespace kdk
