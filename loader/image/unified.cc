#include <algorithm>

#include "core/base/error.h"
#include "loader/image/containers.h"
#include "loader/image/pe.h"

namespace kdk {
namespace {

// As systemd-stub reads text: up to the first NUL, control characters (a line break of the file it was made
// from) are spaces, and none of them is left at the ends.
std::string section_text(Bytes section) {
  std::string text(as_text(section));
  text.resize(std::min(text.find('\0'), text.size()));
  std::replace_if(
      text.begin(), text.end(), [](unsigned char c) { return c < ' ' || c == 0x7f; }, ' ');
  const size_t first = text.find_first_not_of(' ');
  if (first == std::string::npos) return "";
  return text.substr(first, text.find_last_not_of(' ') + 1 - first);
}

class Sections {
 public:
  Sections(Bytes file, const std::vector<PeSection>& sections) : file_(file) {
    const auto is_profile = [](const PeSection& section) { return section.name == ".profile"; };
    const auto base_end = std::find_if(sections.begin(), sections.end(), is_profile);
    base_ = {sections.begin(), base_end};
    if (base_end == sections.end()) return;
    profile_ = {base_end + 1, std::find_if(base_end + 1, sections.end(), is_profile)};
  }

  std::optional<Bytes> find(std::string_view name) const {
    for (std::span<const PeSection> part : {profile_, base_}) {
      const auto found = std::find_if(part.begin(), part.end(),
                                      [&](const PeSection& section) { return section.name == name; });
      // In the file it is padded to whole blocks.
      if (found != part.end()) return file_.subspan(found->offset, std::min(found->size, found->memory_size));
    }
    return std::nullopt;
  }

 private:
  Bytes file_;
  std::span<const PeSection> base_, profile_;
};

}  // namespace

std::optional<UnifiedImage> read_unified_image(Bytes file) {
  std::optional<PeHeaders> pe = read_pe_headers(file);
  if (!pe) return std::nullopt;
  const Sections sections(file, pe->sections);
  std::optional<Bytes> kernel = sections.find(".linux");
  if (!kernel) return std::nullopt;
  UnifiedImage image;
  image.kernel = *kernel;
  image.initrd = sections.find(".initrd").value_or(Bytes());
  image.command_line = section_text(sections.find(".cmdline").value_or(Bytes()));
  image.release = section_text(sections.find(".uname").value_or(Bytes()));
  return image;
}

}  // namespace kdk
