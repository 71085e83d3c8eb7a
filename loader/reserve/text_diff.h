// A unified diff of two texts: what people look at before a boot loader's file is changed.
#pragma once

#include <string>
#include <string_view>

namespace kdk {

// As diff -u writes it, with three lines of context; what patch(1) takes. The names stand behind --- and +++.
// Empty when the texts are equal. Meant for configuration files: the time is lines times lines.
std::string unified_diff(std::string_view old_name, std::string_view old_text, std::string_view new_name,
                         std::string_view new_text);

}  // namespace kdk
