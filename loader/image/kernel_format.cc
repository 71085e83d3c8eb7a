// The names of kernel files people pass by mistake.
#include "loader/image/decompress.h"
#include "loader/image/image.h"

namespace kdk {

std::string_view name_kernel_format(Bytes file) {
  std::string_view text = as_text(file);
  auto has = [&](size_t offset, std::string_view magic) {
    return text.size() >= offset + magic.size() && text.substr(offset, magic.size()) == magic;
  };
  if (has(0,
          "\x7f"
          "ELF"))
    return "an ELF file (vmlinux); the boot image is /boot/vmlinuz-*";
  if (has(0x202, "HdrS")) return "an x86 bzImage";
  if (has(56, "ARM\x64")) return "an arm64 Image";
  if (has(0, "MZ")) return "a PE file without a kernel in it";
  return detect_pack_format(file) == PackFormat::none ? "" : "packed data";
}

}  // namespace kdk
