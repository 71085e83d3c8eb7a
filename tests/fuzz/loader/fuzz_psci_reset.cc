// The PSCI node of a device tree, which says how the machine is reset.
#include <cstdlib>

#include "loader/machine/purgatory_facts.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  kdk::purgatory::ResetKind kind = kdk::psci_reset({data, size});
  if (kind == kdk::purgatory::ResetKind::x86) std::abort();
  return 0;
}
