// Two reports side by side: whether they are of the same bug, and what is different.
//
// Compared are the documents themselves, so that a dump of today and a report.json of last year are the same
// thing. Whoever wrote them: every member is checked, and text is escaped again.
#pragma once

#include <string>
#include <vector>

namespace kdk {

struct ReportChange {
  std::string section;  // "crash", "kernel", "trace", "modules", "memory", "tasks", "findings"
  std::string what;     // "release", "module virtio_blk", "free_bytes", ...; escaped
  std::string a, b;     // values as text, escaped; empty: not there, or unknown
  bool a_unknown = false, b_unknown = false;  // that report could not tell
};

struct ReportDiff {
  struct Side {
    std::string name;  // the file; escaped
    std::string title, release, time;
  };
  Side a, b;
  // "exact": the same functions at the same offsets in the same kernel binary; "family": the same functions;
  // "no"; "unknown": one of the two has no signature.
  std::string same_bug;
  std::vector<ReportChange> changes;
};

// Documents of `kdump-analyze report --format json` of any 1.x version. Throws Error{format,unsupported}
// naming the file that is none.
ReportDiff compare_reports(const std::string& a, const std::string& a_name, const std::string& b,
                           const std::string& b_name);

}  // namespace kdk
