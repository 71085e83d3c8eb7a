#include "analyze/examine_activity.h"

#include <fmt/format.h>

#include "analyze/triage/activity.h"
#include "analyze/triage/stalls.h"
#include "core/base/log.h"

namespace kdk {

void examine_activity(Session& session, Report& report) {
  TypedMemory& types = session.types();
  Activity activity;
  std::string missing;
  // `read`: what the report keeps, which findings point into.
  const auto part = [&](std::string_view name, auto&& read, auto&& keep) {
    try {
      auto facts = read();
      for (Finding& finding : find_stalls(facts)) report.findings.push_back(std::move(finding));
      for (const std::string& problem : facts.problems) {
        report.limits.push_back(
            {"/activity", "objects_incomplete", fmt::format("{}: {}", name, escape_untrusted(problem)), ""});
      }
      keep(std::move(facts));
    } catch (const Error& error) {  // a report section
      missing +=
          fmt::format("{}{}: {}", missing.empty() ? "" : "; ", name, escape_untrusted(error.message()));
    }
  };
  part(
      "run queues", [&] { return read_run_queues(types, session.log()); },
      [&](RunQueues facts) { activity.queues = std::move(facts); });
  part(
      "timers", [&] { return overdue_only(read_timers(types, session.log())); },
      [&](Timers facts) { activity.late = std::move(facts); });
  part(
      "workqueues", [&] { return working_only(read_workqueues(types, session.log())); },
      [&](WorkQueues facts) { activity.works = std::move(facts); });
  part(
      "block devices", [&] { return with_requests_only(read_block_devices(types)); },
      [&](Devices facts) { activity.disks = std::move(facts); });
  if (!missing.empty()) report.limits.push_back({"/activity", "not_recorded", missing, ""});
  report.activity = std::move(activity);
}

}  // namespace kdk
