// Devices: the majors that drivers have taken, block devices, and the I/O that was on its way to them.
//
// A request that a driver has is in the tag table of its queue; one that waits in the I/O scheduler has a tag
// of that only. Devices without requests (device mapper, md) count their I/O per CPU. Source: fs/char_dev.c,
// block/genhd.c, block/bdev.c, block/blk-mq.c, block/blk-mq-tag.c.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "analyze/inspect/kernel_clock.h"
#include "core/kernel/typed_memory.h"

namespace kdk {

struct DeviceMajor {
  uint64_t major = 0, first_minor = 0, minors = 0;
  std::string name;        // escaped
  std::string operations;  // symbol; escaped; empty: not known here
};

struct BlockRequest {
  uint64_t address = 0;    // struct request
  std::string operation;   // "READ", "WRITE", "FLUSH", ...
  bool in_driver = false;  // else it waits to be given to it
  std::optional<uint64_t> sector, bytes;
  std::optional<int64_t> age_ns;  // since it was made; not every kernel measures that for every device
};

struct BlockDevice {
  uint64_t address = 0;  // struct block_device
  uint64_t disk = 0;     // struct gendisk
  std::string name;      // "vda1"; escaped
  uint64_t major = 0, minor = 0, partition = 0;
  std::optional<uint64_t> size_bytes, openers;
  bool dead = false;               // its disk is gone
  std::string driver;              // symbol of its operations; escaped
  std::optional<int64_t> counted;  // I/O on its way, by the CPUs' counters
  // Of a whole disk.
  std::string scheduler;                                // escaped; empty: none
  std::optional<uint64_t> freeze_depth, quiesce_depth;  // not 0: nothing is given to the driver
  std::vector<BlockRequest> requests;
};

struct Devices {
  KernelClock clock;
  std::vector<DeviceMajor> characters, blocks;
  std::vector<BlockDevice> disks;  // each before its partitions
  std::vector<std::string> problems;
};

// What cannot be found is named in `problems`. Throws Error{missing} when nothing can.
Devices read_devices(TypedMemory& types);
// Only the block devices; for who asks for the I/O.
Devices read_block_devices(TypedMemory& types);

}  // namespace kdk
