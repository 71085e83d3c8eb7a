// Which class a page belongs to, read from its struct page, and which classes a dump level leaves out.
//
// Pure: bytes in, answer out; no memory access, no file. The order of the tests is the one makedumpfile's
// users rely on (same levels, same pages), with two differences that keep more or read less: a poisoned page
// inside a larger page is left out alone, and an answer never depends on the kernel's version, only on the
// markers VMCOREINFO names.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/bytes.h"
#include "core/kernel/pages.h"

namespace kdk {

// Bits of a dump level, numbered as makedumpfile's -d.
enum LevelBit : unsigned {
  level_zero = 1,
  level_cache = 2,          // page cache without private data
  level_cache_private = 4,  // all page cache (implies level_cache)
  level_user = 8,           // anonymous memory and huge pages
  level_free = 16,
  level_all = 31,
};

// "zero,cache,private,user,free" (any subset, also "none" and "all") to a level; nullopt names nothing known.
std::optional<unsigned> parse_exclude(std::string_view names);

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

// True when `level` leaves pages of this class out. Poisoned and offline pages are left out at every level.
bool excluded(PageClass page_class, unsigned level);

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
  bool has_type(uint32_t word, const std::optional<uint32_t>& type) const {
    return type && (word & m_.type_mask) == (*type & m_.type_mask);
  }
  bool is_hugetlb(uint32_t word, const uint8_t* second) const;
  unsigned compound_order(const uint8_t* second) const;

  PageMarkers m_;
  size_t size_ = 0;
  uint64_t poison_mask_ = 0, head_mask_ = 0, lru_mask_ = 0, private_mask_ = 0, slab_mask_ = 0;
  uint64_t swap_cache_mask_ = 0;  // all of these bits make a swap cache page; 0 = cannot be told
};

}  // namespace kdk
