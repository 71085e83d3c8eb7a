#include "analyze/unwind/vmlinux_aids.h"

#include "analyze/symbols/vmlinux.h"
#include "analyze/unwind/cfi.h"

namespace kdk {

VmlinuxAids::VmlinuxAids(const DebugInfo& info)
    : cfi_(std::make_unique<DwarfCallFrames>(info.file(), info.kaslr_offset())) {
  const VmlinuxFile& file = info.file();
  std::optional<VmlinuxFile::Range> ips = file.section_range(".orc_unwind_ip");
  if (!ips) return;
  // .orc_header came with v6.4; without it the rows tell their format.
  OrcSections sections{ips->address + info.kaslr_offset(), file.section(".orc_unwind_ip"),
                       file.section(".orc_unwind"), file.section(".orc_header")};
  orc_ = OrcTable::from_sections(sections, &orc_problem_);
}

VmlinuxAids::~VmlinuxAids() = default;

UnwindAids VmlinuxAids::aids() const {
  return {cfi_.get(), orc_.get()};
}

}  // namespace kdk
