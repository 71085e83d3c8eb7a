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

// What a PT_LOAD says.
struct LoadHeader {
  uint64_t address = 0;  // physical
  uint64_t offset = 0;   // of its data in the file
  uint64_t file_size = 0;
  uint64_t memory_size = 0;
};

// Offsets in Elf64_Ehdr and Elf64_Phdr.
constexpr uint64_t class_at = 4, byte_order_at = 5, machine_at = 18, table_at = 32, entry_size_at = 54,
                   count_at = 56;
constexpr uint64_t file_offset_at = 8, address_at = 24, file_size_at = 32, memory_size_at = 40;
constexpr uint8_t class_64 = 2, order_little = 1, order_big = 2;
constexpr uint16_t machine_aarch64 = 183, entry_size = 56;
constexpr uint32_t type_load = 1;

// nullopt when the file is no 64-bit ELF file.
std::optional<ElfFields> open_elf(Bytes file) {
  std::optional<Bytes> magic = subspan(file, 0, 4);
  if (!magic || as_text(*magic) !=
                    "\x7f"
                    "ELF")
    return std::nullopt;
  const uint8_t order = load<uint8_t>(file, byte_order_at).value_or(0);
  if (load<uint8_t>(file, class_at) != class_64 || (order != order_little && order != order_big))
    return std::nullopt;
  return ElfFields(file, order == order_big);
}

std::vector<LoadHeader> read_load_headers(Bytes file, const ElfFields& elf) {
  if (elf.at<uint16_t>(entry_size_at) != entry_size)
    throw Error(Errc::format, fmt::format("program headers of {} bytes", elf.at<uint16_t>(entry_size_at)));
  const uint64_t table = elf.at<uint64_t>(table_at);
  const uint16_t count = elf.at<uint16_t>(count_at);
  if (!in_bounds(file.size(), table, uint64_t{count} * entry_size))
    throw Error(Errc::format, fmt::format("truncated: {} program headers at offset {:#x}", count, table));
  std::vector<LoadHeader> headers;
  for (uint64_t at = table; at < table + uint64_t{count} * entry_size; at += entry_size) {
    if (elf.at<uint32_t>(at) != type_load) continue;
    headers.push_back({elf.at<uint64_t>(at + address_at), elf.at<uint64_t>(at + file_offset_at),
                       elf.at<uint64_t>(at + file_size_at), elf.at<uint64_t>(at + memory_size_at)});
  }
  std::sort(headers.begin(), headers.end(),
            [](const LoadHeader& a, const LoadHeader& b) { return a.address < b.address; });
  return headers;
}

}  // namespace

std::optional<std::vector<uint8_t>> flatten_arm64_vmlinux(Bytes file) {
  std::optional<ElfFields> elf = open_elf(file);
  if (!elf || elf->at<uint16_t>(machine_at) != machine_aarch64) return std::nullopt;
  std::vector<LoadHeader> headers = read_load_headers(file, *elf);
  std::erase_if(headers, [](const LoadHeader& header) { return header.file_size == 0; });
  if (headers.empty())
    throw Error(Errc::format, "no segment holds anything: debug information without its kernel");
  const uint64_t base = headers.front().address;
  std::vector<uint8_t> image;
  for (const LoadHeader& header : headers) {
    std::optional<Bytes> data = subspan(file, header.offset, header.file_size);
    if (!data) {
      throw Error(
          Errc::format,
          fmt::format("truncated: a segment of {:#x} bytes at offset {:#x}, but the file ends at {:#x}",
                      header.file_size, header.offset, file.size()));
    }
    const uint64_t at = header.address - base;
    if (at < image.size())
      throw Error(Errc::format, fmt::format("segments overlap at address {:#x}", header.address));
    if (!in_bounds(max_image_bytes, at, data->size())) {
      throw Error(Errc::format,
                  fmt::format("its segments reach from {:#x} to {:#x}, further than a kernel does", base,
                              header.address));
    }
    image.resize(at);
    image.insert(image.end(), data->begin(), data->end());
  }
  return image;
}

std::optional<uint64_t> elf_memory_span(Bytes start) {
  std::optional<ElfFields> elf = open_elf(start);
  if (!elf) return std::nullopt;
  const std::vector<LoadHeader> headers = read_load_headers(start, *elf);
  uint64_t span = 0;
  for (const LoadHeader& header : headers) {
    const uint64_t at = header.address - headers.front().address;
    if (!in_bounds(max_image_bytes, at, header.memory_size)) {
      throw Error(Errc::format,
                  fmt::format("a segment of {:#x} bytes at address {:#x}: further than a kernel "
                              "from the first one at {:#x}",
                              header.memory_size, header.address, headers.front().address));
    }
    span = std::max(span, at + header.memory_size);
  }
  return span != 0 ? std::optional(span) : std::nullopt;
}

}  // namespace kdk
