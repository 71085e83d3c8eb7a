#include "core/formats/kdump_header.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "core/base/error.h"
#include "core/formats/readers.h"

namespace kdk::kdump {
namespace {

// 7 and more would be news; far beyond is corruption.
constexpr int highest_believable_version = 15;

// Where the 32-bit layouts keep block_size: struct timeval has two 4-byte members there.
constexpr uint64_t block_size_offset_32 = 416;

[[noreturn]] void throw_bad_field(const ByteSource& source, std::string_view field, int64_t value) {
  throw Error(Errc::format, fmt::format("{}: kdump-compressed header: {} is {}, which is impossible",
                                        source.name(), field, value));
}

bool plausible(int version, int block_size) {
  return version >= 0 && version <= highest_believable_version && block_size > 0 &&
         plausible_page_size(static_cast<uint64_t>(block_size));
}

// Says which of the layouts that we do not read it is, if it is one.
void refuse_other_layouts(const ByteSource& source, const DiskDumpHeader& disk, Bytes raw) {
  if (plausible(disk.header_version, disk.block_size)) return;
  if (plausible(byteswap<int32_t>(disk.header_version), byteswap<int32_t>(disk.block_size))) {
    throw Error(Errc::unsupported,
                source.name() + ": a dump of a big-endian machine: only little-endian is supported");
  }
  if (plausible(disk.header_version, *load<il32>(raw, block_size_offset_32))) {
    throw Error(Errc::unsupported, source.name() + ": a dump of a 32-bit kernel: only 64-bit is supported");
  }
  if (disk.header_version < 0 || disk.header_version > highest_believable_version) {
    throw_bad_field(source, "header_version", disk.header_version);
  }
  throw_bad_field(source, "block_size", disk.block_size);
}

// Clears what a version does not have, so that nobody has to ask again.
void drop_unknown_fields(SubHeader& sub, int version) {
  if (version < 1) sub.dump_level = 0;
  if (version < 2) sub.split = 0;
  if (version < 3) sub.offset_vmcoreinfo = sub.size_vmcoreinfo = 0;
  if (version < 4) sub.offset_note = sub.size_note = 0;
  if (version < 5) sub.offset_eraseinfo = sub.size_eraseinfo = 0;
  if (version < 6) {
    sub.start_pfn_64 = uint64_t{sub.start_pfn};
    sub.end_pfn_64 = uint64_t{sub.end_pfn};
    sub.max_mapnr_64 = 0;
  }
}

void place_bitmaps(const ByteSource& source, Headers& h, std::vector<std::string>& problems) {
  // Products of 32-bit numbers: no overflow in 64 bits.
  uint64_t bitmap_start = (uint64_t{1} + static_cast<uint32_t>(int32_t{h.disk.sub_hdr_size})) * h.block_size;
  uint64_t bitmap_space = uint64_t{h.disk.bitmap_blocks} * h.block_size;
  if (bitmap_space > source.stored_bytes() || !in_bounds(source.size(), bitmap_start, bitmap_space)) {
    throw Error(Errc::format,
                fmt::format("{}: truncated or corrupt: the page bitmaps need {} bytes at offset {:#x}, the "
                            "file has {}",
                            source.name(), bitmap_space, bitmap_start, source.stored_bytes()));
  }
  h.max_mapnr = h.sub.max_mapnr_64 != 0 ? uint64_t{h.sub.max_mapnr_64} : uint64_t{h.disk.max_mapnr};
  if (h.max_mapnr > bitmap_space * 8) {
    problems.push_back(fmt::format("max_mapnr is {:#x}, but the bitmaps end at {:#x}: cut there", h.max_mapnr,
                                   bitmap_space * 8));
    h.max_mapnr = bitmap_space * 8;
  }
  uint64_t half = uint64_t{h.disk.bitmap_blocks / 2} * h.block_size;
  h.two_bitmaps = h.max_mapnr <= half * 8;
  h.bitmap1_offset = bitmap_start;
  h.bitmap2_offset = h.two_bitmaps ? bitmap_start + half : bitmap_start;
  h.bitmap_bytes = (h.max_mapnr + 7) / 8;
  h.descriptor_offset = bitmap_start + bitmap_space;
}

void place_split(const ByteSource& source, Headers& h) {
  h.split = h.sub.split != 0;
  h.end_pfn = h.max_mapnr;
  if (!h.split) return;
  h.begin_pfn = h.sub.start_pfn_64;
  h.end_pfn = std::min(uint64_t{h.sub.end_pfn_64}, h.max_mapnr);
  if (h.begin_pfn > h.end_pfn) {
    throw Error(Errc::format, fmt::format("{}: part of a split set for the impossible range {:#x} to {:#x}",
                                          source.name(), h.begin_pfn, h.end_pfn));
  }
}

}  // namespace

std::string Headers::uts(UtsField field) const {
  return std::string(disk.uts[field], strnlen(disk.uts[field], uts_length));
}

Headers read_headers(const ByteSource& source, std::vector<std::string>& problems) {
  Headers h;
  std::array<uint8_t, sizeof(DiskDumpHeader)> raw{};
  read_exact(source, 0, raw, "the kdump-compressed header");
  h.disk = *load<DiskDumpHeader>(raw);
  refuse_other_layouts(source, h.disk, raw);
  h.block_size = static_cast<uint32_t>(int32_t{h.disk.block_size});
  if (h.version() > newest_version) {
    problems.push_back(fmt::format("header version {} is newer than this program knows ({}): read as {}",
                                   h.version(), newest_version, newest_version));
  }
  if (h.disk.sub_hdr_size <= 0) throw_bad_field(source, "sub_hdr_size", h.disk.sub_hdr_size);
  if (h.disk.bitmap_blocks == 0) throw_bad_field(source, "bitmap_blocks", 0);

  std::array<uint8_t, sizeof(SubHeader)> raw_sub{};
  read_exact(source, h.block_size, raw_sub, "the kdump-compressed sub header");
  h.sub = *load<SubHeader>(raw_sub);
  drop_unknown_fields(h.sub, h.version());
  place_bitmaps(source, h, problems);
  place_split(source, h);
  return h;
}

}  // namespace kdk::kdump
