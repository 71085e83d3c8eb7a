// What differs between architectures when a crash kernel is armed: one table entry each, in arm64.cc and
// x86_64.cc. Everything else of the loader works from these facts, from the recorded Machine and from the
// plan, and knows no architecture by name.
//
// To add one: write its file with a `const Architecture`, list it in architecture.cc, and give it a fake
// machine (tests/support/fake_machine) and a golden plan. An architecture that boots with a device tree and
// kexec_load finds its parts ready: dtb.h, elfcorehdr.h, placement.h, segment_checks.h.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "loader/image/image.h"
#include "loader/purgatory/code.h"

namespace kdk {

struct Machine;
struct LoadInputs;
struct LoadPlan;

enum class LoadCall { kexec_load, kexec_file_load };
std::string_view to_string(LoadCall call);

// One way to load a crash kernel.
struct Loader {
  LoadCall call;
  // Completes a plan whose inputs, regions, command line and estimates are there: how it will be loaded, with
  // everything that takes. May move out of `inputs`. Throws Error{unsupported} when the crash region cannot
  // hold it, Error{format,missing} for unusable inputs.
  void (*compose)(const Machine& machine, LoadInputs& inputs, LoadPlan& plan);
  // Appends the checks of what compose made.
  void (*check)(const Machine& machine, LoadPlan& plan);
};

// How segments of our making are checked before the crash kernel starts (plan/digest.h).
struct DigestSupport {
  const purgatory::Code* code;
  bool maps_memory;  // entered with the MMU off: the purgatory needs page tables to be fast
  bool by_kernel;    // with kexec_file_load the kernel brings a purgatory that does the same
  // Bytes a second that a slow CPU of the architecture does, without and with SHA-256 instructions. Where the
  // numbers are from: docs/kdump-load.md.
  double plain_rate;
  double fast_rate;
};

struct Architecture {
  std::string_view name;          // "arm64": in plans and messages
  std::string_view machine_name;  // "aarch64": what uname -m says
  uint16_t elf_machine;           // e_machine of /proc/kcore and of kexec_load's flags
  bool has_device_tree;           // the crash kernel gets one, made from the running machine's
  // Options every crash kernel should have unless the user names them; reasons are in docs/kdump-load.md.
  std::span<const std::string_view> crash_defaults;

  // Reads the header of a kernel file. `file` is replaced by the unpacked kernel where this architecture
  // allows packed ones. Throws as load_arm64_image and parse_bzimage do.
  KernelInfo (*read_kernel)(std::vector<uint8_t>& file);
  std::span<const Loader> loaders;  // first the one for machines that do not tell which they have
  // Bytes the crash kernel sets aside at boot for devices (bounce buffers).
  uint64_t (*device_memory)(const LoadPlan& plan);
  DigestSupport digest;
};

extern const Architecture arm64_architecture;
extern const Architecture x86_64_architecture;

// nullptr when unknown.
const Architecture* find_architecture(std::string_view machine_name);
const Architecture* find_architecture(uint16_t elf_machine);
// "arm64, x86-64": for messages.
std::string supported_architectures();

}  // namespace kdk
