#include "analyze/unwind/vmlinux_aids.h"

#include <map>

#include "analyze/symbols/vmlinux.h"
#include "analyze/unwind/cfi.h"

namespace kdk {
namespace {

// Asks the file that covers the pc.
class EveryCallFrame : public CallFrameInfo {
 public:
  EveryCallFrame(const DebugInfo* info, ModuleDebug* modules) : modules_(modules) {
    if (info != nullptr) vmlinux_.emplace(info->dwarf_file(), info->kaslr_offset());
  }

  std::optional<Caller> caller(KernelMemory& memory, const Registers& frame,
                               bool pc_is_return_address) override {
    const std::optional<uint64_t> pc = frame.get(memory.arch().roles().pc);
    if (!pc) return std::nullopt;
    if (modules_ != nullptr) {
      if (const VmlinuxFile* file = modules_->file(*pc - (pc_is_return_address ? 1 : 0))) {
        // Relocated, its addresses are run-time addresses.
        return of_modules_.try_emplace(file, *file, 0)
            .first->second.caller(memory, frame, pc_is_return_address);
      }
    }
    return vmlinux_ ? vmlinux_->caller(memory, frame, pc_is_return_address) : std::nullopt;
  }

 private:
  ModuleDebug* modules_;
  std::optional<DwarfCallFrames> vmlinux_;
  std::map<const VmlinuxFile*, DwarfCallFrames> of_modules_;
};

}  // namespace

VmlinuxAids::VmlinuxAids(const DebugInfo* info, ModuleDebug* modules)
    : cfi_(std::make_unique<EveryCallFrame>(info, modules)) {
  if (info == nullptr) return;
  const VmlinuxFile& file = info->file();
  std::optional<VmlinuxFile::Range> ips = file.section_range(".orc_unwind_ip");
  if (!ips) return;
  // .orc_header came with v6.4; without it the rows tell their format.
  OrcSections sections{ips->address + info->kaslr_offset(), file.section(".orc_unwind_ip"),
                       file.section(".orc_unwind"), file.section(".orc_header")};
  orc_ = OrcTable::from_sections(sections, &orc_problem_);
}

VmlinuxAids::~VmlinuxAids() = default;

UnwindAids VmlinuxAids::aids() const {
  return {cfi_.get(), orc_.get()};
}

}  // namespace kdk
