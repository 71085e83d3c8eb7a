// What the commands on the kernel's objects (runq, timer, irq, mount, ...) share: the kernel with its
// variables, and what a walk could not follow as limits of the answer.
#pragma once

#include <string>
#include <vector>

#include "analyze/session.h"
#include "analyze/triage/answer.h"

namespace kdk {

// The kernel with what a walk over its variables needs: a vmlinux is opened only where the dump itself has no
// data symbols (CONFIG_KALLSYMS_ALL=n) or no types. nullptr: session.kernel_error() says why.
Kernel* kernel_with_variables(Session& session);
// The same; throws Error{missing} that says why there is none. `functions`: functions of modules will be
// named, too.
Kernel& require_variables(Session& session, bool functions = false);

// What a walk could not follow; the answer is then one of a damaged input.
std::vector<Limit> limits_of(std::string_view path, const std::vector<std::string>& problems);

}  // namespace kdk
