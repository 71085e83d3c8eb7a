// Call frame information of a vmlinux: .debug_frame (what kernels have), else .eh_frame, through libdw. libdw
// finds the row for an address; the rules are evaluated here, over the memory of the dump.
#pragma once

#include <memory>

#include "analyze/symbols/vmlinux.h"
#include "core/diagnose/unwind.h"

namespace kdk {

class DwarfCallFrames : public CallFrameInfo {
 public:
  // Opens nothing yet: most walks never need it. `file` must outlive it. `load_offset` is run-time address -
  // link address.
  DwarfCallFrames(const VmlinuxFile& file, uint64_t load_offset);
  ~DwarfCallFrames() override;

  std::optional<Caller> caller(KernelMemory& memory, const Registers& frame,
                               bool pc_is_return_address) override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace kdk
