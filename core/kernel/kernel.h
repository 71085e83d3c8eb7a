// Kernel: everything core knows about one dumped kernel, opened in evidence tiers. T0: notes, VMCOREINFO,
// memory, log. T1: kallsyms (and modules' symbols), BTF layouts from the dump. T2 (vmlinux DWARF) is
// analyze's.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/formats/dump.h"
#include "core/kernel/btf.h"
#include "core/kernel/kallsyms.h"
#include "core/kernel/layout.h"
#include "core/kernel/memory.h"
#include "core/kernel/symbols.h"

namespace kdk {

class Kernel {
 public:
  // Opens T0. T1 follows when it is first asked for, so that reading the log costs neither symbols nor types.
  // What is absent goes to problems(), not into an exception. Throws only what KernelMemory's constructor
  // throws. `dump` must outlive it. Module symbols are added by read_modules (modules.h). Not thread-safe.
  explicit Kernel(const Dump& dump);
  Kernel(const Kernel&) = delete;
  Kernel& operator=(const Kernel&) = delete;

  const Dump& dump() const { return dump_; }
  KernelMemory& memory() { return memory_; }
  const Vmcoreinfo& vmcoreinfo() const { return dump_.vmcoreinfo(); }

  // kallsyms, opened on first use; whatever the callers added since.
  SymbolTable& symbols();
  const KallsymsResult& kallsyms();
  // Types of the dump, found on first use; nullptr when it has none.
  const Btf* btf();
  // Layouts from VMCOREINFO and btf(). Callers may add sources of types.
  Layout& layout();
  // True once the two above have been asked for: for callers that report without making the dump pay for it.
  bool symbols_opened() const { return symbols_opened_; }
  bool types_opened() const { return types_opened_; }

  // Sentences on what the tiers opened so far lack.
  const std::vector<std::string>& problems() const { return problems_; }

  // Run-time address of a kernel symbol: VMCOREINFO SYMBOL() first, then kallsyms and what callers added to symbols().
  std::optional<VirtAddr> symbol(std::string_view name);

 private:
  const Dump& dump_;
  KernelMemory memory_;
  void open_packed_symbols();
  bool packed_opened_ = false, symbols_opened_ = false, types_opened_ = false;
  std::shared_ptr<const Kallsyms> packed_symbols_;
  SymbolTable symbols_;
  KallsymsResult kallsyms_;
  std::unique_ptr<Btf> btf_;
  std::unique_ptr<BtfTypes> btf_types_;
  Layout layout_;
  std::vector<std::string> problems_;
};

}  // namespace kdk
