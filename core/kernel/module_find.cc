#include "core/kernel/module_find.h"

#include <vector>

namespace kdk {
namespace {

constexpr uint64_t max_scan = uint64_t{64} << 20;  // bytes after the text; real images have 8 to 40 MB there

// Offsets in struct module.
struct ModuleFacts {
  uint64_t list = 0;
  uint64_t self = 0;  // mkobj.mod points to the struct module itself (kernel/module/sysfs.c, mod_sysfs_init)
};

bool is_module_list(KernelMemory& memory, const ModuleFacts& facts, VirtAddr head, VirtAddr node) {
  const VirtAddr module = node - facts.list;
  return memory.u64(node + 8) == head.value && memory.u64(module + facts.self) == module.value;
}

}  // namespace

std::optional<VirtAddr> search_module_list(Kernel& kernel) {
  KernelMemory& memory = kernel.memory();
  const auto list = kernel.layout().offset("module", "list"),
             self = kernel.layout().offset("module", "mkobj.mod");
  const auto text_end = kernel.symbol("_einittext");
  if (!list || !self || !text_end) return std::nullopt;
  const ModuleFacts facts{*list, *self};
  const uint64_t page_size = memory.page_size();
  std::vector<uint8_t> page(page_size);
  const VirtAddr first{align_up(text_end->value, page_size)};
  for (uint64_t done = 0; done < max_scan; done += page_size) {
    const VirtAddr start = first + done;
    // Pages that the kernel has given back (init data) are not mapped any more, or not in the dump.
    if (!memory.read(start, page)) continue;
    for (uint64_t at = 0; at + 16 <= page_size; at += 8) {
      const uint64_t next = load<ul64>(page, at).value_or(0), prev = load<ul64>(page, at + 8).value_or(0);
      // Two kernel addresses outside of this page: few pairs of words get past this.
      if (next >> 52 != 0xfff || prev >> 52 != 0xfff || next % 8 != 0 || prev % 8 != 0 ||
          next - start.value < page_size)
        continue;
      if (is_module_list(memory, facts, start + at, VirtAddr{next})) return start + at;
    }
  }
  return std::nullopt;
}

}  // namespace kdk
