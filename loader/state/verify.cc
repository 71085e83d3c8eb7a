#include "loader/state/verify.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/base/log.h"
#include "loader/kexec/kexec.h"
#include "loader/plan/plan_json.h"
#include "loader/state/kept_files.h"

namespace kdk {
namespace {

using Status = Check::Status;
using State = LoadVerification::State;

// Runs one comparison; what could not be looked at is a warning.
template <typename F>
void add_check(std::vector<Check>& checks, std::string name, F&& compare) {
  try {
    std::vector<std::string> differences = compare();
    bool same = differences.empty();
    checks.push_back({std::move(name), same ? Status::ok : Status::failed,
                      same ? "as it was loaded" : fmt::format("{}", fmt::join(differences, "; "))});
  } catch (const Error& e) {
    checks.push_back({std::move(name), Status::warning, "not compared: " + e.message()});
  }
}

void check_file(std::vector<Check>& checks, const std::string& name, const std::string& path,
                const std::optional<InputIdentity>& loaded) {
  if (!loaded || !loaded->is_whole_file()) return;  // a section changes with its file, the kernel's
  add_check(checks, name, [&]() -> std::vector<std::string> {
    if (has_content(path, *loaded)) return {};
    return {path + (std::filesystem::exists(path) ? ": its content is another one than at load time"
                                                  : ": does not exist any more")};
  });
}

std::vector<std::string> compare_segments(const std::vector<SegmentIdentity>& loaded,
                                          const std::vector<SegmentIdentity>& now) {
  std::vector<std::string> differences;
  auto find = [](const std::vector<SegmentIdentity>& list, const std::string& name) {
    return std::find_if(list.begin(), list.end(), [&](const auto& s) { return s.name == name; });
  };
  for (const SegmentIdentity& was : loaded) {
    auto is = find(now, was.name);
    if (is == now.end()) {
      differences.push_back(was.name + " would not be loaded now");
    } else if (is->memory != was.memory) {
      differences.push_back(
          fmt::format("{} would be at {}, not {}", was.name, to_string(is->memory), to_string(was.memory)));
    } else if (is->sha256 != was.sha256) {
      differences.push_back(was.name + " would have another content");
    }
  }
  for (const SegmentIdentity& is : now) {
    if (find(loaded, is.name) == loaded.end()) differences.push_back(is.name + " would be loaded, too");
  }
  return differences;
}

// A header that follows hotplug has had its content changed by the kernel where ours would be another one
// now; of one that the kernel made even the bound of its size in the plan may move, as may that of the page
// tables for the jump (control_pages), which need not map memory that came later.
std::vector<SegmentIdentity> comparable_segments(const SysRoot& root, std::vector<SegmentIdentity> segments) {
  if (kernel_follows_hotplug(root, "cpu") != true && kernel_follows_hotplug(root, "memory") != true)
    return segments;
  std::erase_if(segments, [](const SegmentIdentity& s) {
    return s.name == "control_pages" || (s.name == "elfcorehdr" && s.sha256.empty());
  });
  for (SegmentIdentity& segment : segments) {
    if (segment.name == "elfcorehdr") segment.sha256.clear();
  }
  return segments;
}

void check_plan(const SysRoot& root, const LoadRecord& record, std::vector<Check>& checks) {
  std::optional<PreparedLoad> again;
  add_check(checks, "plan", [&] {
    again = prepare_load(read_machine(root), find_recorded_files(root, record));
    std::vector<std::string> differences = compare_segments(comparable_segments(root, record.segments),
                                                            comparable_segments(root, again->segments));
    if (again->plan.command_line.text != record.command_line)
      differences.emplace_back("the command line would be another one");
    if (again->plan.call != record.call) {
      differences.push_back(fmt::format("it would be loaded by {}", to_string(again->plan.call)));
    }
    return differences;
  });
  if (!again) return;
  // These say nothing about the loaded image, but that it could not be loaded again.
  for (const Check& check : again->plan.checks) {
    if (check.status == Status::failed)
      checks.push_back({"next_load", Status::warning, "check " + check.name + " fails now: " + check.detail});
  }
}

State judge(const std::vector<Check>& checks) {
  auto any = [&](auto&& test) { return std::any_of(checks.begin(), checks.end(), test); };
  if (any([](const Check& c) { return c.status == Status::failed; })) return State::stale;
  if (any([](const Check& c) { return c.status == Status::warning && c.name != "next_load"; }))
    return State::unknown;
  return State::verified;
}

}  // namespace

std::string_view to_string(State state) {
  switch (state) {
    case State::verified:
      return "verified";
    case State::stale:
      return "stale";
    case State::not_armed:
      return "not_armed";
    case State::unknown:
      return "unknown";
  }
  return "unknown";
}

LoadVerification verify_load(const SysRoot& root) {
  LoadVerification result;
  if (!crash_kernel_loaded(root)) return result;
  add_check(result.checks, "record", [&]() -> std::vector<std::string> {
    result.record = read_record(root);
    if (!result.record) throw Error(Errc::missing, "loaded by another program or without a record");
    if (!result.record->request) throw Error(Errc::missing, "the record is of an older kdump-load");
    return {};
  });
  if (result.record && result.record->request) {
    const LoadRecord& record = *result.record;
    check_file(result.checks, "kernel_file", record.request->kernel, record.kernel);
    check_file(result.checks, "initrd_file", record.request->initrd, record.initrd);
    check_file(result.checks, "dtb_file", record.request->dtb, record.dtb);
    add_check(result.checks, "machine", [&] { return find_changes(root, record); });
    check_plan(root, record, result.checks);
  }
  result.state = judge(result.checks);
  return result;
}

std::string verification_to_text(const LoadVerification& verification) {
  std::string out;
  switch (verification.state) {
    case State::verified:
      out = "verified: the loaded crash kernel is what would be loaded now\n";
      break;
    case State::stale:
      out = "stale: the loaded crash kernel is not what would be loaded now; run kdump-load reload\n";
      break;
    case State::not_armed:
      out = "not armed: no crash kernel is loaded\n";
      break;
    case State::unknown:
      out = "unknown: a crash kernel is loaded, but not all of it could be compared\n";
      break;
  }
  for (const Check& check : verification.checks) {
    std::string_view word = check.status == Status::failed ? "DIFFERS" : to_string(check.status);
    out += fmt::format("  {:<8} {:<12} {}\n", word, check.name, escape_untrusted(check.detail));
  }
  return out;
}

std::string verification_to_json(const LoadVerification& verification) {
  using Json = nlohmann::ordered_json;
  Json json = {{"schema", {{"id", "kdumpkit/load-verify"}, {"version", "1.3.0"}}},
               {"tool", {{"name", "kdump-load"}, {"version", KDK_VERSION}}},
               {"state", to_string(verification.state)},
               {"checks", Json::array()}};
  for (const Check& check : verification.checks) {
    json["checks"].push_back({{"name", check.name},
                              {"status", to_string(check.status)},
                              {"detail", escape_untrusted(check.detail)}});
  }
  json["record"] = verification.record ? Json::parse(record_to_json(*verification.record)) : Json(nullptr);
  return json.dump(2);
}

}  // namespace kdk
