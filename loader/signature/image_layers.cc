#include "loader/signature/image_layers.h"

#include <fmt/format.h>

#include "loader/image/decompress.h"
#include "loader/image/pe.h"

namespace kdk {
namespace {

constexpr uint64_t max_unpacked = uint64_t{1} << 30;
constexpr size_t max_layers = 4;  // unified image, zboot inside, compressed

constexpr ImageKind arm64_image = {"Image", "CONFIG_ARM64", "CONFIG_KEXEC_IMAGE_VERIFY_SIG"};
constexpr ImageKind x86_bzimage = {"bzImage", "CONFIG_X86_64", "CONFIG_KEXEC_BZIMAGE_VERIFY_SIG"};

bool has_magic(Bytes file, uint64_t offset, std::string_view magic) {
  std::optional<Bytes> bytes = subspan(file, offset, magic.size());
  return bytes && as_text(*bytes) == magic;
}

struct ZbootHeader {
  std::array<uint8_t, 8> magic;  // "MZ\0\0zimg"
  ul32 payload_offset;
  ul32 payload_size;
  std::array<uint8_t, 8> reserved;
  std::array<char, 32> compression;  // "gzip", "zstd22"
};
static_assert(sizeof(ZbootHeader) == 56);

// The packed kernel in a zboot image.
Bytes zboot_payload(Bytes file) {
  std::optional<ZbootHeader> header = load<ZbootHeader>(file);
  std::optional<Bytes> payload =
      header ? subspan(file, header->payload_offset, header->payload_size) : std::nullopt;
  if (!payload) throw Error(Errc::format, "truncated: the payload reaches behind the end of the file");
  return *payload;
}

std::optional<Bytes> find_section(Bytes file, std::string_view name) {
  std::optional<PeHeaders> pe = read_pe_headers(file);
  if (!pe) return std::nullopt;
  for (const PeSection& section : pe->sections) {
    if (section.name == name) return file.subspan(section.offset, section.size);
  }
  return std::nullopt;
}

void recognise(ImageLayer& layer) {
  Bytes file = layer.bytes;
  PackFormat packed = detect_pack_format(file);
  if (has_magic(file, 0, "MZ") && has_magic(file, 4, "zimg")) {
    layer.format = "EFI zboot";
  } else if (has_magic(file, 56, "ARM\x64")) {
    layer.format = arm64_image.name;
    layer.kind = &arm64_image;
    constexpr uint64_t flags_at = 24;
    layer.big_endian = (*load<ul64>(file, flags_at) & 1) != 0;
  } else if (has_magic(file, 0x202, "HdrS")) {
    layer.format = x86_bzimage.name;
    layer.kind = &x86_bzimage;
  } else if (has_magic(file, 0,
                       "\x7f"
                       "ELF")) {
    layer.format = "ELF (vmlinux)";
  } else if (has_magic(file, 0, "MZ")) {
    layer.format = find_section(file, ".linux") ? "unified kernel image" : "PE program";
  } else if (packed != PackFormat::none) {
    layer.format = fmt::format("{} data", to_string(packed));
  }
}

// What is packed in `layer`; nullopt when it is a kernel by itself.
std::optional<std::vector<uint8_t>> unpack(const ImageLayer& layer) {
  if (layer.kind != nullptr || layer.format == "ELF (vmlinux)" || layer.format == "PE program")
    return std::nullopt;
  if (layer.format == "unified kernel image") {
    Bytes section = *find_section(layer.bytes, ".linux");
    return std::vector<uint8_t>(section.begin(), section.end());
  }
  Bytes packed = layer.format == "EFI zboot" ? zboot_payload(layer.bytes) : Bytes(layer.bytes);
  return unpack_all(packed, detect_pack_format(packed), max_unpacked);
}

}  // namespace

ImageLayers open_image_layers(std::vector<uint8_t> file) {
  ImageLayers out;
  std::optional<std::vector<uint8_t>> next = std::move(file);
  while (next) {
    ImageLayer layer;
    layer.bytes = std::move(*next);
    next.reset();
    try {
      recognise(layer);
      if (layer.format.empty()) throw Error(Errc::format, "not a kernel image of any known kind");
      if (out.layers.size() + 1 < max_layers) next = unpack(layer);
    } catch (const Error& e) {
      if (out.layers.empty() && layer.format.empty()) throw;
      out.problem = e.message();
    }
    if (!layer.format.empty()) out.layers.push_back(std::move(layer));
  }
  if (out.problem.empty() && out.layers.back().format.ends_with(" data"))
    out.problem = "packed too many times";
  return out;
}

}  // namespace kdk
