#include "analyze/object_answers.h"

#include "analyze/ask.h"
#include "core/base/log.h"

namespace kdk {

Kernel* kernel_with_variables(Session& session) {
  Kernel* kernel = session.kernel();
  if (kernel == nullptr) return nullptr;
  const bool enough =
      kernel->symbol("init_task") && kernel->symbol("__per_cpu_offset") && kernel->layout().has_types();
  if (!enough) session.debug_info();
  return kernel;
}

Kernel& require_variables(Session& session, bool functions) {
  Kernel& kernel = require_kernel(session);
  kernel_with_variables(session);
  if (functions) session.modules();
  return kernel;
}

std::vector<Limit> limits_of(std::string_view path, const std::vector<std::string>& problems) {
  std::vector<Limit> limits;
  for (const std::string& problem : problems)
    limits.push_back({std::string(path), "objects_incomplete", escape_untrusted(problem), "", true});
  return limits;
}

}  // namespace kdk
