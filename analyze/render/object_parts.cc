#include "analyze/render/object_parts.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "analyze/render/json_parts.h"
#include "analyze/render/text_parts.h"

namespace kdk {

namespace text {

std::string span(int64_t nanoseconds) {
  const uint64_t ns =
      nanoseconds < 0 ? uint64_t{0} - static_cast<uint64_t>(nanoseconds) : static_cast<uint64_t>(nanoseconds);
  if (ns < 1'000'000) return fmt::format("{} us", ns / 1000);
  if (ns < 1'000'000'000) return fmt::format("{}.{} ms", ns / 1'000'000, ns / 100'000 % 10);
  return duration(ns);
}

std::string until(int64_t nanoseconds) {
  return (nanoseconds < 0 ? "-" : "+") + span(nanoseconds);
}

std::string owner_name(const StackOwner& owner) {
  return fmt::format("{} {} {}", owner.task.comm.empty() ? "?" : owner.task.comm,
                     owner.task.pid ? fmt::format("{}", *owner.task.pid) : "?", owner.task.state);
}

}  // namespace text

namespace json {

using nlohmann::ordered_json;

ordered_json signed_microseconds(std::optional<int64_t> nanoseconds) {
  // An integer that every JSON reader holds exactly.
  constexpr int64_t most = int64_t{1} << 53;
  if (!nanoseconds || *nanoseconds / 1000 >= most || *nanoseconds / 1000 <= -most) return nullptr;
  return *nanoseconds / 1000;
}

ordered_json kernel_clock(const KernelClock& clock) {
  ordered_json out;
  out["monotonic_us"] = clock.monotonic_ns ? integer(*clock.monotonic_ns / 1000) : ordered_json(nullptr);
  out["jiffies"] = hex(clock.jiffies);
  out["tick_us"] = clock.tick_ns ? integer(*clock.tick_ns / 1000) : ordered_json(nullptr);
  return out;
}

}  // namespace json

}  // namespace kdk
