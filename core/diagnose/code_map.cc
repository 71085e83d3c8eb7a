#include "core/diagnose/code_map.h"

#include <algorithm>

namespace kdk {
namespace {

// No kernel image is larger; only used when _end is unknown.
constexpr uint64_t max_image_size = 128 << 20;

bool holds_code(const Module::Range& range) {
  return range.kind == "text" || range.kind == "init_text";
}

bool contains(const Module::Range& range, uint64_t address) {
  return address >= range.base && address - range.base < range.size;
}

}  // namespace

CodeMap::CodeMap(Kernel& kernel) : kernel_(kernel) {
  const std::optional<VirtAddr> stext = kernel.symbol("_stext"), end = kernel.symbol("_end");
  if (!stext) return;
  image_low_ = stext->value;
  const bool plausible = end && end->value > image_low_;
  image_high_ = plausible ? end->value : checked_add(image_low_, max_image_size).value_or(UINT64_MAX);
}

const std::vector<Module>& CodeMap::modules() {
  if (!modules_) modules_ = list_modules(kernel_).modules;
  return *modules_;
}

const Module* CodeMap::module_at(uint64_t address) {
  if (in_image(address)) return nullptr;
  for (const Module& module : modules()) {
    if (std::any_of(module.ranges.begin(), module.ranges.end(), [&](const Module::Range& range) {
          return holds_code(range) && contains(range, address);
        })) {
      return &module;
    }
  }
  return nullptr;
}

bool CodeMap::known_code(uint64_t address) {
  if (!in_image(address)) return module_at(address) != nullptr;
  if (kernel_.symbols().empty()) return true;  // the image is all that is known
  const std::optional<SymbolHit> hit = kernel_.symbols().lookup(address);
  return hit && hit->symbol.text();
}

bool CodeMap::maybe_code(uint64_t address) {
  if (!kernel_.memory().translate(VirtAddr{address})) return false;
  if (in_image(address)) return known_code(address);
  for (const Module& module : modules()) {
    for (const Module::Range& range : module.ranges) {
      if (contains(range, address)) return holds_code(range);
    }
  }
  return executable_page(address);
}

bool CodeMap::executable_page(uint64_t address) {
  const std::vector<Translator::Step> steps =
      kernel_.memory().translator().steps(std::nullopt, VirtAddr{address});
  return std::ranges::none_of(steps, [](const Translator::Step& step) {
    return std::ranges::find(step.flags, "no-execute") != step.flags.end();
  });
}

std::optional<uint64_t> CodeMap::function_start(uint64_t address) const {
  const std::optional<SymbolHit> hit = kernel_.symbols().lookup(address);
  if (!hit || !hit->symbol.text()) return std::nullopt;
  return hit->symbol.address;
}

bool CodeMap::is_entry_of(uint64_t target, uint64_t address) const {
  const std::optional<SymbolHit> function = kernel_.symbols().lookup(address);
  if (!function || !function->symbol.text()) return false;
  if (function->symbol.address == target) return true;
  const std::optional<SymbolHit> entry = kernel_.symbols().lookup(target);
  constexpr std::string_view cold = ".cold";
  std::string_view name = function->symbol.name;
  if (!entry || entry->offset != 0 || !name.ends_with(cold)) return false;
  name.remove_suffix(cold.size());
  return entry->symbol.name == name;
}

}  // namespace kdk
