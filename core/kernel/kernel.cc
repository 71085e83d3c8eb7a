#include "core/kernel/kernel.h"

namespace kdk {

Kernel::Kernel(const Dump& dump) : dump_(dump), memory_(dump), layout_(dump.vmcoreinfo()) {}

void Kernel::open_packed_symbols() {
  if (packed_opened_) return;
  packed_opened_ = true;
  packed_symbols_ = Kallsyms::open(memory_, kallsyms_.why_not);
}

SymbolTable& Kernel::symbols() {
  if (!symbols_opened_) {
    symbols_opened_ = true;
    open_packed_symbols();
    if (packed_symbols_) kallsyms_ = add_kallsyms(packed_symbols_, symbols_);
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
  open_packed_symbols();
  const auto address = packed_symbols_ ? packed_symbols_->address_of(name) : std::nullopt;
  return address ? std::optional(VirtAddr{*address}) : std::nullopt;
}

}  // namespace kdk
