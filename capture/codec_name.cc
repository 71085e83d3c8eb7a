#include "capture/codec_name.h"

#include <fmt/format.h>

#include <charconv>

namespace kdk {

std::string parse_codec_name(const std::string& text, Codec& codec, int& level) {
  const size_t colon = text.find(':');
  const std::optional<Codec> found = parse_codec(std::string_view(text).substr(0, colon));
  if (!found) return "is not one of zstd, lzo, snappy, zlib, none";
  codec = *found;
  level = 0;
  if (colon == std::string::npos) return {};
  const int lowest = codec == Codec::zstd ? -7 : 1, highest = codec == Codec::zstd ? 19 : 9;
  if (codec != Codec::zstd && codec != Codec::zlib) return "takes no level";
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data() + colon + 1, end, level);
  if (error != std::errc() || rest != end || level < lowest || level > highest || level == 0) {
    return fmt::format("has no such level ({} to {}, not 0)", lowest, highest);
  }
  return {};
}

}  // namespace kdk
