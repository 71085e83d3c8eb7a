// Who waits for whom, in the HTML report.
#include <fmt/format.h>

#include "analyze/render/html_page.h"
#include "analyze/render/html_parts.h"
#include "analyze/render/text_parts.h"
#include "analyze/render/waits.h"

namespace kdk::html {

std::string findings(const std::vector<Finding>& findings) {
  if (findings.empty()) return {};
  std::string out = heading("Findings", "most severe first") + "<ul>\n";
  for (const Finding& finding : findings) {
    out += fmt::format("<li{}><span class=\"badge\">{}</span> {} <small>{}{}, {:.0f} %</small></li>\n",
                       finding.severity == "critical" ? " class=\"damage\"" : "", escape(finding.name),
                       escape(finding.title), escape(finding.hint.empty() ? "" : finding.hint + "; "),
                       escape(finding.severity), finding.confidence * 100);
  }
  return out + "</ul>\n";
}

std::string blocked(const TaskStacks& blocked) {
  if (blocked.stacks.empty()) return {};
  std::string out = heading("Blocked tasks", "state D, by stack; in brackets, since it ran last");
  for (const TaskStack& stack : blocked.stacks) {
    const bool known = stack.why_not.empty();
    out +=
        folded(text::owners(stack), known ? "" : stack.why_not, known ? backtrace(stack.trace, nullptr) : "");
  }
  return out;
}

std::string locks(const LockListing& listing) {
  const std::string text = text::locks(listing);
  if (text.empty()) return {};
  // The text section without its two lines of heading.
  const size_t body = text.find("-\n");
  return heading("Locks", "who waits for whom") + "<pre>" +
         escape(body == std::string::npos ? text : text.substr(body + 2)) + "</pre>\n";
}

}  // namespace kdk::html
