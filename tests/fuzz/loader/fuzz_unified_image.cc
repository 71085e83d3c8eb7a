// Unified kernel images: sections inside the file, text that can go on a command line, the same contents by
// both readers; or an Error.
#include <algorithm>
#include <cstdlib>

#include "core/base/error.h"
#include "loader/image/containers.h"
#include "loader/image/layers.h"

namespace {

void require_inside(kdk::Bytes part, kdk::Bytes file) {
  if (part.empty()) return;
  if (part.data() < file.data() || part.data() + part.size() > file.data() + file.size()) std::abort();
}

void require_text(const std::string& text) {
  if (text.empty()) return;
  if (text.front() == ' ' || text.back() == ' ') std::abort();
  if (std::any_of(text.begin(), text.end(), [](unsigned char c) { return c < ' ' || c == 0x7f; }))
    std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace kdk;
  const Bytes file(data, size);
  try {
    std::optional<UnifiedImage> image = read_unified_image(file);
    if (!image) return 0;
    require_inside(image->kernel, file);
    require_inside(image->initrd, file);
    require_text(image->command_line);
    require_text(image->release);
    const UnifiedExtras extras = read_unified_extras(file);
    if (extras.command_line != image->command_line || !std::ranges::equal(extras.initrd, image->initrd))
      std::abort();
  } catch (const Error&) {
  }
  return 0;
}
