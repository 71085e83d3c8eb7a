// Pieces of the HTML report that several sections share. Every text is escaped here.
#pragma once

#include <string>
#include <string_view>

#include "analyze/triage/report.h"

namespace kdk::html {

std::string heading(std::string_view title, std::string_view remark = {});
// Folded away until it is clicked. `content` is HTML.
std::string folded(std::string_view title, std::string_view remark, std::string_view content);
// A table of frames; `marked`, when it is one of them, stands out.
std::string backtrace(const Backtrace& trace, const Frame* marked);

}  // namespace kdk::html
