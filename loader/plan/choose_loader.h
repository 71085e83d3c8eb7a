// Which of the two system calls loads the crash kernel (--syscall auto|file|kexec).
#pragma once

#include <optional>
#include <string>

#include "loader/arch/architecture.h"

namespace kdk {

struct LoaderChoice {
  const Loader* loader = nullptr;
  std::string reason;  // for people
};

// Decides before anything is asked of the kernel: a load that fails has freed the crash kernel before it, and
// a signature that is refused must not be got around with the other call. So the older call is chosen only
// where the newer one does not exist, or for `own_tree`: the user gives a device tree, which only it takes.
// Throws Error{unsupported} when `wanted` is not there for this architecture.
LoaderChoice choose_loader(const Machine& machine, std::optional<LoadCall> wanted, bool own_tree);

}  // namespace kdk
