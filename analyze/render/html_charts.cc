#include "analyze/render/html_charts.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "analyze/render/html_page.h"
#include "analyze/render/text_parts.h"

namespace kdk::html {
namespace {

constexpr uint64_t window_ns = 10'000'000'000;  // of the log before its end
constexpr size_t max_lanes = 16;
constexpr uint32_t caller_is_cpu = 0x80000000;  // kernel/printk/printk.c printk_caller_id()

std::optional<uint64_t> less(std::optional<uint64_t> a, std::optional<uint64_t> b) {
  if (!a || !b) return a;
  return *a > *b ? *a - *b : 0;
}

std::string caller_name(uint32_t caller, const TaskList* tasks) {
  if (caller == 0) return "any CPU";
  if (caller & caller_is_cpu) return fmt::format("CPU {}", caller & ~caller_is_cpu);
  std::string name = fmt::format("task {}", caller);
  if (tasks == nullptr) return name;
  for (const Task& task : tasks->tasks) {
    if (task.pid && std::cmp_equal(*task.pid, caller)) return name + " " + task.comm;
  }
  return name;
}

}  // namespace

std::string memory_bar(const MemorySummary& m) {
  struct Part {
    std::string_view name;
    std::optional<uint64_t> pages;
  };
  std::optional<uint64_t> stacks;
  if (m.kernel_stack_bytes && m.page_bytes != 0) stacks = *m.kernel_stack_bytes / m.page_bytes;
  // Shared memory is counted among the file pages (NR_FILE_PAGES includes NR_SHMEM).
  const Part parts[] = {{"anonymous", m.anon},
                        {"file cache", less(m.file, m.shmem)},
                        {"shared", m.shmem},
                        {"slab", m.slab_unreclaimable},
                        {"slab reclaimable", m.slab_reclaimable},
                        {"page tables", m.page_tables},
                        {"kernel stacks", stacks},
                        {"free", m.free}};
  if (m.total.value_or(0) == 0) return {};
  uint64_t limit = 0;  // a hostile total must not wrap what follows
  if (__builtin_mul_overflow(*m.total, uint64_t{m.page_bytes} * std::size(parts), &limit) || limit == 0)
    return {};
  uint64_t known = 0;
  for (const Part& part : parts) known += std::min(part.pages.value_or(0), *m.total);
  if (known == 0) return {};
  uint64_t whole = std::max(*m.total, known);  // counters of a damaged dump may add up to more
  std::string bar, legend;
  int colour = 0;  // as in the style sheet
  auto add = [&](std::string_view name, uint64_t pages, int key) {
    double percent = 100.0 * static_cast<double>(pages) / static_cast<double>(whole);
    std::string size = text::bytes(pages * m.page_bytes);
    bar += fmt::format("<i class=\"m{}\" style=\"width:{:.2f}%\" title=\"{}: {}\"></i>", key, percent, name,
                       size);
    legend += fmt::format(
        "<tr><td><span class=\"key m{}\"></span>{}</td><td class=\"n\">{}</td><td class=\"n\">{:.1f} "
        "%</td></tr>\n",
        key, name, size, percent);
  };
  for (const Part& part : parts) {
    ++colour;
    if (part.pages) add(part.name, std::min(*part.pages, *m.total), colour);
  }
  if (whole > known) add("not counted", whole - known, 0);
  return fmt::format(
      "<div class=\"bar\" role=\"img\" aria-label=\"Memory by class, as in the table below\">{}</div>\n"
      "<table><thead><tr><th>class</th><th class=\"n\">size</th><th class=\"n\">of {}</th></tr></thead>\n"
      "<tbody>{}</tbody></table>\n",
      bar, text::bytes(whole * m.page_bytes), legend);
}

std::string log_timeline(const LogFacts& log, const TaskList* tasks) {
  uint64_t end = 0;
  for (const LogRecord& record : log.tail) end = std::max(end, record.time_ns);
  uint64_t begin = end > window_ns ? end - window_ns : 0, first = end;
  std::map<uint32_t, std::vector<const LogRecord*>> by_caller;
  size_t shown = 0;
  for (const LogRecord& record : log.tail) {
    if (record.time_ns < begin || record.incomplete) continue;
    by_caller[record.caller_id].push_back(&record);
    first = std::min(first, record.time_ns);
    ++shown;
  }
  if (shown < 2 || first == end) return {};
  // CPUs in order, then tasks: whoever said most is not necessarily who matters, so none is ranked away
  // before there are too many.
  std::vector<std::pair<uint32_t, std::vector<const LogRecord*>>> lanes(by_caller.begin(), by_caller.end());
  std::stable_sort(lanes.begin(), lanes.end(), [](const auto& a, const auto& b) {
    return (a.first & caller_is_cpu) > (b.first & caller_is_cpu);
  });
  std::string out;
  for (size_t i = 0; i < std::min(lanes.size(), max_lanes); ++i) {
    std::string marks;
    for (const LogRecord* record : lanes[i].second) {
      double at = 100.0 * static_cast<double>(record->time_ns - first) / static_cast<double>(end - first);
      marks += fmt::format("<i class=\"l{}\" style=\"left:{:.2f}%\" title=\"{}\"></i>", record->level & 7, at,
                           escape(format_record(*record)));
    }
    out += fmt::format("<div class=\"lane\"><span>{}</span><div class=\"track\">{}</div></div>\n",
                       escape(caller_name(lanes[i].first, tasks)), marks);
  }
  if (lanes.size() > max_lanes) {
    out +=
        fmt::format("<p class=\"dim\">{} more callers are in the log below.</p>\n", lanes.size() - max_lanes);
  }
  double seconds = static_cast<double>(end - first) / 1e9;
  out += fmt::format(
      "<div class=\"axis\"><span>{:.3f} s before the last record</span><span>{:.6f} s</span></div>\n",
      seconds, static_cast<double>(end) / 1e9);
  if (by_caller.size() == 1 && by_caller.begin()->first == 0) {
    out +=
        "<p class=\"dim\">This kernel does not record who logs (CONFIG_PRINTK_CALLER is off): one row for "
        "all "
        "CPUs.</p>\n";
  }
  return out;
}

}  // namespace kdk::html
