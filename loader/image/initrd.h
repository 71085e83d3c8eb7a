// What an initramfs will take of the crash kernel's memory once unpacked, and whether the kernel can unpack
// it at all.
//
// The kernel says only "Initramfs unpacking failed: write error" and then panics when it does not fit: the
// dump is lost in silence. So its unpacker (init/initramfs.c) is followed here: any number of members one
// after another, each a newc cpio archive or a compressed stream of them, zero padding between.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/bytes.h"
#include "loader/image/decompress.h"

namespace kdk {

struct InitrdMember {
  PackFormat format = PackFormat::none;
  uint64_t offset = 0;         // in the file
  uint64_t packed_size = 0;    // bytes in the file
  uint64_t unpacked_size = 0;  // bytes of cpio archive; 0 when unknown
};

struct InitrdEstimate {
  std::vector<InitrdMember> members;
  uint64_t files = 0;   // regular files with content
  uint64_t memory = 0;  // bytes of page cache they fill, rounded up to whole pages per file
  bool exact = true;  // false: a member's format could only be judged by the size it declares, or not at all
  bool bounded = true;      // false: no upper bound is known for at least one member
  bool has_init = false;    // the archive holds the program the kernel will start
  bool over_limit = false;  // counting stopped: more than the limit
};

// Walks the whole initramfs. `page_size` is the crash kernel's, `init` the program to look for without
// leading '/', `limit` the memory in bytes after which counting stops. Throws Error{format} where the
// kernel's unpacker would give up.
InitrdEstimate estimate_initrd(Bytes initrd, uint64_t page_size, std::string_view init, uint64_t limit);

}  // namespace kdk
