#include "core/kernel/kernel.h"

namespace kdk {

Kernel::Kernel(const Dump& dump) : dump_(dump), memory_(dump), layout_(dump.vmcoreinfo()) {}

SymbolTable& Kernel::symbols() {
  if (!symbols_opened_) {
    symbols_opened_ = true;
    finder_.reset();
    kallsyms_ = read_kallsyms(memory_, symbols_);
    symbols_.finish();
    if (!kallsyms_.found) {
      problems_.push_back("no symbols from kallsyms: " + kallsyms_.why_not);
    } else if (!kallsyms_.all) {
      problems_.push_back("kallsyms has text symbols only (CONFIG_KALLSYMS_ALL=n)");
    }
  }
  return symbols_;
}

const KallsymsResult& Kernel::kallsyms() {
  symbols();
  return kallsyms_;
}

const Btf* Kernel::btf() {
  if (!types_opened_) {
    types_opened_ = true;
    std::string why;
    btf_ = find_btf(
        memory_, [this](std::string_view name) { return symbol(name); }, &why);
    if (btf_) {
      btf_types_ = std::make_unique<BtfTypes>(*btf_);
      layout_.add_source(*btf_types_);
    } else {
      problems_.push_back("no types from the dump: " + why);
    }
  }
  return btf_.get();
}

Layout& Kernel::layout() {
  btf();
  return layout_;
}

std::optional<VirtAddr> Kernel::symbol(std::string_view name) {
  if (const auto address = vmcoreinfo().symbol(name)) return VirtAddr{*address};
  if (symbols_opened_) {
    const auto found = symbols_.find(name);
    return found ? std::optional(VirtAddr{found->address}) : std::nullopt;
  }
  if (!finder_opened_) {
    finder_opened_ = true;
    finder_ = KallsymsFinder::open(memory_);
  }
  // A look-up goes through all names, so what was asked for once is kept, absence too.
  if (const auto known = found_.find(name); known != found_.end()) return known->second;
  std::optional<VirtAddr>& result = found_[std::string(name)];
  if (const auto address = finder_ ? finder_->find(name) : std::nullopt) result.emplace(VirtAddr{*address});
  return result;
}

}  // namespace kdk
