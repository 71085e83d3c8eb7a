#include "analyze/render/html_parts.h"

#include <fmt/format.h>

#include "analyze/render/html_page.h"
#include "analyze/render/text_parts.h"

namespace kdk::html {
namespace {

std::string trace_row(std::string_view css, std::string_view number, std::string_view name,
                      std::string_view where) {
  return fmt::format(
      "<tr{}><td class=\"n\">{}</td><td class=\"mono\">{}</td><td class=\"mono\">{}</td></tr>\n",
      css.empty() ? "" : fmt::format(" class=\"{}\"", css), number, escape(name), escape(where));
}

}  // namespace

std::string heading(std::string_view title, std::string_view remark) {
  std::string small = remark.empty() ? "" : fmt::format(" <small>{}</small>", escape(remark));
  return fmt::format("<h2>{}{}</h2>\n", escape(title), small);
}

std::string folded(std::string_view title, std::string_view remark, std::string_view content) {
  return fmt::format("<details><summary>{} <small>{}</small></summary>\n{}</details>\n", escape(title),
                     escape(remark), content);
}

std::string backtrace(const Backtrace& trace, const Frame* marked) {
  if (trace.frames.empty()) return "<p class=\"dim\">no frames</p>\n";
  std::string out = "<div class=\"wide\"><table class=\"trace\"><tbody>\n";
  for (size_t i = 0; i < trace.frames.size(); ++i) {
    const Frame& frame = trace.frames[i];
    if (frame.kind == FrameKind::exception && i > 0) {
      out += "<tr class=\"mark\"><td></td><td colspan=\"2\">exception</td></tr>\n";
    }
    std::string number = fmt::format("#{}", i);
    for (const InlineFrame& inlined : frame.inlines) {
      out += trace_row("inlined", number, inlined.function + " (inlined)",
                       text::position(inlined.file, inlined.line));
      number.clear();
    }
    out += trace_row(&frame == marked ? "culprit" : "", number,
                     text::frame_name(frame) + text::frame_remark(frame),
                     text::position(frame.file, frame.line));
  }
  out += "</tbody></table></div>\n";
  if (!trace.complete) {
    out += fmt::format("<p class=\"dim\">ends here: {}</p>\n", escape(text::or_unknown(trace.end)));
  } else if (trace.end == "user mode") {
    out += "<p class=\"dim\">user mode</p>\n";
  }
  return out;
}

}  // namespace kdk::html
