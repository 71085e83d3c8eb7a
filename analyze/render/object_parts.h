// What the renderings of the kernel's objects share: spans of time, tasks, the clock.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include <string>

#include "analyze/inspect/kernel_clock.h"
#include "analyze/inspect/task_stacks.h"

namespace kdk {

namespace text {
// "3.2 ms", "14.2 s", "3 d 04:05:06"; of a negative one its length.
std::string span(int64_t nanoseconds);
// "+3.2 ms", "-14.2 s".
std::string until(int64_t nanoseconds);
// "kworker/0:1 12 D".
std::string owner_name(const StackOwner& owner);
}  // namespace text

namespace json {
nlohmann::ordered_json signed_microseconds(std::optional<int64_t> nanoseconds);
nlohmann::ordered_json kernel_clock(const KernelClock& clock);
}  // namespace json

}  // namespace kdk
