// A dump with some of its pages replaced, so that one synthetic machine serves many inputs.
#pragma once

#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "core/formats/dump.h"

namespace kdk::test {

class OverlayDump : public Dump {
 public:
  explicit OverlayDump(const Dump& base) : base_(base) {
    info_ = base.info();
    name_ = base.name();
    notes_ = base.notes();
    vmcoreinfo_ = base.vmcoreinfo();
    ram_ = base.ram();
  }
  void replace(Pfn pfn, std::vector<uint8_t> page) { pages_[pfn] = std::move(page); }
  PageState state(Pfn pfn) const noexcept override { return base_.state(pfn); }
  std::unique_ptr<PageReader> reader() const override {
    struct Reader : PageReader {
      explicit Reader(const OverlayDump& dump) : owner(dump), base(dump.base_.reader()) {}
      PageView page(Pfn pfn) noexcept override {
        auto found = owner.pages_.find(pfn);
        return found == owner.pages_.end() ? base->page(pfn) : PageView{PageState::present, found->second};
      }
      const OverlayDump& owner;
      std::unique_ptr<PageReader> base;
    };
    return std::make_unique<Reader>(*this);
  }

 private:
  const Dump& base_;
  std::map<Pfn, std::vector<uint8_t>> pages_;
};

}  // namespace kdk::test
