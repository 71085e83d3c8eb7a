// The table of many crashes: text, JSON (schemas/analyze-triage.schema.json) and HTML.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>

#include "analyze/render/html_page.h"
#include "analyze/render/json_parts.h"
#include "analyze/render/render.h"
#include "analyze/render/text_parts.h"

namespace kdk {
namespace {

using html::escape;
using nlohmann::ordered_json;

std::string where(const CrashBrief& crash) {
  if (crash.function.empty()) return "unknown";
  std::string out = crash.function;
  if (!crash.module.empty()) out += fmt::format(" [{}]", crash.module);
  std::string position = text::position(crash.source_file, crash.line);
  return position.empty() ? out : out + ", " + position;
}

std::string when(std::optional<uint64_t> time) {
  return time ? text::utc(*time) : "time unknown";
}

std::string some(const std::vector<std::string>& values) {
  constexpr size_t shown = 3;
  if (values.empty()) return "unknown";
  if (values.size() <= shown) return fmt::format("{}", fmt::join(values, ", "));
  return fmt::format("{} and {} more", fmt::join(values.begin(), values.begin() + shown, ", "),
                     values.size() - shown);
}

std::string plural(size_t count, std::string_view one, std::string_view many) {
  return fmt::format("{} {}", count, count == 1 ? one : many);
}

std::string totals(const Collection& all) {
  std::string out =
      fmt::format("{} in {}, from {}", plural(all.crashes, "crash", "crashes"),
                  plural(all.groups.size(), "group", "groups"), plural(all.files, "file", "files"));
  if (!all.unreadable.empty()) out += fmt::format("; {} could not be read", all.unreadable.size());
  return out;
}

std::string seen(const CrashGroup& group) {
  if (!group.first_time) return "times unknown";
  if (group.first_time == group.last_time) return when(group.first_time);
  return fmt::format("{} to {}", when(group.first_time), when(group.last_time));
}

std::string name(const CrashGroup& group) {
  return group.family.empty() ? "no signature" : group.family.substr(0, 12);
}

ordered_json to_json(const CrashBrief& crash) {
  return {{"files", crash.files},
          {"source", crash.saved_report ? "report" : "dump"},
          {"status", crash.partial ? "partial" : "complete"},
          {"panic_message", json::text(crash.panic_message)},
          {"function", json::text(crash.function)},
          {"module", json::text(crash.module)},
          {"file", json::text(crash.source_file)},
          {"line", crash.line != 0 ? ordered_json(crash.line) : ordered_json(nullptr)},
          {"release", json::text(crash.release)},
          {"architecture", json::text(crash.architecture)},
          {"hostname", json::text(crash.hostname)},
          {"crash_time", json::time(crash.crash_time)},
          {"exact", json::text(crash.exact)}};
}

ordered_json to_json(const CrashGroup& group) {
  ordered_json family = nullptr;
  if (!group.family.empty()) family = {{"sha256", group.family}, {"text", group.family_text}};
  ordered_json crashes = ordered_json::array();
  for (const CrashBrief& crash : group.crashes) crashes.push_back(to_json(crash));
  return {{"family", std::move(family)},
          {"class", json::text(group.example().crash_class)},
          {"title", json::text(group.example().title)},
          {"count", group.crashes.size()},
          {"first_time", json::time(group.first_time)},
          {"last_time", json::time(group.last_time)},
          {"releases", group.releases},
          {"architectures", group.architectures},
          {"hostnames", group.hostnames},
          {"crashes", std::move(crashes)}};
}

}  // namespace

std::string to_text(const Collection& all) {
  std::string out = totals(all) + "\n";
  for (const CrashGroup& group : all.groups) {
    const CrashBrief& example = group.example();
    std::string title = example.title.empty() ? "" : ": " + example.title;
    out += text::heading(
        fmt::format("{} x {}{}", group.crashes.size(), text::or_unknown(example.crash_class), title));
    auto row = [&](std::string_view label, const std::string& value) {
      out += text::wrap(fmt::format("  {:<8}", label), value, std::string(10, ' '));
    };
    row("where", where(example));
    row("panic", text::or_unknown(example.panic_message));
    row("kernels", some(group.releases));
    row("hosts", some(group.hostnames));
    row("seen", seen(group));
    row("family", name(group));
    for (const CrashBrief& crash : group.crashes) {
      row(when(crash.crash_time),
          fmt::format("{}{}", fmt::join(crash.files, " "), crash.partial ? " (partial)" : ""));
    }
  }
  if (!all.unreadable.empty()) {
    out += text::heading("UNREADABLE");
    for (const UnreadableFile& file : all.unreadable) out += text::wrap("  ", file.why, "    ");
  }
  return out;
}

std::string to_json_text(const Collection& all) {
  ordered_json groups = ordered_json::array(), unreadable = ordered_json::array();
  for (const CrashGroup& group : all.groups) groups.push_back(to_json(group));
  for (const UnreadableFile& file : all.unreadable) {
    unreadable.push_back({{"file", json::text(file.file)}, {"why", file.why}});
  }
  ordered_json out = json::header("analyze-triage");
  out["status"] = all.unreadable.empty() ? "complete" : "partial";
  out["files"] = all.files;
  out["crashes"] = all.crashes;
  out["groups"] = std::move(groups);
  out["unreadable"] = std::move(unreadable);
  return json::dump(out);
}

std::string to_html(const Collection& all) {
  std::string rows, details;
  for (const CrashGroup& group : all.groups) {
    const CrashBrief& example = group.example();
    rows += fmt::format(
        "<tr><td class=\"n\">{}</td><td><span class=\"badge\">{}</span></td><td "
        "class=\"mono\">{}</td><td>{}</td>"
        "<td>{}</td><td class=\"mono\">{}</td></tr>\n",
        group.crashes.size(), escape(text::or_unknown(example.crash_class)), escape(where(example)),
        escape(some(group.releases)), escape(seen(group)), name(group));
    std::string crashes;
    for (const CrashBrief& crash : group.crashes) {
      crashes += fmt::format(
          "<tr><td>{}</td><td>{}</td><td>{}</td><td class=\"mono\">{}{}</td></tr>\n", when(crash.crash_time),
          escape(text::or_unknown(crash.hostname)), escape(text::or_unknown(crash.release)),
          escape(fmt::format("{}", fmt::join(crash.files, " "))), crash.partial ? " (partial)" : "");
    }
    details += fmt::format(
        "<details><summary>{} x {} <small>{}</small></summary>\n<p>{}</p>\n<div "
        "class=\"wide\"><table><thead><tr><th>time"
        "</th><th>host</th><th>kernel</th><th>files</th></tr></thead>\n<tbody>{}</tbody></table></"
        "div>\n<pre>{}</pre>\n"
        "</details>\n",
        group.crashes.size(), escape(text::or_unknown(example.crash_class)), escape(where(example)),
        escape(text::or_unknown(example.panic_message)), crashes,
        escape(group.family_text.empty() ? "no signature\n" : group.family_text));
  }
  std::string body = fmt::format(
      "<h1>{}</h1>\n<div class=\"wide\"><table><thead><tr><th "
      "class=\"n\">crashes</th><th>class</th><th>where</th>"
      "<th>kernels</th><th>seen</th><th>family</th></tr></thead>\n<tbody>{}</tbody></table></"
      "div>\n<h2>Groups</h2>\n{}",
      totals(all), rows, details);
  if (!all.unreadable.empty()) {
    body += "<h2>Unreadable</h2>\n<ul>\n";
    for (const UnreadableFile& file : all.unreadable) body += fmt::format("<li>{}</li>\n", escape(file.why));
    body += "</ul>\n";
  }
  return html::page(totals(all), body);
}

}  // namespace kdk
