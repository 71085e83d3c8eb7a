// Writer of a split set: kdump-compressed files that each hold a range of the page frames, for several disks
// or for file systems with small files. All have the same header and both bitmaps in full; readers need all
// of them, in any order.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/formats/kdump_writer.h"

namespace kdk {

// Ranges for `parts` files, about equally many pages of `dumped` in each. Boundaries are multiples of 64:
// readers count descriptors by whole words of the bitmap. Throws Error{unsupported} when there are too few
// page frames.
std::vector<PfnRange> split_ranges(const PfnBitmap& dumped, size_t parts);

class SplitWriter : public PageSink {
 public:
  // As KdumpWriter, for as many files as there are outputs.
  SplitWriter(const std::vector<DumpOutput*>& outputs, const std::vector<std::string>& names,
              KdumpHeader header, const PfnBitmap& ram, const PfnBitmap& dumped);
  size_t write(const PageBatch& batch) override;
  bool shares(Pfn page, Pfn other) const override;  // when both are in the same file
  void finish(bool complete) override;
  uint64_t size() const override;  // of all files together

 private:
  std::vector<PfnRange> ranges_;
  std::vector<std::unique_ptr<KdumpWriter>> parts_;
};

}  // namespace kdk
