#include "loader/signature/image_kind.h"

namespace kdk {

const ImageKind* find_image_kind(ImageFormat format) {
  static constexpr ImageKind arm64_image = {"Image", "CONFIG_ARM64", "CONFIG_KEXEC_IMAGE_VERIFY_SIG"};
  static constexpr ImageKind x86_bzimage = {"bzImage", "CONFIG_X86_64", "CONFIG_KEXEC_BZIMAGE_VERIFY_SIG"};
  if (format == ImageFormat::arm64_image) return &arm64_image;
  return format == ImageFormat::bzimage ? &x86_bzimage : nullptr;
}

}  // namespace kdk
