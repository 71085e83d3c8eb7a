// Dump files put together byte by byte, for tests of the readers. Field offsets are written as numbers, on
// purpose not through core/formats/kdump_format.h: one mistake must not hide the other.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/formats/codec.h"
#include "core/formats/dump.h"

namespace kdk::test {

constexpr uint32_t raw_page = 4096;

// A page that no other page frame has: half of it compresses, half does not.
std::vector<uint8_t> pattern_page(uint64_t pfn, uint32_t size = raw_page);

// Noise, the same for the same seed.
std::vector<uint8_t> random_bytes(size_t size, unsigned seed = 1);

void put(std::vector<uint8_t>& out, uint64_t offset, Bytes bytes);  // grows `out`
void put_u32(std::vector<uint8_t>& out, uint64_t offset, uint32_t value);
void put_u64(std::vector<uint8_t>& out, uint64_t offset, uint64_t value);
void put_u64_big_endian(std::vector<uint8_t>& out, uint64_t offset, uint64_t value);

// One CORE/NT_PRSTATUS note and a VMCOREINFO note with `text`.
std::vector<uint8_t> raw_notes(std::string_view text = "OSRELEASE=6.12.0-test\nPAGESIZE=4096\n");

struct RawSegment {
  uint64_t paddr = 0;
  std::vector<uint8_t> data;
  uint64_t memory_size = 0;  // 0: the size of `data`
};

struct RawElf {
  std::vector<RawSegment> segments;
  std::vector<uint8_t> notes = raw_notes();
  uint32_t flags = 0;
  bool count_in_section_header = false;  // PN_XNUM
};
std::vector<uint8_t> build(const RawElf& elf);

// Page frames [first, first+count) as one segment with their patterns.
RawSegment pattern_segment(uint64_t first, uint64_t count);

struct RawKdump {
  int version = 6;
  uint32_t status = 0;
  std::string machine = "aarch64";
  uint64_t end_pfn = 0;
  std::vector<PfnRange> ram;
  std::map<uint64_t, Codec> dumped;  // page frame -> how its pattern is stored
  bool two_bitmaps = true;
  std::optional<PfnRange> split;
  std::vector<uint8_t> notes = raw_notes();
  std::optional<std::string> vmcoreinfo_outside_notes;  // version 3: text on its own
};
std::vector<uint8_t> build(const RawKdump& kdump);
// Offsets inside what build() makes.
uint64_t descriptor_table(const RawKdump& kdump);

struct RawRecord {
  uint64_t offset = 0;
  std::vector<uint8_t> bytes;
};
std::vector<uint8_t> build_flattened(const std::vector<RawRecord>& records, bool end_mark = true);
// `file` cut into records of `record_size` bytes, in a shuffled order.
std::vector<uint8_t> flatten(Bytes file, size_t record_size);

std::unique_ptr<Dump> open_bytes(std::vector<uint8_t> bytes, const OpenOptions& options = {});
// "present" plus whether the bytes are pattern_page(pfn): what most tests want to know.
bool has_pattern(const Dump& dump, uint64_t pfn);
// The message of the Error that `body` throws; fails the test when it throws none.
std::string error_of(const std::function<void()>& body);

}  // namespace kdk::test
