// Renderings of who waits for whom: `locks`, and the parts of the report on blocked tasks, locks and
// findings.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include <string>

#include "analyze/triage/report.h"

namespace kdk {

std::string to_text(const Answer<LockListing>& answer);
std::string to_json_text(const Answer<LockListing>& answer);

namespace text {
// Sections with their headings; "" when there is nothing to say.
std::string findings(const std::vector<Finding>& findings);
std::string blocked(const TaskStacks& blocked);
std::string locks(const LockListing& listing);
std::string_view holder_evidence(HolderEvidence evidence);
// "3 tasks: D 90 sh (12.1 s), ...".
std::string owners(const TaskStack& stack);
}  // namespace text

namespace json {
nlohmann::ordered_json findings(const std::vector<Finding>& findings);
nlohmann::ordered_json blocked(const TaskStacks& blocked);
nlohmann::ordered_json locks(const LockListing& listing);
}  // namespace json

namespace html {
std::string findings(const std::vector<Finding>& findings);
std::string blocked(const TaskStacks& blocked);
std::string locks(const LockListing& listing);
}  // namespace html

}  // namespace kdk
