// What the source calls a function, from the name of its symbol.
#pragma once

#include <string_view>

namespace kdk {

// Without what a compiler adds to the name of a part or a copy of it: "foo.isra.0", "foo.cold" are foo.
std::string_view source_name(std::string_view symbol);

}  // namespace kdk
