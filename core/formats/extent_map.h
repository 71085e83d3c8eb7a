// A map from one address space to another made of ranges that may overlap: the higher rank wins.
//
// Two formats need it. PT_LOADs of a vmcore overlap because the kernel image is also part of the linear
// mapping of RAM; records of a flattened stream overlap because later ones replace earlier ones. Resolving
// the overlaps once, here, makes every lookup one binary search.
#pragma once

#include <cstdint>
#include <vector>

namespace kdk {

struct Extent {
  uint64_t begin = 0;  // half-open range of source addresses
  uint64_t end = 0;
  uint64_t target = 0;  // where `begin` lies in the target space
  uint64_t rank = 0;    // wins over lower ranks; what it means is the user's
};

class ExtentMap {
 public:
  ExtentMap() = default;
  // Empty extents are dropped. Among equal ranks, the one that began first goes on as long as it can.
  explicit ExtentMap(std::vector<Extent> overlapping);

  // Sorted and disjoint.
  const std::vector<Extent>& extents() const { return extents_; }
  // The extent that holds `address`, else the first one after it, else nullptr.
  const Extent* find(uint64_t address) const;

 private:
  std::vector<Extent> extents_;
};

}  // namespace kdk
