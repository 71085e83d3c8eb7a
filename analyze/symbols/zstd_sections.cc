#include "analyze/symbols/zstd_sections.h"

#include <elf.h>
#include <fmt/format.h>

#include <algorithm>

#include "core/formats/unpack_module.h"

#ifndef ELFCOMPRESS_ZSTD
#define ELFCOMPRESS_ZSTD 2
#endif

namespace kdk {
namespace {

// Elf64_Shdr and Elf64_Chdr, at alignment 1.
struct SectionHeader {
  ul32 name, type;
  ul64 flags, address, offset, size;
  ul32 link, info;
  ul64 alignment, entry_size;
};
struct CompressionHeader {
  ul32 type, reserved;
  ul64 size, alignment;
};
static_assert(sizeof(SectionHeader) == sizeof(Elf64_Shdr) && sizeof(CompressionHeader) == sizeof(Elf64_Chdr));

constexpr uint64_t shoff_at = 40, shnum_at = 60;  // in Elf64_Ehdr

}  // namespace

std::optional<std::vector<uint8_t>> with_zstd_sections_unpacked(Bytes file, uint64_t limit) {
  const std::optional<ul64> table = load<ul64>(file, shoff_at);
  const std::optional<ul16> count = load<ul16>(file, shnum_at);
  if (!table || !count || file[EI_CLASS] != ELFCLASS64 || file[EI_DATA] != ELFDATA2LSB) return std::nullopt;
  std::optional<std::vector<uint8_t>> image;
  for (uint64_t i = 0; i < *count; ++i) {
    const uint64_t at = *table + i * sizeof(SectionHeader);
    std::optional<SectionHeader> header = load<SectionHeader>(file, at);
    if (!header || (header->flags & SHF_COMPRESSED) == 0) continue;
    const std::optional<Bytes> content = subspan(file, header->offset, header->size);
    const std::optional<CompressionHeader> packed =
        content ? load<CompressionHeader>(*content) : std::nullopt;
    if (!packed || packed->type != ELFCOMPRESS_ZSTD) continue;
    if (!image) image.emplace(file.begin(), file.end());
    if (packed->size > limit || image->size() > limit - packed->size) {
      throw Error(Errc::unsupported, fmt::format("its debug sections unpack to more than {} bytes", limit));
    }
    const std::vector<uint8_t> plain =
        unpack_zstd(content->subspan(sizeof(CompressionHeader)), fmt::format("section {}", i), packed->size);
    if (plain.size() != packed->size) {
      throw Error(Errc::format, fmt::format("section {} unpacks to {} bytes instead of {}", i, plain.size(),
                                            uint64_t{packed->size}));
    }
    image->resize(align_up(image->size(), 16));
    header->flags = header->flags & ~uint64_t{SHF_COMPRESSED};
    header->offset = image->size();
    header->size = plain.size();
    header->alignment = packed->alignment;
    image->insert(image->end(), plain.begin(), plain.end());
    store(MutableBytes(*image), at, *header);
  }
  return image;
}

}  // namespace kdk
