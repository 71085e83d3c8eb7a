#include <fmt/format.h>

#include <algorithm>

#include "core/base/error.h"
#include "loader/image/containers.h"
#include "loader/image/image.h"

namespace kdk {
namespace {

// Numbers of an ELF file of either byte order.
class ElfFields {
 public:
  ElfFields(Bytes file, bool big_endian) : file_(file), big_endian_(big_endian) {}

  template <typename T>
  T at(uint64_t offset) const {
    std::optional<FixedEndian<T, std::endian::little>> value =
        load<FixedEndian<T, std::endian::little>>(file_, offset);
    if (!value)
      throw Error(Errc::format, fmt::format("truncated: no ELF header field at offset {:#x}", offset));
    return big_endian_ ? byteswap<T>(*value) : T{*value};
  }

 private:
  Bytes file_;
  bool big_endian_;
};

struct Loaded {
  uint64_t address = 0;  // physical
  Bytes data;
};

// Offsets in Elf64_Ehdr and Elf64_Phdr.
constexpr uint64_t class_at = 4, byte_order_at = 5, machine_at = 18, table_at = 32, entry_size_at = 54,
                   count_at = 56;
constexpr uint64_t file_offset_at = 8, address_at = 24, file_size_at = 32;
constexpr uint8_t class_64 = 2, order_little = 1, order_big = 2;
constexpr uint16_t machine_aarch64 = 183, entry_size = 56;
constexpr uint32_t type_load = 1;

std::vector<Loaded> read_segments(Bytes file, const ElfFields& elf) {
  if (elf.at<uint16_t>(entry_size_at) != entry_size)
    throw Error(Errc::format, fmt::format("program headers of {} bytes", elf.at<uint16_t>(entry_size_at)));
  const uint64_t table = elf.at<uint64_t>(table_at);
  const uint16_t count = elf.at<uint16_t>(count_at);
  if (!in_bounds(file.size(), table, uint64_t{count} * entry_size))
    throw Error(Errc::format, fmt::format("truncated: {} program headers at offset {:#x}", count, table));
  std::vector<Loaded> segments;
  for (uint64_t at = table; at < table + uint64_t{count} * entry_size; at += entry_size) {
    const uint64_t size = elf.at<uint64_t>(at + file_size_at);
    if (elf.at<uint32_t>(at) != type_load || size == 0) continue;
    const uint64_t offset = elf.at<uint64_t>(at + file_offset_at);
    std::optional<Bytes> data = subspan(file, offset, size);
    if (!data) {
      throw Error(
          Errc::format,
          fmt::format("truncated: a segment of {:#x} bytes at offset {:#x}, but the file ends at {:#x}", size,
                      offset, file.size()));
    }
    segments.push_back({elf.at<uint64_t>(at + address_at), *data});
  }
  return segments;
}

}  // namespace

std::optional<std::vector<uint8_t>> flatten_arm64_vmlinux(Bytes file) {
  std::optional<Bytes> magic = subspan(file, 0, 4);
  if (!magic || as_text(*magic) !=
                    "\x7f"
                    "ELF")
    return std::nullopt;
  const uint8_t order = load<uint8_t>(file, byte_order_at).value_or(0);
  if (load<uint8_t>(file, class_at) != class_64 || (order != order_little && order != order_big))
    return std::nullopt;
  const ElfFields elf(file, order == order_big);
  if (elf.at<uint16_t>(machine_at) != machine_aarch64) return std::nullopt;
  std::vector<Loaded> segments = read_segments(file, elf);
  if (segments.empty())
    throw Error(Errc::format, "no segment holds anything: debug information without its kernel");
  std::sort(segments.begin(), segments.end(),
            [](const Loaded& a, const Loaded& b) { return a.address < b.address; });
  const uint64_t base = segments.front().address;
  std::vector<uint8_t> image;
  for (const Loaded& segment : segments) {
    const uint64_t at = segment.address - base;
    if (at < image.size())
      throw Error(Errc::format, fmt::format("segments overlap at address {:#x}", segment.address));
    if (!in_bounds(max_image_bytes, at, segment.data.size())) {
      throw Error(Errc::format,
                  fmt::format("its segments reach from {:#x} to {:#x}, further than a kernel does", base,
                              segment.address));
    }
    image.resize(at);
    image.insert(image.end(), segment.data.begin(), segment.data.end());
  }
  return image;
}

}  // namespace kdk
