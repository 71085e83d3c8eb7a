// What crash.cc needs of the table of failure classes.
#pragma once

#include <string_view>

namespace kdk {

// One line for people.
std::string_view class_title(std::string_view name);

}  // namespace kdk
