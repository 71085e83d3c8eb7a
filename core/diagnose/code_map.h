// Which addresses of the dumped kernel are code, and whose. The walks ask before they believe a return
// address.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/kernel/kernel.h"
#include "core/kernel/modules.h"

namespace kdk {

class CodeMap {
 public:
  explicit CodeMap(Kernel& kernel);

  bool in_image(uint64_t address) const { return address >= image_low_ && address < image_high_; }
  // The module whose text holds `address`; nullptr when there is none. Lists the modules on first use.
  const Module* module_at(uint64_t address);
  // Code of the kernel image or of a module, as far as symbols and module lists tell.
  bool known_code(uint64_t address);
  // Not known to be anything else: mapped, and no data of the image or of a module. Generated code has
  // neither symbol nor module; it is told from stacks and slabs by the page tables.
  bool maybe_code(uint64_t address);
  // First instruction of the function that holds `address`, from the symbols.
  std::optional<uint64_t> function_start(uint64_t address) const;
  // True when `target` is the entry of the function that holds `address`, or of the one whose unlikely part
  // (.cold) holds it.
  bool is_entry_of(uint64_t target, uint64_t address) const;

 private:
  bool executable_page(uint64_t address);
  const std::vector<Module>& modules();

  Kernel& kernel_;
  uint64_t image_low_ = 0, image_high_ = 0;
  std::optional<std::vector<Module>> modules_;
};

}  // namespace kdk
