// What matching debug information adds to the walk of stacks: call frame information of the vmlinux and of
// modules, and the vmlinux' ORC tables.
#pragma once

#include <memory>

#include "analyze/symbols/debug_info.h"
#include "analyze/symbols/module_debug.h"
#include "core/diagnose/orc.h"
#include "core/diagnose/unwind.h"

namespace kdk {

class VmlinuxAids {
 public:
  // After info->require_match(). Either may be nullptr, and must outlive this. Call frame information is
  // opened when a walk first asks for it; the ORC sections, where there are any, are looked at now.
  explicit VmlinuxAids(const DebugInfo* info, ModuleDebug* modules = nullptr);
  ~VmlinuxAids();

  UnwindAids aids() const;
  // Why the ORC sections cannot be used, when there are some; else empty.
  const std::string& orc_problem() const { return orc_problem_; }

 private:
  std::unique_ptr<CallFrameInfo> cfi_;
  std::unique_ptr<OrcTable> orc_;
  std::string orc_problem_;
};

}  // namespace kdk
