#include <algorithm>

#include "core/base/error.h"
#include "loader/image/containers.h"
#include "loader/image/pe.h"

namespace kdk {
namespace {

std::string trimmed(Bytes section) {
  std::string_view text = as_text(section);
  constexpr std::string_view blank(" \t\r\n\0", 5);
  size_t first = text.find_first_not_of(blank);
  if (first == std::string_view::npos) return "";
  return std::string(text.substr(first, text.find_last_not_of(blank) + 1 - first));
}

}  // namespace

std::optional<UnifiedImage> read_unified_image(Bytes file) {
  std::optional<PeHeaders> pe = read_pe_headers(file);
  if (!pe) return std::nullopt;
  // Sections behind a .profile belong to that profile.
  auto end = std::find_if(pe->sections.begin(), pe->sections.end(),
                          [](const PeSection& section) { return section.name == ".profile"; });
  auto find = [&](std::string_view name) -> std::optional<Bytes> {
    auto found = std::find_if(pe->sections.begin(), end,
                              [&](const PeSection& section) { return section.name == name; });
    if (found == end) return std::nullopt;
    // In the file it is padded to whole blocks.
    return file.subspan(found->offset, std::min(found->size, found->memory_size));
  };
  std::optional<Bytes> kernel = find(".linux");
  if (!kernel) return std::nullopt;
  UnifiedImage image;
  image.kernel = *kernel;
  image.initrd = find(".initrd").value_or(Bytes());
  if (std::optional<Bytes> line = find(".cmdline")) image.command_line = trimmed(*line);
  image.release = trimmed(find(".uname").value_or(Bytes()));
  return image;
}

}  // namespace kdk
