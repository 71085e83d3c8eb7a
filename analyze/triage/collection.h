// Many crashes in one table: which are the same bug, how often, since when, on which kernels.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "analyze/triage/report.h"

namespace kdk {

// What the table needs of one crash. Text is escaped as in Report.
struct CrashBrief {
  std::vector<std::string> files;  // the dump, and saved reports of the same crash
  bool saved_report = false;       // read from report.json, not from a dump
  bool partial = false;            // its report has limits that mean damage
  std::string crash_class, title, panic_message;
  std::string function, module, source_file;  // where it happened; empty: unknown
  unsigned line = 0;
  std::string release, architecture, hostname;
  std::optional<uint64_t> crash_time;  // seconds since the epoch
  std::optional<uint64_t> uptime_ms;   // time stamp of the last log record
  std::string family, family_text;     // SHA-256 and its text; empty: the crash has no signature
  std::string exact;
};
CrashBrief brief_of(const Report& report);

// A document of `kdump-analyze report --format json` of any 1.x version. Throws Error{format} naming what is
// wrong with it; `name` is for the message. Members that are absent or of another type count as unknown.
CrashBrief read_saved_report(const std::string& document, const std::string& name);

struct CrashGroup {
  std::string family, family_text;                              // empty: the crashes without a signature
  std::vector<CrashBrief> crashes;                              // latest first, unknown times last
  std::vector<std::string> releases, hostnames, architectures;  // each once, sorted
  std::optional<uint64_t> first_time, last_time;
  const CrashBrief& example() const { return crashes.front(); }
};

struct UnreadableFile {
  std::string file;  // may be empty
  std::string why;   // names the file
};

struct Collection {
  std::vector<CrashGroup> groups;  // most crashes first, then the latest
  std::vector<UnreadableFile> unreadable;
  size_t files = 0;    // looked at
  size_t crashes = 0;  // in all groups
};
// A dump and its saved report are one crash: same exact signature, time, uptime
// and host, or a host that a redacted report does not tell.
Collection group_crashes(std::vector<CrashBrief> crashes, std::vector<UnreadableFile> unreadable);

// Dumps and saved reports in the order found: every path that is a file, and in every directory the files
// that their first bytes show to be either, by name, at most `max_depth` directories deep. Symbolic links in
// directories are not followed. What cannot be looked at goes to `unreadable`.
std::vector<std::filesystem::path> find_crashes(const std::vector<std::filesystem::path>& paths,
                                                std::vector<UnreadableFile>& unreadable,
                                                unsigned max_depth = 8);
bool looks_like_saved_report(const std::filesystem::path& file);

}  // namespace kdk
