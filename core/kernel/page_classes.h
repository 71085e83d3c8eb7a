// Which class a page belongs to, read from its struct page.
//
// Pure: bytes in, answer out; no memory access, no file. The order of the tests is the one makedumpfile's
// users rely on (same classes, same pages), with two differences that keep more or read less: a poisoned page
// inside a larger page is a class of its own, and an answer never depends on the kernel's version, only on
// the markers VMCOREINFO names.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "core/base/bytes.h"
#include "core/kernel/pages.h"

namespace kdk {

enum class PageClass : uint8_t {
  kernel,         // nothing says that it may be left out
  free,           // on the buddy allocator's lists
  cpu_free,       // free, on a list of one CPU (cpu_lists.h finds these, not the classifier)
  unaccepted,     // free, and the confidential VM has not accepted it yet: touching it is a fault
  cache,          // page cache or swap cache without private data
  cache_private,  // page cache with private data (buffer heads)
  anonymous,      // user memory
  hugetlb,        // user memory in huge pages
  poisoned,       // hardware says the bytes are bad: never read
  offline,        // given back to the hypervisor (balloon, virtio-mem): never read
  unknown,        // no struct page, or it could not be read
};
constexpr size_t page_class_count = 11;
std::string_view to_string(PageClass page_class);

struct PageFacts {
  PageClass page_class = PageClass::kernel;
  unsigned order =
      0;  // the answer holds for 2^order pages from this one, which the caller checks for alignment
  bool compound = false;   // head of a compound page: the others are its tails
  bool bad_order = false;  // marked free, but with an order that cannot be: treated as kernel
  bool slab = false;       // of a slab cache (never left out)
};

class PageClassifier {
 public:
  // Throws Error{format} when an offset of `markers` lies outside struct page.
  explicit PageClassifier(const PageMarkers& markers);

  size_t struct_size() const { return size_; }
  // `page`: struct_size() bytes, here and below.
  uint64_t flags(const uint8_t* page) const { return load64(page + m_.flags); }
  bool is_tail(const uint8_t* page) const { return (load64(page + m_.compound_head) & 1) != 0; }
  bool is_poisoned(const uint8_t* page) const { return (load64(page + m_.flags) & poison_mask_) != 0; }
  bool is_head(const uint8_t* page) const {
    return head_mask_ != 0 && (load64(page + m_.flags) & head_mask_) == head_mask_;
  }

  // Of a slab cache, by page type or by flag. A page that is not a tail.
  bool is_slab(const uint8_t* page) const {
    return has_type(load32(page + m_.mapcount), slab_) || (load64(page + m_.flags) & slab_mask_) != 0;
  }

  // The class of a page that is not a tail. `second`: the struct page after it, needed for compound heads
  // only; nullptr when it could not be read, then a huge page of an old kernel may go unrecognised (and is
  // kept).
  PageFacts classify(const uint8_t* page, const uint8_t* second) const;

 private:
  static uint64_t load64(const uint8_t* p) {
    ul64 v;
    std::memcpy(&v, p, sizeof v);
    return v;
  }
  static uint32_t load32(const uint8_t* p) {
    ul32 v;
    std::memcpy(&v, p, sizeof v);
    return v;
  }
  bool has_type(uint32_t word, uint64_t type) const { return (word & m_.type_mask) == type; }
  bool is_hugetlb(uint32_t word, const uint8_t* second) const;
  unsigned compound_order(const uint8_t* second) const;

  PageMarkers m_;
  size_t size_ = 0;
  uint64_t poison_mask_ = 0, head_mask_ = 0, lru_mask_ = 0, private_mask_ = 0, slab_mask_ = 0;
  uint64_t swap_cache_mask_ = 0;  // all of these bits make a swap cache page; 0 = cannot be told
  // Page types under type_mask; one that this kernel does not have is a number that no word equals.
  uint64_t buddy_ = 0, unaccepted_ = 0, offline_ = 0, slab_ = 0, hugetlb_ = 0;
};

// Here so that it is inlined where every page of a machine passes: the answer stays in registers then. As a
// call it cost the scan twice the time.
[[gnu::always_inline]] inline PageFacts PageClassifier::classify(const uint8_t* page,
                                                                 const uint8_t* second) const {
  const uint64_t flags = load64(page + m_.flags);
  const uint64_t mapping = load64(page + m_.mapping);
  const uint32_t type = load32(page + m_.mapcount);
  const bool slab = is_slab(page);
  PageFacts facts;
  facts.slab = slab;

  if (!slab && has_type(type, buddy_)) {
    const uint64_t order = load64(page + m_.private_);
    if (order >= m_.max_order || order >= 64) {
      facts.bad_order = true;
      return facts;
    }
    facts.page_class = PageClass::free;
    facts.order = static_cast<unsigned>(order);
    return facts;
  }
  // Unaccepted memory is queued in blocks of the highest order only (mm/page_alloc.c: __free_unaccepted).
  if (has_type(type, unaccepted_) && m_.max_order > 0 && m_.max_order <= 64) {
    facts.page_class = PageClass::unaccepted;
    facts.order = static_cast<unsigned>(m_.max_order - 1);
    return facts;
  }
  bool hugetlb = false;
  if (is_head(page)) {
    facts.compound = true;
    facts.order = second != nullptr ? compound_order(second) : 0;
    hugetlb = is_hugetlb(type, second);
  }
  // PAGE_MAPPING_ANON, include/linux/page-flags.h. Slab uses the word for a list (Linux since v6.2), so not
  // there.
  const bool anonymous = !slab && (mapping & 1) != 0;
  const bool cache_flags =
      (flags & lru_mask_) != 0 || (swap_cache_mask_ != 0 && (flags & swap_cache_mask_) == swap_cache_mask_);
  if (hugetlb) {
    facts.page_class = PageClass::hugetlb;
  } else if (anonymous) {
    facts.page_class = PageClass::anonymous;
  } else if (cache_flags) {
    facts.page_class = (flags & private_mask_) != 0 ? PageClass::cache_private : PageClass::cache;
  } else if (!slab && has_type(type, offline_)) {
    facts.page_class = PageClass::offline;
  }
  return facts;
}

}  // namespace kdk
