#include "loader/plan/digest.h"

#include <fmt/format.h>

#include <algorithm>

#include "loader/purgatory/identity_map.h"

namespace kdk {
namespace {

using purgatory::MapRequest;
using purgatory::ResetKind;

constexpr std::string_view purgatory_name = "purgatory";
constexpr uint64_t segment_alignment = 64 << 10;  // suits every page size

std::optional<MapRequest> wanted_map(const Machine& machine, const LoadPlan& plan) {
  if (!plan.architecture->digest.maps_memory) return std::nullopt;
  return MapRequest{plan.main_region(), machine.page_size.value_or(0)};
}

// Why the purgatory cannot do it here; empty when it can.
std::string obstacle(const LoadPlan& plan, const std::optional<MapRequest>& map) {
  if (plan.segments.size() > purgatory::max_ranges) return "there are too many segments";
  if (!map) return "";
  if (!purgatory::translation_granule(map->page_size)) return "the running kernel's page size is not known";
  if (map->memory.end() > purgatory::identity_map_limit)
    return fmt::format("the crash region {} is beyond 48 address bits", to_string(map->memory));
  if (map->memory.start % map->page_size != 0 || map->memory.size % map->page_size != 0)
    return fmt::format("the crash region {} is not made of whole pages", to_string(map->memory));
  return "";
}

uint64_t digest_bytes(const LoadPlan& plan) {
  uint64_t bytes = 0;
  for (const Segment& segment : plan.segments) bytes += in_digest(segment) ? segment.data.size() : 0;
  return bytes;
}

// Fills plan.digest but for what making the segment tells.
void decide(const Machine& machine, DigestMode mode, const std::string& impossible, LoadPlan& plan) {
  const DigestSupport& support = plan.architecture->digest;
  DigestPlan& digest = plan.digest;
  digest.mode = mode;
  digest.instructions = machine.purgatory.sha256_instructions.value_or(false);
  digest.bytes = digest_bytes(plan);
  digest.seconds =
      static_cast<double>(digest.bytes) / (digest.instructions ? support.fast_rate : support.plain_rate);
  digest.console = machine.purgatory.console ? machine.purgatory.console->name : "";
  digest.can_reset = machine.purgatory.reset != ResetKind::none;
  if (mode == DigestMode::off) {
    digest.reason = "asked for";
  } else if (!impossible.empty()) {
    digest.reason = impossible;
  } else if (mode == DigestMode::on) {
    digest.on = true;
    digest.reason = "asked for";
  } else if (!digest.can_reset) {
    digest.reason = "no way to reset this machine is known, and it would stop for ever on a mismatch";
  } else if (digest.seconds >= digest_patience) {
    digest.reason = fmt::format("it would take about {:.2f} s, {} SHA-256 instructions", digest.seconds,
                                digest.instructions ? "with" : "without");
  } else {
    digest.on = true;
    digest.reason = fmt::format("it takes less than {} s", digest_patience);
  }
}

}  // namespace

std::string_view to_string(DigestMode mode) {
  switch (mode) {
    case DigestMode::automatic:
      return "auto";
    case DigestMode::on:
      return "on";
    case DigestMode::off:
      return "off";
  }
  return "unknown";
}

void add_digest(const Machine& machine, DigestMode mode, Placer& placer, LoadPlan& plan) {
  std::optional<MapRequest> map = wanted_map(machine, plan);
  std::string impossible = obstacle(plan, map);
  const purgatory::Code& code = *plan.architecture->digest.code;
  uint64_t size = impossible.empty() ? align_up(purgatory::segment_size(code, map), segment_alignment) : 0;
  if (impossible.empty() && mode != DigestMode::on && !placer.fits_top(size, segment_alignment))
    impossible = "the crash region has no room for it";
  decide(machine, mode, impossible, plan);
  if (!plan.digest.on) return;

  Range memory{placer.from_top(purgatory_name, size, segment_alignment), size};
  purgatory::Request request;
  request.code = code;
  request.map = map;
  request.next = plan.entry.value();
  request.console = machine.purgatory.console;
  request.reset = machine.purgatory.reset;
  for (const Segment& segment : plan.segments) {
    if (!in_digest(segment)) continue;
    Sha256 sum;
    sum.add(segment.data);
    request.checked.push_back({segment.name, {segment.memory.start, segment.data.size()}, sum.digest()});
  }
  Segment added{std::string(purgatory_name), memory, purgatory::make_segment(request, memory.start)};
  auto by_address = [](const Segment& a, const Segment& b) { return a.memory.start < b.memory.start; };
  plan.segments.insert(std::upper_bound(plan.segments.begin(), plan.segments.end(), added, by_address),
                       std::move(added));
  plan.entry = memory.start;
}

bool in_digest(const Segment& segment) {
  return segment.name != purgatory_name && !segment.rewritten_by_kernel;
}

bool enters_trampoline(const LoadPlan& plan) {
  const Segment* trampoline = plan.find_segment("trampoline");
  if (trampoline == nullptr) return false;
  const Segment* checker = plan.find_segment(purgatory_name);
  if (checker == nullptr) return plan.entry == trampoline->memory.start;
  purgatory::Finished finished = purgatory::read_segment(*plan.architecture->digest.code, checker->data);
  return plan.entry == checker->memory.start && finished.next == trampoline->memory.start;
}

Outcome check_digest(const LoadPlan& plan) {
  const DigestPlan& digest = plan.digest;
  if (!digest.on) {
    std::string off = "memory is not checked before the crash kernel starts: " + digest.reason;
    return digest.mode == DigestMode::on ? failed(off) : ok(off);
  }
  if (plan.call == LoadCall::kexec_file_load) return ok(digest.reason);
  const Segment* checker = plan.find_segment(purgatory_name);
  if (checker == nullptr) return failed("there is no purgatory");
  purgatory::Finished finished = purgatory::read_segment(*plan.architecture->digest.code, checker->data);
  size_t found = 0;
  for (const Segment& segment : plan.segments) {
    if (!in_digest(segment)) continue;
    Range data{segment.memory.start, segment.data.size()};
    auto same = [&](const purgatory::Checked& c) { return c.name == segment.name && c.data == data; };
    if (std::none_of(finished.checked.begin(), finished.checked.end(), same))
      return failed(segment.name + " is not checked");
    ++found;
  }
  if (found != finished.checked.size()) return failed("more is checked than was loaded");
  std::string what =
      fmt::format("{} in {} segments, about {:.2f} s", mib(digest.bytes), found, digest.seconds);
  if (!digest.can_reset) {
    return warning(what + "; no way to reset this machine is known: it would stop for ever on a mismatch");
  }
  return ok(what + (digest.console.empty() ? "" : ", console " + digest.console));
}

void describe_file_digest(DigestMode mode, LoadPlan& plan) {
  plan.digest.mode = mode;
  plan.digest.on = plan.architecture->digest.by_kernel;
  plan.digest.reason = plan.architecture->digest.by_kernel
                           ? "the kernel's own purgatory checks what kexec_file_load loads"
                           : "there is no purgatory with kexec_file_load; --syscall kexec has one";
}

}  // namespace kdk
