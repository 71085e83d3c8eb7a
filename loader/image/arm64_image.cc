// The arm64 "Image" format: a 64-byte little-endian header, which doubles as a PE/COFF header when the kernel
// has an EFI stub.
#include <fmt/format.h>

#include "core/base/error.h"
#include "loader/image/image.h"
#include "loader/image/layers.h"
#include "loader/image/pe.h"

namespace kdk {
namespace {

struct Arm64Header {
  ul32 code0;
  ul32 code1;
  ul64 text_offset;
  ul64 image_size;
  ul64 flags;
  std::array<ul64, 3> reserved;
  ul32 magic;
  ul32 pe_offset;
};
static_assert(sizeof(Arm64Header) == 64);

constexpr uint32_t arm64_magic = 0x644d5241;  // "ARM\x64"
constexpr uint64_t flag_big_endian = 1;
constexpr uint64_t max_text_offset = uint64_t{2} << 20;

}  // namespace

KernelImage load_arm64_image(std::vector<uint8_t> file) {
  UnpackedKernel unpacked = unpack_kernel(std::move(file));
  KernelImage image;
  image.info.format = "Image";
  image.info.compression = std::move(unpacked.packing);
  image.bytes = std::move(unpacked.kernel.bytes);
  std::optional<Arm64Header> header = load<Arm64Header>(image.bytes);
  if (!header || header->magic != arm64_magic) {
    std::string_view other = name_kernel_format(image.bytes);
    if (!other.empty()) throw Error(Errc::unsupported, fmt::format("this is {}", other));
    throw Error(Errc::format, "not an arm64 kernel image: no \"ARM\\x64\" at offset 56");
  }
  if (header->flags & flag_big_endian) {
    // CPUs can do it, and kexec_file_load takes such an image; but fs/proc/vmcore.c reads the program headers
    // and the notes of the crashed kernel in its own byte order.
    throw Error(Errc::unsupported,
                "the kernel is big-endian: it could not read the program headers and crash notes that this "
                "little-endian kernel leaves for it, and would have no /proc/vmcore")
        .with_hint("use a little-endian kernel as the crash kernel");
  }
  if (header->image_size == 0) {
    throw Error(Errc::unsupported, "the header gives no image size (a kernel older than 3.17)");
  }
  image.info.signature_size = pe_signature_size(image.bytes);
  if (image.bytes.size() > header->image_size) {
    throw Error(Errc::format,
                fmt::format("the file has {:#x} bytes, but its header asks for only {:#x} bytes of memory",
                            image.bytes.size(), +header->image_size));
  }
  if (header->image_size > max_image_bytes || header->text_offset >= max_text_offset) {
    throw Error(Errc::format, fmt::format("image size {:#x} or text offset {:#x} is not plausible",
                                          +header->image_size, +header->text_offset));
  }
  image.info.text_offset = header->text_offset;
  image.info.image_size = header->image_size;
  image.info.running_size = header->image_size;
  // Bits 1-2: 0 unspecified, 1 = 4 KiB, 2 = 16 KiB, 3 = 64 KiB.
  unsigned code = (header->flags >> 1) & 3;
  image.info.page_size = code == 0 ? 0 : uint64_t{1024} << (2 * code);
  return image;
}

}  // namespace kdk
