#include "capture/filter/scan.h"

#include <algorithm>

namespace kdk {
namespace {

constexpr size_t max_examples = 8;

PfnBitmap bitmap_of(const std::vector<PfnRange>& ram) {
  PfnBitmap bits(ram.empty() ? 0 : ram.back().end.value);
  for (const PfnRange& range : ram) bits.set_range(range);
  return bits;
}

uint64_t page_count(const std::vector<PfnRange>& ranges) {
  uint64_t pages = 0;
  for (const PfnRange& range : ranges) pages += range.count();
  return pages;
}

class Scanner {
 public:
  Scanner(KernelMemory& memory, MemMap& map, const PageMarkers& markers, const ScanRequest& request,
          Scan& scan)
      : memory_(memory), map_(map), classifier_(markers), request_(request), scan_(scan) {
    if (request.pinned != nullptr) pinned_ = *request.pinned;
    head_bytes_.resize(classifier_.struct_size());
    second_bytes_.resize(classifier_.struct_size());
  }

  // Pages of `range` have struct pages.
  void scan_range(PfnRange range) {
    Pfn pfn = range.begin;
    while (pfn < range.end) {
      if (stopped()) return;
      // The rest of a free block of an earlier run, when it goes anyway: its struct pages need not be read.
      if (pfn < block_.end && excluded(block_class_, request_.level)) {
        const Pfn end = std::min(block_.end, range.end);
        decide({pfn, end}, block_class_);
        pfn = end;
        continue;
      }
      const MemMap::Run run = map_.next_run(pfn, range.end);
      pfn = run.struct_pages.empty() ? skip_unreadable(run) : scan_run(run);
      if (request_.progress) request_.progress(done_, scan_.ram_pages);
    }
  }

  void decide(PfnRange range, PageClass page_class) {
    decide_run();
    decide_now(range, page_class);
  }

  bool stopped() {
    if (request_.stop != nullptr && request_.stop->load(std::memory_order_relaxed)) scan_.complete = false;
    return !scan_.complete;
  }

 private:
  void decide_now(PfnRange range, PageClass page_class) {
    ClassCounts& counts = scan_.classes[static_cast<size_t>(page_class)];
    counts.found += range.count();
    done_ += range.count();
    if (excluded(page_class, request_.level))
      counts.excluded += exclude(range, page_class);
    else
      mark_blocks(range, page_class);
  }

  void decide_run() {
    if (run_.begin < run_.end) decide_now(run_, run_class_);
    run_ = {};
  }

  // A compound page being passed over: pages before `end` share the head's answer.
  struct Compound {
    Pfn end;
    PageClass page_class = PageClass::kernel;
    bool slab = false;
  };

  Pfn skip_unreadable(const MemMap::Run& run) {
    const Pfn end = run.first + std::max<uint64_t>(run.count, 1);
    decide({run.first, end}, PageClass::unknown);
    return end;
  }

  // Returns the first page frame not decided, which may lie beyond the run.
  Pfn scan_run(const MemMap::Run& run) {
    const size_t size = classifier_.struct_size();
    uint64_t i = 0;
    while (i < run.count) {
      const uint8_t* page = run.struct_pages.data() + i * size;
      // The scan of a large machine is as fast as its struct pages come out of memory: those of the next run come while
      // these are looked at.
      if (run.behind != nullptr) __builtin_prefetch(run.behind + i * size, 0, 2);
      const Pfn pfn = run.first + i;
      if (pfn < block_.end) {
        decide_page(pfn, page, block_class_);
        ++i;
        continue;
      }
      if (pfn < compound_.end) {
        if (in_compound(page)) {
          decide_page(pfn, page, compound_.page_class);
          if (compound_.slab) scan_.blocks[pfn.value / 64] |= block_slab;
          ++i;
          continue;
        }
        ++scan_.broken_compounds;
        compound_.end = pfn;
      }
      if (classifier_.is_tail(page)) {
        ++scan_.orphan_tails;
        decide_page(pfn, page, PageClass::kernel);
        ++i;
        continue;
      }
      const PageFacts facts = classifier_.classify(page, second_page(run, i));
      if (facts.bad_order) ++scan_.bad_orders;
      const bool block = facts.page_class == PageClass::free || facts.page_class == PageClass::unaccepted;
      const uint64_t pages = uint64_t{1} << facts.order;
      if (pfn.value % pages != 0) {
        if (block) ++scan_.bad_orders;
        // A free page alone would be plausible, but a wrong order says that this word is not what we think it
        // is.
        decide_page(pfn, page, block ? PageClass::kernel : facts.page_class);
        ++i;
        continue;
      }
      if (block) {
        block_ = {pfn, pfn + pages};
        block_class_ = facts.page_class;
        if (facts.page_class == PageClass::free) count_block(pfn, facts.order);
        // Kept free blocks go page by page above: a poisoned page in them is still left out.
        if (!excluded(block_class_, request_.level)) continue;
        const Pfn end = std::min(block_.end, run.first + run.count);
        decide({pfn, end}, block_class_);
        i += end.value - pfn.value;
        continue;
      }
      if (facts.compound && pages > 1) enter_compound(pfn, pages, page, facts);
      if (facts.slab) scan_.blocks[pfn.value / 64] |= block_slab;
      decide_page(pfn, page, facts.compound && pages > 1 ? compound_.page_class : facts.page_class);
      ++i;
    }
    decide_run();
    return run.first + run.count;
  }

  void count_block(Pfn pfn, unsigned order) {
    Scan::FreeOrder& entry = scan_.free_orders[order];
    if (entry.blocks++ == 0) entry.first = pfn;
    entry.last = pfn;
  }

  void enter_compound(Pfn pfn, uint64_t pages, const uint8_t* page, const PageFacts& facts) {
    PageClass page_class = facts.page_class;
    // A poisoned huge page does not say which of its pages is bad: leave all of it out.
    if (page_class == PageClass::hugetlb && classifier_.is_poisoned(page)) page_class = PageClass::poisoned;
    compound_ = {pfn + pages, page_class, facts.slab};
    std::copy_n(page, head_bytes_.size(), head_bytes_.begin());
  }

  // With CONFIG_HUGETLB_PAGE_OPTIMIZE_VMEMMAP the struct pages of a huge page are one page mapped again and
  // again, so inside it the head shows up again at every page of struct pages (mm/hugetlb_vmemmap.c).
  bool in_compound(const uint8_t* page) const {
    return classifier_.is_tail(page) || std::equal(head_bytes_.begin(), head_bytes_.end(), page);
  }

  void decide_page(Pfn pfn, const uint8_t* page, PageClass page_class) {
    const bool bad = classifier_.is_poisoned(page) && !excluded(page_class, request_.level);
    if (bad) page_class = PageClass::poisoned;
    if (pfn != run_.end || page_class != run_class_) {
      decide_run();
      run_ = {pfn, pfn};
      run_class_ = page_class;
    }
    run_.end = pfn + 1;
  }

  // The struct page after number `i` of the run, only for heads (it is where their order is).
  const uint8_t* second_page(const MemMap::Run& run, uint64_t i) {
    const size_t size = classifier_.struct_size();
    const uint8_t* page = run.struct_pages.data() + i * size;
    if (!classifier_.is_head(page)) return nullptr;
    if (i + 1 < run.count) return page + size;
    const std::optional<VirtAddr> address = map_.page_address(run.first + i + 1);
    if (!address || !memory_.read(*address, second_bytes_)) return nullptr;
    return second_bytes_.data();
  }

  // Takes pages out of the dump unless they are pinned; returns how many went. Ranges come in ascending
  // order.
  uint64_t exclude(PfnRange range, PageClass page_class) {
    if (page_class == PageClass::poisoned || page_class == PageClass::offline) {
      scan_.keep.clear_range(range);  // not even for a pin: reading these can bring the crash kernel down
      return range.count();
    }
    while (pin_ < pinned_.size() && pinned_[pin_].end <= range.begin) ++pin_;
    uint64_t gone = 0;
    Pfn pfn = range.begin;
    for (size_t p = pin_; p < pinned_.size() && pinned_[p].begin < range.end; ++p) {
      const Pfn begin = std::max(pinned_[p].begin, range.begin);
      const Pfn end = std::min(pinned_[p].end, range.end);
      gone += clear({pfn, begin});
      scan_.pinned_conflicts += end.value - begin.value;
      if (scan_.conflict_examples.size() < max_examples) scan_.conflict_examples.push_back(begin);
      pfn = end;
    }
    return gone + clear({pfn, range.end});
  }

  // Notes what is kept there.
  void mark_blocks(PfnRange range, PageClass page_class) {
    const uint8_t bit = block_bit(page_class);
    for (uint64_t block = range.begin.value / 64; block <= (range.end.value - 1) / 64; ++block)
      scan_.blocks[block] |= bit;
  }

  static uint8_t block_bit(PageClass page_class) {
    switch (page_class) {
      case PageClass::cache:
      case PageClass::cache_private:
        return block_cache;
      case PageClass::anonymous:
      case PageClass::hugetlb:
        return block_user;
      case PageClass::free:
      case PageClass::unaccepted:
        return block_free;
      default:
        return block_kernel;
    }
  }

  uint64_t clear(PfnRange range) {
    if (range.begin >= range.end) return 0;
    if (range.count() == 1)
      scan_.keep.clear(range.begin);
    else
      scan_.keep.clear_range(range);
    return range.count();
  }

  KernelMemory& memory_;
  MemMap& map_;
  PageClassifier classifier_;
  const ScanRequest& request_;
  Scan& scan_;
  std::vector<PfnRange> pinned_;
  size_t pin_ = 0;
  uint64_t done_ = 0;
  PfnRange
      run_;  // pages of one class, seen one by one and decided together; empty between runs of struct pages
  PageClass run_class_ = PageClass::kernel;
  PfnRange block_;
  PageClass block_class_ = PageClass::free;
  Compound compound_;
  std::vector<uint8_t> head_bytes_, second_bytes_;
};

}  // namespace

uint64_t Scan::kept() const {
  uint64_t pages = ram_pages;
  for (const ClassCounts& counts : classes) pages -= counts.excluded;
  return pages;
}

Scan scan_pages(KernelMemory& memory, MemMap& map, const PageMarkers& markers,
                const std::vector<PfnRange>& ram, const ScanRequest& request) {
  Scan scan;
  scan.keep = bitmap_of(ram);
  scan.ram_pages = page_count(ram);
  scan.blocks = ByteMap((scan.keep.size() + 63) / 64);
  Scanner scanner(memory, map, markers, request, scan);
  // RAM between the ranges with struct pages has none: kept, class unknown. Both lists are sorted.
  const std::vector<PfnRange>& present = map.present();
  size_t next = 0;
  for (const PfnRange& range : ram) {
    Pfn pfn = range.begin;
    while (pfn < range.end && !scanner.stopped()) {
      while (next < present.size() && present[next].end <= pfn) ++next;
      const bool covered = next < present.size() && present[next].begin <= pfn;
      Pfn end = range.end;
      if (next < present.size()) end = std::min(end, covered ? present[next].end : present[next].begin);
      if (covered)
        scanner.scan_range({pfn, end});
      else
        scanner.decide({pfn, end}, PageClass::unknown);
      pfn = end;
    }
  }
  return scan;
}

Scan keep_everything(const std::vector<PfnRange>& ram) {
  Scan scan;
  scan.keep = bitmap_of(ram);
  scan.ram_pages = page_count(ram);
  scan.classes[static_cast<size_t>(PageClass::unknown)].found = scan.ram_pages;
  return scan;
}

}  // namespace kdk
