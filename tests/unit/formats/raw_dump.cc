#include "tests/unit/formats/raw_dump.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>

#include "core/base/error.h"
#include "core/formats/notes.h"

namespace kdk::test {
namespace {

template <typename T>
void put_number(std::vector<uint8_t>& out, uint64_t offset, T value) {
  std::array<uint8_t, sizeof(T)> bytes = std::bit_cast<std::array<uint8_t, sizeof(T)>>(value);
  put(out, offset, bytes);
}

uint64_t round_up(uint64_t v, uint64_t unit) {
  return (v + unit - 1) / unit * unit;
}

// Where the parts of a RawKdump lie.
struct KdumpPlaces {
  uint64_t sub_blocks, bitmap_blocks_each, bitmaps, descriptors;
};

KdumpPlaces places(const RawKdump& k) {
  uint64_t extra = k.notes.size() + (k.vmcoreinfo_outside_notes ? k.vmcoreinfo_outside_notes->size() : 0);
  KdumpPlaces p{};
  p.sub_blocks = round_up(104 + extra, raw_page) / raw_page;
  p.bitmap_blocks_each = round_up(round_up(k.end_pfn, 8) / 8, raw_page) / raw_page;
  p.bitmaps = (1 + p.sub_blocks) * raw_page;
  p.descriptors = p.bitmaps + p.bitmap_blocks_each * (k.two_bitmaps ? 2 : 1) * raw_page;
  return p;
}

}  // namespace

std::vector<uint8_t> random_bytes(size_t size, unsigned seed) {
  std::vector<uint8_t> bytes(size);
  std::mt19937 random(seed);
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
  return bytes;
}

std::vector<uint8_t> pattern_page(uint64_t pfn, uint32_t size) {
  std::vector<uint8_t> page(size, static_cast<uint8_t>(pfn));
  std::mt19937_64 random(pfn);
  for (size_t i = 0; i < size / 2; i += 8) put_u64(page, i, random());
  return page;
}

void put(std::vector<uint8_t>& out, uint64_t offset, Bytes bytes) {
  if (out.size() < offset + bytes.size()) out.resize(offset + bytes.size());
  std::copy(bytes.begin(), bytes.end(), out.begin() + static_cast<std::ptrdiff_t>(offset));
}
void put_u32(std::vector<uint8_t>& out, uint64_t offset, uint32_t value) {
  put_number(out, offset, value);
}
void put_u64(std::vector<uint8_t>& out, uint64_t offset, uint64_t value) {
  put_number(out, offset, value);
}
void put_u64_big_endian(std::vector<uint8_t>& out, uint64_t offset, uint64_t value) {
  put_number(out, offset, byteswap(value));
}

std::vector<uint8_t> raw_notes(std::string_view text) {
  std::vector<uint8_t> notes;
  append_note(notes, "CORE", nt_prstatus, std::vector<uint8_t>(392, 7));
  append_note(notes, "VMCOREINFO", 0, as_bytes(text));
  return notes;
}

std::vector<uint8_t> build(const RawElf& elf) {
  std::vector<uint8_t> out{0x7f, 'E', 'L', 'F', 2, 1, 1};
  uint64_t count = elf.segments.size() + 1, headers = 64, section = headers + count * 56;
  out.resize(64);
  out[16] = 4;    // ET_CORE
  out[18] = 183;  // EM_AARCH64
  put_u32(out, 20, 1);
  put_u64(out, 32, headers);
  put_u32(out, 48, elf.flags);
  out[52] = 64;
  out[54] = 56;
  if (elf.count_in_section_header) {
    put_u64(out, 40, section);
    out[56] = out[57] = 0xff;  // PN_XNUM
    out[58] = 64;
    out[60] = 1;
    put_u32(out, section + 44, static_cast<uint32_t>(count));  // sh_info
    out.resize(section + 64);
  } else {
    put(out, 56, std::vector<uint8_t>{static_cast<uint8_t>(count), static_cast<uint8_t>(count >> 8)});
  }
  uint64_t at = round_up(std::max<uint64_t>(out.size(), section), 16);
  auto segment = [&](size_t index, uint32_t type, uint64_t paddr, const std::vector<uint8_t>& data,
                     uint64_t memory) {
    uint64_t header = headers + index * 56;
    put_u32(out, header, type);
    put_u64(out, header + 8, at);
    put_u64(out, header + 24, paddr);
    put_u64(out, header + 32, data.size());
    put_u64(out, header + 40, memory);
    put_u64(out, header + 48, 0);
    put(out, at, data);
    at += data.size();
  };
  segment(0, 4, 0, elf.notes, elf.notes.size());
  for (size_t i = 0; i < elf.segments.size(); ++i) {
    const RawSegment& s = elf.segments[i];
    segment(i + 1, 1, s.paddr, s.data, s.memory_size != 0 ? s.memory_size : s.data.size());
  }
  return out;
}

RawSegment pattern_segment(uint64_t first, uint64_t count) {
  RawSegment segment{first * raw_page, {}, 0};
  for (uint64_t i = 0; i < count; ++i) put(segment.data, i * raw_page, pattern_page(first + i));
  return segment;
}

uint64_t descriptor_table(const RawKdump& kdump) {
  return places(kdump).descriptors;
}

std::vector<uint8_t> build(const RawKdump& k) {
  KdumpPlaces p = places(k);
  std::vector<uint8_t> out(p.descriptors);
  put(out, 0, as_bytes("KDUMP   "));
  put_u32(out, 8, static_cast<uint32_t>(k.version));
  put(out, 12, as_bytes("Linux"));
  put(out, 12 + 65, as_bytes("testhost"));
  put(out, 12 + 2 * 65, as_bytes("6.12.0-test"));
  put(out, 12 + 3 * 65, as_bytes("#1 SMP"));
  put(out, 12 + 4 * 65, as_bytes(k.machine));
  put_u32(out, 424, k.status);
  put_u32(out, 428, raw_page);
  put_u32(out, 432, static_cast<uint32_t>(p.sub_blocks));
  put_u32(out, 436, static_cast<uint32_t>(p.bitmap_blocks_each * (k.two_bitmaps ? 2 : 1)));
  put_u32(out, 440, static_cast<uint32_t>(k.end_pfn));
  put_u32(out, 460, 1);

  constexpr uint64_t sub = raw_page;
  if (k.version >= 1) put_u32(out, sub + 8, 31);
  if (k.version >= 2 && k.split) {
    put_u32(out, sub + 12, 1);
    put_u64(out, sub + 16, k.split->begin.value);
    put_u64(out, sub + 24, k.split->end.value);
  }
  uint64_t behind = sub + 104;
  if (k.version >= 4) {
    put_u64(out, sub + 48, behind);
    put_u64(out, sub + 56, k.notes.size());
    put(out, behind, k.notes);
    behind += k.notes.size();
  }
  if (k.version >= 3 && k.vmcoreinfo_outside_notes) {
    put_u64(out, sub + 32, behind);
    put_u64(out, sub + 40, k.vmcoreinfo_outside_notes->size());
    put(out, behind, as_bytes(*k.vmcoreinfo_outside_notes));
  }
  if (k.version >= 6) {
    if (k.split) {
      put_u64(out, sub + 80, k.split->begin.value);
      put_u64(out, sub + 88, k.split->end.value);
    }
    put_u64(out, sub + 96, k.end_pfn);
  }

  uint64_t second = p.bitmaps + (k.two_bitmaps ? p.bitmap_blocks_each * raw_page : 0);
  auto set = [&](uint64_t bitmap, uint64_t pfn) {
    out[bitmap + pfn / 8] |= static_cast<uint8_t>(1 << (pfn % 8));
  };
  if (k.two_bitmaps) {
    for (const PfnRange& range : k.ram) {
      for (uint64_t pfn = range.begin.value; pfn < range.end.value; ++pfn) set(p.bitmaps, pfn);
    }
  }
  std::vector<uint64_t> here;  // pages whose descriptors are in this file
  for (const auto& [pfn, codec] : k.dumped) {
    set(second, pfn);
    if (!k.split || k.split->contains(Pfn{pfn})) here.push_back(pfn);
  }
  uint64_t data = p.descriptors + here.size() * 24;
  for (size_t i = 0; i < here.size(); ++i) {
    Codec codec = k.dumped.at(here[i]);
    std::vector<uint8_t> page = pattern_page(here[i]);
    std::unique_ptr<Compressor> compressor = make_compressor(codec, 0, raw_page);
    std::vector<uint8_t> stored(compressor->max_size());
    size_t size = compressor->compress(page, stored);
    EXPECT_EQ(size == 0, codec == Codec::none);
    stored.resize(size);
    if (size == 0) stored = page;
    put_u64(out, p.descriptors + i * 24, data);
    put_u32(out, p.descriptors + i * 24 + 8, static_cast<uint32_t>(stored.size()));
    put_u32(out, p.descriptors + i * 24 + 12, codec_flag(codec));
    put_u64(out, p.descriptors + i * 24 + 16, 0);
    put(out, data, stored);
    data += stored.size();
  }
  return out;
}

std::vector<uint8_t> build_flattened(const std::vector<RawRecord>& records, bool end_mark) {
  std::vector<uint8_t> out(4096);
  put(out, 0, as_bytes("makedumpfile"));
  put_u64_big_endian(out, 16, 1);
  put_u64_big_endian(out, 24, 1);
  auto record = [&](uint64_t offset, uint64_t size, Bytes bytes) {
    put_u64_big_endian(out, out.size(), offset);
    put_u64_big_endian(out, out.size(), size);
    put(out, out.size(), bytes);
  };
  for (const RawRecord& r : records) record(r.offset, r.bytes.size(), r.bytes);
  if (end_mark) record(~uint64_t{0}, ~uint64_t{0}, {});
  return out;
}

std::vector<uint8_t> flatten(Bytes file, size_t record_size) {
  std::vector<RawRecord> records;
  for (size_t at = 0; at < file.size(); at += record_size) {
    Bytes part = file.subspan(at, std::min(record_size, file.size() - at));
    records.push_back({at, {part.begin(), part.end()}});
  }
  std::shuffle(records.begin(), records.end(), std::mt19937_64(1));
  return build_flattened(records);
}

std::unique_ptr<Dump> open_bytes(std::vector<uint8_t> bytes, const OpenOptions& options) {
  return open_dump(memory_source(std::move(bytes), "test-dump"), options);
}

bool has_pattern(const Dump& dump, uint64_t pfn) {
  std::unique_ptr<PageReader> reader = dump.reader();
  PageView page = reader->page(Pfn{pfn});
  std::vector<uint8_t> expected = pattern_page(pfn, dump.info().page_size);
  return dump.state(Pfn{pfn}) == PageState::present && page.state == PageState::present &&
         std::equal(page.bytes.begin(), page.bytes.end(), expected.begin(), expected.end());
}

std::string error_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& e) {
    return e.message();
  }
  ADD_FAILURE() << "no Error was thrown";
  return {};
}

}  // namespace kdk::test
