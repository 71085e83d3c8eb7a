#include "analyze/render/activity.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <vector>

#include "analyze/render/devices.h"
#include "analyze/render/html_page.h"
#include "analyze/render/html_parts.h"
#include "analyze/render/run_queues.h"
#include "analyze/render/text_parts.h"
#include "analyze/render/timers.h"

namespace kdk {
namespace {

using nlohmann::ordered_json;

constexpr size_t max_lines = 40;  // of a section; a report is read, the commands list

struct Section {
  std::string title, remark, command, body;
};

// What text and HTML show alike: only where something waited.
std::vector<Section> sections(const Activity& activity) {
  std::vector<Section> out;
  auto add = [&](std::string_view title, std::string_view remark, std::string_view command,
                 std::string body) {
    if (!body.empty())
      out.push_back({std::string(title), std::string(remark), std::string(command), std::move(body)});
  };
  std::string body;
  if (activity.queues) {
    for (const RunQueue& queue : activity.queues->cpus) {
      if (!queue.queued.empty()) body += text::run_queue(*activity.queues, queue);
    }
    add("Run queues", "CPUs that tasks waited for", "runq", std::move(body));
  }
  body.clear();
  if (activity.late) {
    for (const CpuTimers& cpu : activity.late->cpus) {
      body += fmt::format("CPU {}\n", cpu.cpu);
      for (const PendingTimer& timer : cpu.timers) body += text::pending_timer(timer);
    }
    add("Overdue timers", "due before the last tick, not run", "timer", std::move(body));
  }
  body.clear();
  if (activity.works) {
    for (const WorkerPool& pool : activity.works->pools) body += text::worker_pool(pool);
    add("Works", "busy workers and works that waited", "workqueue", std::move(body));
  }
  body.clear();
  if (activity.disks) {
    for (const BlockDevice& disk : activity.disks->disks) {
      body += fmt::format("{}  {}{}\n", disk.name, disk.driver,
                          disk.quiesce_depth.value_or(0) != 0 ? ", QUIESCED" : "");
      for (const BlockRequest& request : disk.requests) body += text::block_request(request);
    }
    add("Block I/O", "requests on their way", "dev", std::move(body));
  }
  return out;
}

// The first lines, and how many more there are.
std::string cut(const Section& section, std::string_view indent) {
  std::string out;
  size_t lines = 0, at = 0;
  while (at < section.body.size()) {
    const size_t end = section.body.find('\n', at);
    if (lines++ < max_lines)
      out += fmt::format("{}{}\n", indent, std::string_view(section.body).substr(at, end - at));
    at = end + 1;
  }
  if (lines > max_lines)
    out += fmt::format("{}... {} more lines: kdump-analyze {}\n", indent, lines - max_lines, section.command);
  return out;
}

std::string upper(std::string text) {
  for (char& c : text) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return text;
}

}  // namespace

std::string text::activity(const Activity& activity) {
  std::string out;
  for (const Section& section : sections(activity))
    out += heading(upper(section.title), section.remark) + cut(section, "  ");
  return out;
}

std::string html::activity(const Activity& activity) {
  std::string out;
  for (const Section& section : sections(activity))
    out += heading(section.title, section.remark) + "<pre>" + escape(cut(section, "")) + "</pre>\n";
  return out;
}

ordered_json json::activity(const Activity& activity) {
  ordered_json out = {
      {"run_queues", nullptr}, {"overdue_timers", nullptr}, {"worker_pools", nullptr}, {"disks", nullptr}};
  if (activity.queues) {
    out["run_queues"] = ordered_json::array();
    for (const RunQueue& queue : activity.queues->cpus)
      out["run_queues"].push_back(run_queue(*activity.queues, queue));
  }
  if (activity.late) {
    out["overdue_timers"] = ordered_json::array();
    for (const CpuTimers& cpu : activity.late->cpus) {
      ordered_json timers = ordered_json::array();
      for (const PendingTimer& timer : cpu.timers) timers.push_back(pending_timer(timer));
      out["overdue_timers"].push_back({{"cpu", cpu.cpu}, {"timers", std::move(timers)}});
    }
  }
  if (activity.works) {
    out["worker_pools"] = ordered_json::array();
    for (const WorkerPool& pool : activity.works->pools) out["worker_pools"].push_back(worker_pool(pool));
  }
  if (activity.disks) {
    out["disks"] = ordered_json::array();
    for (const BlockDevice& disk : activity.disks->disks) out["disks"].push_back(block_device(disk));
  }
  return out;
}

}  // namespace kdk
