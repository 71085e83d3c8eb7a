// Pieces that several JSON documents share (schemas/analyze-common.schema.json).
#pragma once

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "analyze/triage/report.h"

namespace kdk::json {

// {"schema", "tool"}: how every document starts. `name` is the schema's, such as "report".
nlohmann::ordered_json header(std::string_view name);
// {"schema", "tool", "input", "status"}: the same with the dump that it is about.
nlohmann::ordered_json envelope(std::string_view name, const InputFacts& input,
                                const std::vector<Limit>& limits);
nlohmann::ordered_json input(const InputFacts& input);
nlohmann::ordered_json evidence(const Evidence& evidence);
// Of one trace.
nlohmann::ordered_json variables(const std::vector<FunctionVariables>& functions);
nlohmann::ordered_json identity(const SystemInfo& identity);
nlohmann::ordered_json log_record(const LogRecord& record);
nlohmann::ordered_json limits(const std::vector<Limit>& limits);

// null for an empty string or an empty optional.
nlohmann::ordered_json text(std::string_view value);
nlohmann::ordered_json hex(std::optional<uint64_t> value);
// An integer that every JSON reader holds exactly (below 2^53); null for what is absent or larger.
nlohmann::ordered_json integer(std::optional<uint64_t> value);
// {"utc": RFC 3339, "epoch_seconds"}; null for what is absent or no date.
nlohmann::ordered_json time(std::optional<uint64_t> epoch_seconds);

// Two-space indented, trailing newline. Invalid UTF-8 becomes U+FFFD.
std::string dump(const nlohmann::ordered_json& document);

}  // namespace kdk::json
