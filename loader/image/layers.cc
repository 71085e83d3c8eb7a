#include "loader/image/layers.h"

#include <fmt/format.h>

#include <algorithm>

#include "loader/image/containers.h"
#include "loader/image/image.h"
#include "loader/image/pe.h"

namespace kdk {
namespace {

constexpr size_t max_layers = 5;  // packed, unified image, zboot or packed, vmlinux, Image

bool has_magic(Bytes file, uint64_t offset, std::string_view magic) {
  std::optional<Bytes> bytes = subspan(file, offset, magic.size());
  return bytes && as_text(*bytes) == magic;
}

std::vector<uint8_t> copy_of(Bytes bytes) {
  return {bytes.begin(), bytes.end()};
}

std::vector<uint8_t> unpack(Bytes packed, PackFormat format) {
  std::vector<uint8_t> out = unpack_all(packed, format, max_image_bytes);
  if (out.empty()) throw Error(Errc::format, "nothing is packed in it");
  return out;
}

// Linux pads the Image that it packs to the memory it needs. Behind a signature that padding is not part of
// the image: nothing may follow the certificate table.
void cut_padding(std::vector<uint8_t>& image) {
  std::optional<PeHeaders> pe = read_pe_headers(image);
  if (!pe || pe->table_size == 0) return;
  auto end = image.begin() + static_cast<ptrdiff_t>(pe->table_offset + pe->table_size);
  if (std::all_of(end, image.end(), [](uint8_t byte) { return byte == 0; })) image.erase(end, image.end());
}

// Says what `layer` is, and returns what is inside; nullopt when it is a kernel by itself.
std::optional<std::vector<uint8_t>> open(ImageLayer& layer) {
  const Bytes file = layer.bytes;
  // An Image and a bzImage are PE files too, and so is a zboot image: the order matters.
  if (has_magic(file, 56, "ARM\x64")) {
    layer.format = ImageFormat::arm64_image;
    constexpr uint64_t flags_at = 24;
    layer.big_endian = (*load<ul64>(file, flags_at) & 1) != 0;
    return std::nullopt;
  }
  if (has_magic(file, 0x202, "HdrS")) {
    layer.format = ImageFormat::bzimage;
    return std::nullopt;
  }
  if (has_magic(file, 0,
                "\x7f"
                "ELF")) {
    layer.format = ImageFormat::vmlinux;
    return flatten_arm64_vmlinux(file);
  }
  if (is_zboot_image(file)) {
    layer.format = ImageFormat::zboot;
    const ZbootImage zboot = read_zboot_image(file);
    layer.packing = zboot.format;
    std::vector<uint8_t> image = unpack(zboot.payload, zboot.format);
    cut_padding(image);
    return image;
  }
  if (has_magic(file, 0, "MZ")) {
    layer.format = ImageFormat::pe_program;
    std::optional<UnifiedImage> unified = read_unified_image(file);
    if (!unified) return std::nullopt;
    layer.format = ImageFormat::unified;
    return copy_of(unified->kernel);
  }
  layer.packing = detect_pack_format(file);
  if (layer.packing == PackFormat::none) return std::nullopt;
  layer.format = ImageFormat::packed;
  return unpack(file, layer.packing);
}

std::string packing_of(const ImageLayer& layer) {
  if (layer.format == ImageFormat::packed) return std::string(to_string(layer.packing));
  if (layer.format == ImageFormat::zboot && layer.packing != PackFormat::none)
    return fmt::format("{} ({})", layer.name(), to_string(layer.packing));
  return layer.name();
}

}  // namespace

std::string ImageLayer::name() const {
  switch (format) {
    case ImageFormat::arm64_image:
      return "Image";
    case ImageFormat::bzimage:
      return "bzImage";
    case ImageFormat::vmlinux:
      return "ELF (vmlinux)";
    case ImageFormat::zboot:
      return "EFI zboot";
    case ImageFormat::unified:
      return "unified kernel image";
    case ImageFormat::pe_program:
      return "PE program";
    case ImageFormat::packed:
      return fmt::format("{} data", to_string(packing));
    case ImageFormat::unknown:
      break;
  }
  return "unknown data";
}

std::string ImageLayers::packing() const {
  if (layers.size() == 1) return "none";
  std::string text;
  for (size_t i = 0; i + 1 < layers.size(); ++i) {
    text += (i == 0 ? "" : ", ") + packing_of(layers[i]);
  }
  return text;
}

ImageLayers open_image_layers(std::vector<uint8_t> file) {
  ImageLayers out;
  std::optional<std::vector<uint8_t>> next = std::move(file);
  while (next) {
    ImageLayer layer;
    layer.bytes = std::move(*next);
    next.reset();
    try {
      next = open(layer);
      if (layer.format == ImageFormat::unknown)
        throw Error(Errc::format, "not a kernel image of any known kind");
      if (next && out.layers.size() + 1 == max_layers) {
        next.reset();
        throw Error(Errc::unsupported, "packed too many times");
      }
    } catch (const Error& e) {
      out.problem = e;
    }
    out.layers.push_back(std::move(layer));
  }
  return out;
}

UnifiedExtras read_unified_extras(Bytes file) {
  std::vector<uint8_t> unpacked;  // what `file` is a view of, once it was packed
  for (size_t depth = 0; depth < max_layers; ++depth) {
    if (std::optional<UnifiedImage> unified = read_unified_image(file))
      return {copy_of(unified->initrd), std::move(unified->command_line)};
    const PackFormat format = detect_pack_format(file);
    if (format == PackFormat::none) break;
    unpacked = unpack(file, format);
    file = unpacked;
  }
  throw Error(Errc::unsupported, "not a unified kernel image: a PE program with a section .linux");
}

UnpackedKernel unpack_kernel(std::vector<uint8_t> file) {
  ImageLayers opened = open_image_layers(std::move(file));
  if (opened.problem) {
    Error problem = *opened.problem;
    for (size_t i = opened.layers.size(); i-- > 0;) {
      if (opened.layers[i].format != ImageFormat::unknown) problem.add_context(packing_of(opened.layers[i]));
    }
    throw problem;
  }
  std::string packing = opened.packing();
  return {std::move(opened.layers.back()), std::move(packing)};
}

}  // namespace kdk
