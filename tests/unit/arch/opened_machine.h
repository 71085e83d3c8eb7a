// The translator of a synthetic machine, without a dump between.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "core/arch/arch.h"
#include "tests/support/dump_builder.h"

namespace kdk::test {

class MachineMemory : public PhysReader {
 public:
  explicit MachineMemory(const DumpBuilder& machine) : machine_(machine) {}
  bool read_phys(PhysAddr address, MutableBytes out) noexcept override {
    ++reads;
    for (size_t done = 0; done < out.size();) {
      const uint64_t at = address.value + done, within = at % machine_.page_size();
      bool in_ram = false;
      for (auto [base, bytes] : machine_.options().ram) in_ram |= at - base < bytes;
      const Pfn pfn = machine_.pfn_of({at});
      if (!in_ram || machine_.excluded(pfn)) return false;
      const std::vector<uint8_t> page = machine_.page(pfn);
      const size_t n = std::min(out.size() - done, page.size() - within);
      std::memcpy(out.data() + done, page.data() + within, n);
      done += n;
    }
    return true;
  }
  uint64_t reads = 0;

 private:
  const DumpBuilder& machine_;
};

struct Opened {
  explicit Opened(const DumpBuilder& machine)
      : memory(machine), info(Vmcoreinfo::parse(machine.vmcoreinfo())) {
    translator = machine.arch().make_translator(info, machine.page_size(), memory);
  }
  Translation operator()(VirtAddr va) { return translator->translate(va); }
  MachineMemory memory;
  Vmcoreinfo info;
  std::unique_ptr<Translator> translator;
};

}  // namespace kdk::test
