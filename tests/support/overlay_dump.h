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
  // For the next `reads` of the page only, as memory of a running machine changes. Not thread-safe.
  void replace_for(unsigned reads, Pfn pfn, std::vector<uint8_t> page) {
    pages_[pfn] = std::move(page);
    reads_left_[pfn] = reads;
  }
  PageState state(Pfn pfn) const noexcept override { return base_.state(pfn); }
  std::unique_ptr<PageReader> reader() const override {
    struct Reader : PageReader {
      explicit Reader(const OverlayDump& dump) : owner(dump), base(dump.base_.reader()) {}
      PageView page(Pfn pfn) noexcept override {
        auto found = owner.pages_.find(pfn);
        if (found == owner.pages_.end()) return base->page(pfn);
        if (auto left = owner.reads_left_.find(pfn); left != owner.reads_left_.end()) {
          if (left->second == 0) return base->page(pfn);
          --left->second;
        }
        return PageView{PageState::present, found->second};
      }
      const OverlayDump& owner;
      std::unique_ptr<PageReader> base;
    };
    return std::make_unique<Reader>(*this);
  }

 private:
  const Dump& base_;
  std::map<Pfn, std::vector<uint8_t>> pages_;
  mutable std::map<Pfn, unsigned> reads_left_;
};

}  // namespace kdk::test
