// Functions of the kernel that only do as they are told, or check what others did: see culprit.cc.
#pragma once

#include <string_view>

namespace kdk {

// `symbol` of the kernel itself, not of a module.
bool is_watchman(std::string_view symbol);

}  // namespace kdk
