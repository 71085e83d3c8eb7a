// What stands out, ranked: statements with their evidence and how sure they are, for the top of the report.
#pragma once

#include <string>
#include <vector>

namespace kdk {

struct Finding {
  std::string id;                     // "KD0001": stable, schemas/README.md lists them
  std::string name;                   // "lock_cycle"
  std::string severity;               // "critical", "warning", "info"
  double confidence = 0;              // 0 to 1
  std::string title;                  // one sentence; escaped
  std::vector<std::string> evidence;  // JSON pointers into the report
  std::string hint;                   // what to look at next; may be empty
};

struct Report;
// Of the sections that are there; the most severe first.
std::vector<Finding> find_problems(const Report& report);

}  // namespace kdk
