// How people write a codec and its level: on the command line and in the configuration.
#pragma once

#include <string>

#include "core/formats/codec.h"

namespace kdk {

// "zstd:3" to codec and level (0: the codec's default). Returns what is wrong with it, to be put behind the
// text; empty when nothing is.
std::string parse_codec_name(const std::string& text, Codec& codec, int& level);

}  // namespace kdk
