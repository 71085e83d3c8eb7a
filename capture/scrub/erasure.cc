#include "capture/scrub/erasure.h"

#include <algorithm>
#include <cstring>

#include "core/base/bus_error.h"

namespace kdk {
namespace {

constexpr uint64_t most_pieces = uint64_t{1} << 20;

class ScrubbedDump : public Dump {
 public:
  ScrubbedDump(const Dump& dump, const Erasure& erasure) : dump_(dump), erasure_(erasure) {
    info_ = dump.info();
    name_ = dump.name();
    notes_ = dump.notes();
    raw_notes_.assign(dump.raw_notes().begin(), dump.raw_notes().end());
    vmcoreinfo_ = dump.vmcoreinfo();
    ram_ = dump.ram();
    problems_ = dump.problems();
  }

  PageState state(Pfn pfn) const noexcept override { return dump_.state(pfn); }
  std::unique_ptr<PageReader> reader() const override { return std::make_unique<Reader>(*this); }

 private:
  class Reader : public PageReader {
   public:
    explicit Reader(const ScrubbedDump& owner)
        : owner_(owner), reader_(owner.dump_.reader()), page_(owner.info().page_size) {}

    PageView page(Pfn pfn) noexcept override {
      PageView view = reader_->page(pfn);
      const std::vector<Erasure::Piece>* pieces = owner_.erasure_.pieces(pfn);
      if (pieces == nullptr || view.state != PageState::present) return view;
      if (!touch_guarded([&] { std::memcpy(page_.data(), view.bytes.data(), page_.size()); }))
        return {PageState::unreadable, {}};
      for (const Erasure::Piece& piece : *pieces)
        std::memset(page_.data() + piece.offset, piece.fill, piece.size);
      return {PageState::present, page_};  // the stored form still has what is gone here
    }

   private:
    const ScrubbedDump& owner_;
    std::unique_ptr<PageReader> reader_;
    std::vector<uint8_t> page_;
  };

  const Dump& dump_;
  const Erasure& erasure_;
};

}  // namespace

bool Erasure::add(PhysAddr at, uint64_t size, uint8_t fill) {
  while (size != 0) {
    if (count_ >= most_pieces) return false;
    ++count_;
    const uint64_t within = at.value % page_size_;
    const uint64_t part = std::min<uint64_t>(size, page_size_ - within);
    pages_[{at.value / page_size_}].push_back(
        {static_cast<uint32_t>(within), static_cast<uint32_t>(part), fill});
    at = at + part;
    size -= part;
  }
  return true;
}

const std::vector<Erasure::Piece>* Erasure::pieces(Pfn pfn) const {
  const auto found = pages_.find(pfn);
  return found == pages_.end() ? nullptr : &found->second;
}

uint64_t Erasure::bytes_of(const std::vector<Piece>& pieces) const {
  std::vector<bool> erased(page_size_);
  for (const Piece& piece : pieces) std::fill_n(erased.begin() + piece.offset, piece.size, true);
  return static_cast<uint64_t>(std::ranges::count(erased, true));
}

std::unique_ptr<Dump> scrubbed_dump(const Dump& dump, const Erasure& erasure) {
  return std::make_unique<ScrubbedDump>(dump, erasure);
}

}  // namespace kdk
