#include "analyze/triage/collection.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "analyze/triage/function_name.h"

namespace kdk {

CrashBrief brief_of(const Report& report) {
  CrashBrief brief;
  brief.files = report.input.files;
  brief.partial = partial(report.limits);
  brief.release = report.identity.release;
  brief.architecture = report.input.architecture;
  brief.hostname = report.identity.hostname;
  brief.crash_time = report.identity.crash_time;
  if (report.identity.uptime_ns) brief.uptime_ms = *report.identity.uptime_ns / 1'000'000;
  if (report.crash) {
    brief.crash_class = report.crash->crash_class.name;
    brief.title = report.crash->crash_class.title;
    brief.panic_message = report.crash->panic_message;
    if (const Frame* frame = culprit(report).frame) {
      brief.function = source_name(frame->symbol);
      brief.module = frame->module;
      brief.source_file = frame->file;
      brief.line = frame->line;
    }
  }
  if (report.signatures) {
    brief.family = report.signatures->family.sha256;
    brief.family_text = report.signatures->family.text;
    brief.exact = report.signatures->exact.sha256;
  }
  return brief;
}

Collection group_crashes(std::vector<CrashBrief> crashes, std::vector<UnreadableFile> unreadable) {
  Collection out;
  out.files = crashes.size() + unreadable.size();
  out.unreadable = std::move(unreadable);
  // Dumps before reports: of the two, the dump is the one that can still be asked.
  std::stable_partition(crashes.begin(), crashes.end(), [](const CrashBrief& c) { return !c.saved_report; });
  std::map<std::tuple<std::string, uint64_t, std::optional<uint64_t>>, std::vector<size_t>> known;
  std::vector<CrashBrief> distinct;
  for (CrashBrief& crash : crashes) {
    if (!crash.exact.empty() && crash.crash_time) {
      std::vector<size_t>& same = known[{crash.exact, *crash.crash_time, crash.uptime_ms}];
      const auto place = std::ranges::find_if(same, [&](size_t i) {
        const std::string& host = distinct[i].hostname;
        return host == crash.hostname || host.empty() || crash.hostname.empty();
      });
      if (place != same.end()) {
        auto& files = distinct[*place].files;
        files.insert(files.end(), crash.files.begin(), crash.files.end());
        continue;
      }
      same.push_back(distinct.size());
    }
    distinct.push_back(std::move(crash));
  }
  out.crashes = distinct.size();
  std::map<std::string, CrashGroup> groups;
  for (CrashBrief& crash : distinct) groups[crash.family].crashes.push_back(std::move(crash));
  for (auto& [family, group] : groups) {
    group.family = family;
    std::stable_sort(group.crashes.begin(), group.crashes.end(),
                     [](const CrashBrief& a, const CrashBrief& b) {
                       return a.crash_time > b.crash_time;  // nullopt is less than every time
                     });
    group.family_text = group.example().family_text;
    std::set<std::string> releases, hostnames, architectures;
    for (const CrashBrief& crash : group.crashes) {
      if (!crash.release.empty()) releases.insert(crash.release);
      if (!crash.hostname.empty()) hostnames.insert(crash.hostname);
      if (!crash.architecture.empty()) architectures.insert(crash.architecture);
      if (!crash.crash_time) continue;
      group.first_time = std::min(group.first_time.value_or(UINT64_MAX), *crash.crash_time);
      group.last_time = std::max(group.last_time.value_or(0), *crash.crash_time);
    }
    group.releases.assign(releases.begin(), releases.end());
    group.hostnames.assign(hostnames.begin(), hostnames.end());
    group.architectures.assign(architectures.begin(), architectures.end());
    out.groups.push_back(std::move(group));
  }
  std::stable_sort(out.groups.begin(), out.groups.end(), [](const CrashGroup& a, const CrashGroup& b) {
    return std::tuple(b.family.empty(), a.crashes.size(), a.last_time) >
           std::tuple(a.family.empty(), b.crashes.size(), b.last_time);
  });
  return out;
}

}  // namespace kdk
