#include "analyze/triage/report_diff.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "analyze/triage/report_document.h"
#include "core/base/log.h"

namespace kdk {
namespace {

using document::at;
using document::redacted;
using nlohmann::json;
using Path = std::initializer_list<std::string_view>;

constexpr size_t max_functions = 512;  // of one trace
// A counter of memory is worth a line when it moved by a tenth and by more than this.
constexpr uint64_t least_bytes = uint64_t{1} << 20;

// A value as text; "" for null and for what is no single value.
std::string text(const json& value) {
  if (value.is_string()) return document::text(value);
  if (value.is_boolean() || value.is_number()) return value.dump();
  return {};
}

class Comparison {
 public:
  Comparison(const json& a, const json& b, ReportDiff& out) : a_(a), b_(b), out_(out) {}

  void run() {
    out_.same_bug = same_bug();
    for (const char* member : {"class", "title", "panic_message", "function"})
      value("crash", member, {"summary", member});
    value("crash", "module", {"summary", "module"}, {"summary", "function"});  // null: the kernel itself
    for (const char* member : {"file", "line"}) value("crash", member, {"summary", member});
    for (const char* member : {"release", "version", "machine", "build_id", "cpus_possible"})
      value("kernel", member, {"identity", member});
    if (redacted(a_) == redacted(b_)) value("kernel", "command_line", {"identity", "command_line", "text"});
    value("kernel", "taint", {"identity", "taint", "letters"});
    // "host-1" in a redacted report may be any machine.
    if (!redacted(a_) && !redacted(b_)) value("kernel", "hostname", {"identity", "hostname"});
    trace();
    modules();
    memory();
    states();
    findings();
  }

 private:
  void add(std::string section, std::string what, std::string a, std::string b) {
    if (a != b) out_.changes.push_back({std::move(section), std::move(what), std::move(a), std::move(b)});
  }
  void value(const char* section, const char* what, Path path) { value(section, what, path, path); }
  // `known_by`: the member that is null where nothing is known of this one.
  void value(const char* section, const char* what, Path path, Path known_by) {
    const size_t before = out_.changes.size();
    add(section, what, text(at(a_, path)), text(at(b_, path)));
    if (out_.changes.size() == before) return;
    out_.changes.back().a_unknown = at(a_, known_by).is_null();
    out_.changes.back().b_unknown = at(b_, known_by).is_null();
  }

  std::string same_bug() const {
    auto same = [&](const char* kind) {
      const std::string x = text(at(a_, {"signatures", kind, "sha256"})),
                        y = text(at(b_, {"signatures", kind, "sha256"}));
      return x.empty() || y.empty() ? -1 : x == y ? 1 : 0;
    };
    if (same("exact") == 1) return "exact";
    const int family = same("family");
    return family == 1 ? "family" : family == 0 ? "no" : "unknown";
  }

  // Functions on the stack of the CPU that crashed, inlined ones not among them: they need a vmlinux.
  static std::vector<std::string> functions(const json& report) {
    std::vector<std::string> out;
    const json& cpus = at(report, {"crash", "cpus"});
    if (!cpus.is_array()) return out;
    for (const json& cpu : cpus) {
      if (at(cpu, {"crashed"}) != json(true)) continue;
      const json& frames = at(cpu, {"backtrace", "frames"});
      if (!frames.is_array()) continue;
      for (const json& frame : frames) {
        std::string name = text(at(frame, {"symbol"}));
        if (name.empty()) name.assign(1, '?');
        if (std::string module = text(at(frame, {"module"})); !module.empty())
          name += fmt::format(" [{}]", module);
        if (out.size() < max_functions) out.push_back(std::move(name));
      }
    }
    return out;
  }

  // What is only in one of the two traces, by their longest common subsequence.
  void trace() {
    const std::vector<std::string> x = functions(a_), y = functions(b_);
    std::vector<std::vector<uint16_t>> longest(x.size() + 1, std::vector<uint16_t>(y.size() + 1));
    for (size_t i = x.size(); i-- > 0;) {
      for (size_t j = y.size(); j-- > 0;) {
        longest[i][j] = x[i] == y[j] ? static_cast<uint16_t>(longest[i + 1][j + 1] + 1)
                                     : std::max(longest[i + 1][j], longest[i][j + 1]);
      }
    }
    size_t i = 0, j = 0;
    while (i < x.size() || j < y.size()) {
      if (i < x.size() && j < y.size() && x[i] == y[j]) {
        ++i, ++j;
      } else if (j == y.size() || (i < x.size() && longest[i + 1][j] >= longest[i][j + 1])) {
        add("trace", fmt::format("#{}", i), x[i], "");
        ++i;
      } else {
        add("trace", fmt::format("#{}", j), "", y[j]);
        ++j;
      }
    }
  }

  static std::map<std::string, std::string> by_name(const json& items) {
    std::map<std::string, std::string> out;
    if (!items.is_array()) return out;
    for (const json& item : items) {
      std::string name = text(at(item, {"name"})), facts;
      for (const char* member :
           {"version", "srcversion", "build_id", "size_bytes", "taint_letters", "state"}) {
        const std::string fact = text(at(item, {member}));
        if (!fact.empty()) facts += fmt::format("{}{} {}", facts.empty() ? "" : ", ", member, fact);
      }
      if (!name.empty()) out[name] = facts.empty() ? "loaded" : facts;
    }
    return out;
  }

  void modules() {
    const json &x = at(a_, {"modules", "items"}), &y = at(b_, {"modules", "items"});
    if (!x.is_array() || !y.is_array()) return;  // unknown is no difference
    both("modules", by_name(x), by_name(y));
  }

  void both(const char* section, const std::map<std::string, std::string>& x,
            const std::map<std::string, std::string>& y) {
    std::set<std::string> names;
    for (const auto& [name, unused] : x) names.insert(name);
    for (const auto& [name, unused] : y) names.insert(name);
    for (const std::string& name : names) {
      const auto in_a = x.find(name), in_b = y.find(name);
      add(section, name, in_a == x.end() ? "" : in_a->second, in_b == y.end() ? "" : in_b->second);
    }
  }

  void memory() {
    const json& x = at(a_, {"memory"});
    if (!x.is_object()) return;
    for (const auto& [name, value] : x.items()) {
      const json& other = at(b_, {"memory", name});
      if (!value.is_number_unsigned() || !other.is_number_unsigned()) continue;
      const uint64_t from = value.get<uint64_t>(), to = other.get<uint64_t>();
      const uint64_t moved = from > to ? from - to : to - from;
      if (moved > least_bytes && moved > std::max(from, to) / 10)
        add("memory", escape_untrusted(name), text(value), text(other));
    }
  }

  void states() {
    auto counts = [](const json& report) {
      std::map<std::string, std::string> out;
      const json& states = at(report, {"tasks", "states"});
      if (!states.is_object()) return out;
      for (const auto& [state, count] : states.items()) out[escape_untrusted(state)] = text(count);
      return out;
    };
    const auto x = counts(a_), y = counts(b_);
    if (!x.empty() && !y.empty()) both("tasks", x, y);
  }

  // By their names: titles have pids and addresses in them.
  void findings() {
    auto counts = [](const json& report) {
      std::map<std::string, size_t> out;
      const json& all = at(report, {"findings"});
      if (!all.is_array()) return out;
      for (const json& one : all) ++out[text(at(one, {"name"}))];
      return out;
    };
    std::map<std::string, std::string> x, y;
    for (const auto& [name, count] : counts(a_)) x[name] = std::to_string(count);
    for (const auto& [name, count] : counts(b_)) y[name] = std::to_string(count);
    both("findings", x, y);
  }

  const json &a_, &b_;
  ReportDiff& out_;
};

ReportDiff::Side side(const json& report, const std::string& name) {
  return {escape_untrusted(name), text(at(report, {"summary", "title"})),
          text(at(report, {"identity", "release"})), text(at(report, {"identity", "crash_time", "utc"}))};
}

}  // namespace

ReportDiff compare_reports(const std::string& a, const std::string& a_name, const std::string& b,
                           const std::string& b_name) {
  const json x = document::parse(a, a_name), y = document::parse(b, b_name);
  ReportDiff out;
  out.a = side(x, a_name);
  out.b = side(y, b_name);
  Comparison(x, y, out).run();
  return out;
}

}  // namespace kdk
