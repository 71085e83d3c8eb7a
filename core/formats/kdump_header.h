// The headers of one kdump-compressed file, read and checked. Private to core/formats.
#pragma once

#include <string>
#include <vector>

#include "core/formats/byte_source.h"
#include "core/formats/kdump_format.h"

namespace kdk::kdump {

struct Headers {
  DiskDumpHeader disk{};
  SubHeader sub{};  // fields that the version does not have are zero
  uint32_t block_size = 0;
  uint64_t max_mapnr = 0;  // end of the page frames, held against the size of the bitmaps
  bool two_bitmaps = true;
  uint64_t bitmap1_offset = 0;  // the same as bitmap2_offset in a file with one
  uint64_t bitmap2_offset = 0;
  uint64_t bitmap_bytes = 0;  // of one bitmap
  uint64_t descriptor_offset = 0;
  bool split = false;
  uint64_t begin_pfn = 0, end_pfn = 0;  // whose pages this file holds; [0, max_mapnr) unless split

  int version() const { return disk.header_version; }
  std::string uts(UtsField field) const;
};

// Throws Error{format,unsupported} naming the file, the field and its value. Oddities that can be lived with
// go to `problems`.
Headers read_headers(const ByteSource& source, std::vector<std::string>& problems);

}  // namespace kdk::kdump
