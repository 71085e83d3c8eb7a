#include "analyze/triage/memory_history.h"

#include <fmt/format.h>

#include <charconv>
#include <optional>
#include <string>
#include <string_view>

#include "analyze/triage/report.h"
#include "analyze/triage/watchmen.h"
#include "core/base/log.h"
#include "core/diagnose/log_trace.h"

namespace kdk {
namespace {

// One of "allocated" and "freed".
struct Event {
  size_t record = 0;
  std::string function;  // that asked the allocator
  std::optional<int32_t> pid;
};

std::optional<int32_t> number_after(std::string_view line, std::string_view key) {
  const size_t at = line.find(key);
  if (at == std::string_view::npos) return std::nullopt;
  int32_t value = 0;
  const char* begin = line.data() + at + key.size();
  if (std::from_chars(begin, line.data() + line.size(), value).ec != std::errc{}) return std::nullopt;
  return value;
}

// "Allocated by task 88:" with a trace below it (mm/kasan/report.c, print_track), "allocated by task 88 on
// cpu 0 at 12.3s (0.1s ago):" (mm/kfence/report.c, kfence_print_stack), "Allocated in kmem_foo+0x1/0x2 age=9
// cpu=0 pid=88" (mm/slub.c, print_track).
std::optional<Event> event(const LogLine& line, std::string_view what) {
  std::string_view text = line.text;
  if (text.size() < what.size() + 1 || (text[0] | 0x20) != what[0] ||
      !text.substr(1).starts_with(what.substr(1)))
    return std::nullopt;
  text.remove_prefix(what.size());
  if (text.starts_with(" by task ")) return Event{line.record, {}, number_after(text, "by task ")};
  if (!text.starts_with(" in ")) return std::nullopt;
  text.remove_prefix(4);
  const std::string_view function = text.substr(0, text.find_first_of("+ "));
  return Event{line.record, escape_untrusted(function), number_after(text, " pid=")};
}

// "The buggy address belongs to a 1-page vmalloc region starting at 0xffff800080037000 allocated at
// foo+0x14/0x6c", and before it was put so, two lines: " [ffff800080037000, ffff800080039000) created by:"
// and " foo+0x14/0x6c" (mm/kasan/report.c, print_address_description).
std::optional<Event> vmalloc_event(const LogLine& line) {
  const std::string_view text = line.text;
  if (text.starts_with(" [") && text.ends_with(") created by:")) return Event{line.record, {}, {}};
  constexpr std::string_view where = " allocated at ";
  const size_t at = text.find(where);
  if (text.find(" vmalloc region starting at ") == text.npos || at == text.npos) return std::nullopt;
  const std::string_view function = text.substr(at + where.size());
  return Event{line.record, escape_untrusted(function.substr(0, function.find('+'))), {}};
}

// Where KASAN says that the address is of the object (mm/kasan/report.c, describe_object_addr):
//   " which belongs to the cache kmalloc-1k of size 1024"
//   "The buggy address is located 16 bytes inside of"
//   " freed 1024-byte region [ffff000001448800, ffff000001448c00)"
// Of a double free, and in older kernels, neither "freed" nor "allocated" is said.
struct Place {
  std::string cache, distance, region;

  void read(std::string_view line) {
    constexpr std::string_view of_cache = " which belongs to the cache ",
                               located = "The buggy address is located ";
    if (line.starts_with(of_cache)) {
      line.remove_prefix(of_cache.size());
      cache = escape_untrusted(line.substr(0, line.find(" of size ")));
    } else if (line.starts_with(located)) {
      distance = escape_untrusted(line.substr(located.size()));
      region.clear();
    } else if (region.empty() && !distance.empty() && line.starts_with(" ")) {
      const size_t end = line.find("-byte region [");
      if (end != line.npos) region = escape_untrusted(line.substr(1, end - 1)) + "-byte region";
    }
  }
  std::string said() const {
    if (distance.empty() || region.empty() || cache.empty()) return {};
    return fmt::format("; the address is {} the {} of {}", distance, region, cache);
  }
};

bool begins_report(std::string_view line) {
  return line.starts_with("BUG: KASAN: ") || line.starts_with("BUG: KFENCE: ") ||
         (line.starts_with("BUG ") && line.find("ainted") != line.npos);
}

std::string said(const Event& event, std::string_view what) {
  std::string out(what);
  if (!event.function.empty()) out += fmt::format(" in {}", event.function);
  if (event.pid) out += fmt::format(" by task {}", *event.pid);
  return out;
}

}  // namespace

std::vector<Finding> find_memory_history(const LogFacts& log) {
  KernelLog tail;
  tail.records = log.tail;
  std::optional<Event> allocated, freed;
  Event* in_trace = nullptr;
  Place place;
  for (const LogLine& line : kernel_lines(tail)) {
    place.read(line.text);
    if (begins_report(line.text)) {
      allocated.reset(), freed.reset();
      place = {};
      in_trace = nullptr;
    } else if (auto got = event(line, "allocated")) {
      in_trace = &allocated.emplace(std::move(*got));
    } else if (auto mapped = vmalloc_event(line)) {
      in_trace = &allocated.emplace(std::move(*mapped));
    } else if (auto lost = event(line, "freed")) {
      in_trace = &freed.emplace(std::move(*lost));
    } else if (in_trace != nullptr && in_trace->function.empty()) {
      const std::optional<LogTraceEntry> entry = parse_trace_entry(line.text);
      if (!entry) {
        in_trace = nullptr;
      } else if (!entry->module.empty() || !is_watchman(entry->function)) {
        in_trace->function = entry->function;
      }
    }
  }
  if (!allocated && !freed) return {};
  std::string title = "The memory was ";
  std::vector<std::string> evidence;
  for (const auto& [happened, what] : {std::pair(&allocated, "allocated"), std::pair(&freed, "freed")}) {
    if (!*happened) continue;
    title += (evidence.empty() ? "" : ", and ") + said(**happened, what);
    evidence.push_back(fmt::format("/log/tail/{}", (*happened)->record));
  }
  title += place.said();
  return {{"KD0012", "memory_history", "info", 0.8, title, evidence,
           "the checker's own words, with the whole stacks, are in the log"}};
}

}  // namespace kdk
