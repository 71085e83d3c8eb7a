// Puts a prepared load into the kernel so that the machine is armed afterwards whenever the kernel allows it:
// when the new image is refused and the kernel has already freed the old one, the old one is loaded again.
#pragma once

#include <functional>

#include "loader/state/record.h"

namespace kdk {

// The calls that change the kernel; tests put their own in.
struct KexecActions {
  std::function<void(const LoadPlan&, const LoadFiles&)> load;
  std::function<void()> unload;
  std::function<bool()> loaded;
};
// The running kernel's. `debug`: it shall log what it does.
KexecActions live_kexec(bool debug);

// Loads `next`, whose plan must be good, keeps its files and leaves its record. Throws Error when the kernel
// refuses it; the message says whether the machine is armed, and with what. What cannot be kept or recorded
// is only warned about: the machine is armed.
void arm(const SysRoot& root, const PreparedLoad& next, const KexecActions& kexec);

// Unloads, and forgets what was loaded.
void disarm(const SysRoot& root, const KexecActions& kexec);

// Waits until no other kdump-load is loading or unloading on this machine; holds them off while it lives.
// Throws Error{denied} for anybody but root; where no lock can be had for another reason, that is only warned
// about and the descriptor is empty.
Fd lock_loading(const SysRoot& root);

}  // namespace kdk
