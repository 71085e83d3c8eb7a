// How much memory a crash kernel of this machine needs, item by item.
//
// There are two moments to survive. While the initramfs is unpacked it is in memory twice, and the root tmpfs
// takes half of what is free. Later the kernel's drivers, the programs of the initramfs and kdump-capture
// need memory of their own beside it. The larger of the two sums and a margin is what is recommended; then
// the plan's own forecast (plan/memory_estimate.cc), made for that size, finds the initramfs to fit.
#pragma once

#include <string>
#include <vector>

#include "core/base/file.h"
#include "loader/machine/machine.h"
#include "loader/reserve/reservation.h"

namespace kdk {

// What the crash kernel will be. Empty paths: those of the loaded one, else the running kernel's in /boot.
struct RecommendInputs {
  std::string kernel;
  std::string initrd;
  bool uki_initrd = false;  // that of the unified kernel image which `kernel` is
  std::string
      append;  // behind its command line: nr_cpus= counts, and what decides about its root file system
  uint64_t extra = 0;  // bytes for what cannot be foreseen: LUKS2, big drivers, a second RAM disk
};

struct MemoryItem {
  std::string name;  // stable, snake_case
  std::string what;
  uint64_t unpacking = 0;  // bytes
  uint64_t capturing = 0;
};

struct Recommendation {
  std::string kernel;
  std::string initrd;  // empty: none
  uint64_t page_size = 0;
  uint64_t cpus = 0;
  std::vector<MemoryItem> items;
  uint64_t unpacking = 0;  // sums
  uint64_t capturing = 0;
  uint64_t margin = 0;
  uint64_t size = 0;        // all regions together
  std::string crashkernel;  // "crashkernel=192M": what to put on the command line
  bool enough = false;      // what is reserved now is at least `size`
};

// Throws Error{missing} when there is no kernel file to judge by, Error{unsupported} when the size of the
// unpacked initramfs cannot be known, and as read_file, load_arm64_image and estimate_initrd do.
Recommendation recommend(const SysRoot& root, const Machine& machine, const Reservation& reservation,
                         const RecommendInputs& inputs);

}  // namespace kdk
