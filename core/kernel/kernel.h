// Kernel: everything core knows about one dumped kernel, opened in evidence tiers. T0: notes, VMCOREINFO, memory, log.
// T1: kallsyms (and modules' symbols), BTF layouts from the dump. T2 (vmlinux DWARF) is analyze's.
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
  // Opens all tiers that the dump allows; what is absent goes to problems(), not into an exception. Throws only what
  // KernelMemory's constructor throws. `dump` must outlive it. Module symbols are added by read_modules (modules.h).
  explicit Kernel(const Dump& dump);

  const Dump& dump() const { return dump_; }
  KernelMemory& memory() { return memory_; }
  const Vmcoreinfo& vmcoreinfo() const { return dump_.vmcoreinfo(); }
  SymbolTable& symbols() { return symbols_; }
  const KallsymsResult& kallsyms() const { return kallsyms_; }
  const Btf* btf() const { return btf_.get(); }
  Layout& layout() { return layout_; }
  const std::vector<std::string>& problems() const { return problems_; }

  // Run-time address of a kernel symbol: VMCOREINFO SYMBOL() first, then kallsyms.
  std::optional<VirtAddr> symbol(std::string_view name) const;

 private:
  const Dump& dump_;
  KernelMemory memory_;
  SymbolTable symbols_;
  KallsymsResult kallsyms_;
  std::unique_ptr<Btf> btf_;
  std::unique_ptr<BtfTypes> btf_types_;
  Layout layout_;
  std::vector<std::string> problems_;
};

}  // namespace kdk
