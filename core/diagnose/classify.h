// What crash.cc needs of the table of failure classes.
#pragma once

#include <string_view>

namespace kdk {

// One line for people.
std::string_view class_title(std::string_view name);

// Titles of bad_paging that say what the page tables did not allow.
namespace forbidden {
constexpr std::string_view user_access =
    "Access of the kernel to user memory outside of the functions that may";
constexpr std::string_view user_execution = "Execution of user memory by the kernel";
constexpr std::string_view data_execution = "Execution of kernel memory that holds no code";
constexpr std::string_view read_only_write = "Write to read-only memory of the kernel";
}  // namespace forbidden

}  // namespace kdk
