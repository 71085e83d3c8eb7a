// The only file that changes the machine.
//
// Source: kexec_load(2), kexec_file_load(2), kernel/kexec.c, kernel/kexec_file.c. Loading a crash kernel
// may free the one loaded before it first; state/arm.h puts that back after a failure.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "core/base/file.h"
#include "loader/plan/plan.h"

namespace kdk {

// The open files a plan was made from. kexec_file_load gets these very descriptors: the kernel reads them
// itself, and a file's security.ima stays with it.
struct LoadFiles {
  Fd kernel;
  Fd initrd;  // not open: none
};

// /sys/kernel/kexec_crash_loaded. Throws Error{missing} when this kernel has no kexec at all.
bool crash_kernel_loaded(const SysRoot& root);

// Loads the plan into the running kernel and verifies that the kernel now says so. The plan must be good();
// for kexec_file_load the files must still hold what was planned. `debug` asks the kernel to log what it
// does, where it can. Throws Error{denied,io,unsupported,format}: cause and next step; whether the machine
// still has a crash kernel is then to be looked up.
void load_crash_kernel(const LoadPlan& plan, const LoadFiles& files, bool debug);

// Frees the loaded crash kernel, if any, and verifies it.
void unload_crash_kernel();

// The flags of the call that loads `plan`, by their names in linux/kexec.h.
std::vector<std::string> load_flag_names(const LoadPlan& plan);
// The flags it is tried with first, one after another; with the last one refused, it is called without.
std::vector<std::string> optional_flag_names(const LoadPlan& plan);

// A system call as a function of its flags that returns 0 or an errno; tests put their own in.
using FlaggedCall = std::function<int(uint64_t flags)>;
// A flag by its name in linux/kexec.h.
struct NamedFlag {
  uint64_t bits = 0;
  std::string_view name;
};
// Calls with `flags` and the first of the `optional` ones; while the kernel says EINVAL with the next of them
// instead, at last with none: older kernels know fewer, and refuse unknown ones before they touch anything.
// The log says what was left out.
struct NegotiatedCall {
  int result = 0;          // of the last call
  std::string_view taken;  // the optional flag it was made with; empty: none
};
NegotiatedCall call_with_optional_flags(uint64_t flags, std::span<const NamedFlag> optional,
                                        const FlaggedCall& call);

// A read-only descriptor of a file in memory, for kexec_file_load, and for QEMU (loader/prove). Throws Error{io,denied}.
Fd memory_file(const std::string& name, Bytes content);

// The descriptors that kexec_file_load gets for `plan`: those of the very files, so that their security.ima
// counts, and for what is packed in a file one of a copy in memory. No file is made on disk. `files` must
// outlive it. Throws as memory_file.
class HandedFiles {
 public:
  HandedFiles(const LoadPlan& plan, const LoadFiles& files);
  int kernel() const { return kernel_.get(); }
  int initrd() const { return initrd_.get(); }  // -1: none

 private:
  Fd kernel_in_memory_, initrd_in_memory_;
  const Fd& kernel_;
  const Fd& initrd_;
};

// Throws Error{format} when the file no longer holds what `planned` says: someone wrote to it since.
void require_unchanged(const Fd& fd, const InputIdentity& planned);

// What an errno of the call means here and what to do about it (kexec_errors.cc). `architecture` is the
// running kernel's; nullptr: not known.
Error explain_kexec_errno(LoadCall call, int errno_value, std::string_view action,
                          const Architecture* architecture = nullptr);

}  // namespace kdk
