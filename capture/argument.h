// Values on the command line that have a form of their own.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace kdk {

// "31" or "1,17,31"; empty when one of them is no number from 0 to 31.
std::vector<unsigned> parse_levels(std::string_view text);

// "4096", "512K", "4G": bytes, more than none; K, M, G and T (either case, also as KiB or KB) are powers of
// 1024. nullopt when it is none or does not fit 63 bits.
std::optional<uint64_t> parse_size(std::string_view text);

}  // namespace kdk
