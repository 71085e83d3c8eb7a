// A report.json of an earlier day, as far as whoever reads one needs it. Whoever wrote it: every member is
// checked, and text is escaped again.
#pragma once

#include <initializer_list>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace kdk::document {

// Throws Error{format,unsupported} naming the file when the text is no report of kdump-analyze of any 1.x
// version.
nlohmann::json parse(const std::string& text, const std::string& name);
// The member at `path`, or null.
const nlohmann::json& at(const nlohmann::json& document, std::initializer_list<std::string_view> path);
// A string, escaped but for `keep`; "" for what is none.
std::string text(const nlohmann::json& value, std::string_view keep = {});
// Names in it stand for something else: "host-1" in two of them need not be one machine.
bool redacted(const nlohmann::json& report);

}  // namespace kdk::document
