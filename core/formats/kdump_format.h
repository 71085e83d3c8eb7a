// The kdump-compressed format (makedumpfile, diskdump) and its flattened stream form, as structs on disk.
// Reader and writer share this file. All is little-endian here: dumps of big-endian machines are refused at
// open.
//
// A file is a sequence of blocks of `block_size` bytes, the page size of the dumped kernel:
//
//   block 0                                    DiskDumpHeader
//   block 1 .. sub_hdr_size                    SubHeader, right behind it the ELF notes of the vmcore
//   block 1+sub_hdr_size ..                    two bitmaps of bitmap_blocks/2 blocks each, a bit per page
//   frame, least
//                                              significant bit first. First: the page exists. Second: it is
//                                              in the file. Old files have the second one only.
//   block 1+sub_hdr_size+bitmap_blocks ..      one PageDescriptor per bit set in the second bitmap, in that
//   order anywhere behind                            page data; descriptors may share it
//
// Split set: every file has the same DiskDumpHeader and both bitmaps; descriptors only for [start_pfn,
// end_pfn). Source: makedumpfile diskdump_mod.h and IMPLEMENTATION; offsets checked by the assertions below.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/base/bytes.h"

namespace kdk::kdump {

constexpr std::string_view signature = "KDUMP   ";
constexpr std::string_view diskdump_signature = "DISKDUMP";  // the same layout under its older name
constexpr int newest_version = 6;

// DiskDumpHeader.status and PageDescriptor.flags share these bits.
constexpr uint32_t flag_zlib = 0x1;
constexpr uint32_t flag_lzo = 0x2;
constexpr uint32_t flag_snappy = 0x4;
constexpr uint32_t status_incomplete = 0x8;         // status only
constexpr uint32_t status_excluded_vmemmap = 0x10;  // status only
constexpr uint32_t flag_zstd = 0x20;

constexpr size_t uts_length = 65;  // __NEW_UTS_LEN + 1
enum UtsField {
  uts_sysname,
  uts_nodename,
  uts_release,
  uts_version,
  uts_machine,
  uts_domainname,
  uts_fields
};

struct DiskDumpHeader {
  char signature[8];
  il32 header_version;
  char uts[uts_fields][uts_length];
  uint8_t padding[6];
  il64 crash_seconds;
  il64 crash_microseconds;
  ul32 status;
  il32 block_size;
  il32 sub_hdr_size;   // blocks
  ul32 bitmap_blocks;  // both bitmaps together
  ul32 max_mapnr;      // end of the page frames, saturated at 2^32-1; see SubHeader.max_mapnr_64
  ul32 total_ram_blocks;
  ul32 device_blocks;
  ul32 written_blocks;
  ul32 current_cpu;
  il32 nr_cpus;
};
static_assert(sizeof(DiskDumpHeader) == 464 && offsetof(DiskDumpHeader, status) == 424);

struct SubHeader {
  ul64 phys_base;
  il32 dump_level;  // version 1
  il32 split;       // version 2: this file holds [start_pfn, end_pfn) only
  ul64 start_pfn;
  ul64 end_pfn;
  ul64 offset_vmcoreinfo;  // version 3: file offset of the text
  ul64 size_vmcoreinfo;
  ul64 offset_note;  // version 4
  ul64 size_note;
  ul64 offset_eraseinfo;  // version 5
  ul64 size_eraseinfo;
  ul64 start_pfn_64;  // version 6
  ul64 end_pfn_64;
  ul64 max_mapnr_64;
};
static_assert(sizeof(SubHeader) == 104 && offsetof(SubHeader, max_mapnr_64) == 96);

struct PageDescriptor {
  ul64 offset;  // in the file; 0: this page was lost when the file could not be finished
  ul32 size;    // of the data, at most block_size
  ul32 flags;   // the codec; 0: raw, then size is block_size
  ul64 page_flags;
};
static_assert(sizeof(PageDescriptor) == 24);

}  // namespace kdk::kdump

// The flattened form is what makedumpfile -F writes to a pipe: "put these bytes at that offset", over and
// over.
namespace kdk::flattened {

constexpr std::string_view signature("makedumpfile\0\0\0\0", 16);
constexpr uint64_t header_size = 4096;  // FileHeader and zeros

struct FileHeader {
  char signature[16];
  ub64 type;     // 1
  ub64 version;  // 1
};
static_assert(sizeof(FileHeader) == 32);

struct RecordHeader {
  ub64 offset;  // in the described file; both fields all ones: the end of the stream
  ub64 size;    // of the bytes that follow
};
static_assert(sizeof(RecordHeader) == 16);

}  // namespace kdk::flattened
