#include "analyze/triage/redact.h"

#include <array>
#include <utility>

#include "analyze/triage/redact_text.h"

namespace kdk {
namespace {

constexpr auto levels = std::to_array<std::pair<std::string_view, RedactionLevel>>({
    {"none", RedactionLevel::none},
    {"default", RedactionLevel::normal},
    {"strict", RedactionLevel::strict},
});

class Pass {
 public:
  Pass(Report& report, bool strict) : report_(report), strict_(strict) {
    replace_.add_host(report.identity.hostname);
  }

  void run() {
    SystemInfo& id = report_.identity;
    if (std::string host = replace_(id.hostname); !id.hostname.empty()) id.hostname = std::move(host);
    id.command_line = strict_ ? without_values(id.command_line) : replace_(id.command_line);
    text(id.version);
    for (std::string& file : report_.input.files) text(file);
    for (std::string& line : report_.input.erased) text(line);
    text(report_.evidence.vmlinux);
    for (std::string& file : report_.evidence.vmlinux_tried) text(file);
    for (std::string& why : report_.evidence.vmlinux_refused) text(why);
    text(report_.evidence.vmlinux_debug_file);
    for (ModuleDebugFacts& module : report_.evidence.modules) {
      text(module.path);
      for (std::string& why : module.refused) text(why);
    }
    names_of_tasks();
    if (report_.activity) activity(*report_.activity);
    if (report_.crash) crash(*report_.crash);
    for (Finding& finding : report_.findings) finding.title = line(finding.title, true);
    if (report_.log) log(*report_.log);
    for (Limit& limit : report_.limits) {
      text(limit.detail);
      text(limit.need);
    }
  }

  std::map<std::string, uint64_t> counts() const { return replace_.counts(); }

 private:
  void text(std::string& what) { what = replace_(what); }

  std::string name_of_task(const std::string& comm) { return replace_.pseudonym("task", comm); }

  void names_of_tasks() {
    if (!strict_ || !report_.tasks) return;
    for (Task& task : report_.tasks->tasks) {
      if (task.kernel_thread || task.comm.empty()) continue;
      user_names_.emplace(task.comm, name_of_task(task.comm));
      task.comm = user_names_.at(task.comm);
    }
    if (report_.blocked) {
      for (TaskStack& stack : report_.blocked->stacks) {
        for (StackOwner& owner : stack.owners) comm(owner.task.comm);
      }
    }
    if (report_.locks) {
      for (Task& task : report_.locks->processes.list.tasks) comm(task.comm);
      for (SpinLock& lock : report_.locks->spinning.locks) {
        for (SpinCpu& waiter : lock.waiters) comm(waiter.comm);
        for (SpinHolder& holder : lock.holders) comm(holder.by.comm);
      }
    }
  }
  void activity(Activity& activity) {
    if (activity.queues) {
      for (RunQueue& queue : activity.queues->cpus) {
        owner(queue.current);
        for (QueuedTask& task : queue.queued) comm(task.owner.task.comm);
      }
    }
    if (activity.late) {
      for (CpuTimers& cpu : activity.late->cpus) {
        for (PendingTimer& timer : cpu.timers) owner(timer.task);
      }
    }
    if (activity.works) {
      for (WorkerPool& pool : activity.works->pools) {
        for (BusyWorker& worker : pool.busy) owner(worker.task);
      }
    }
  }
  void owner(std::optional<StackOwner>& of) {
    if (of) comm(of->task.comm);
  }
  // Of every list, so that none tells what another one hides.
  void comm(std::string& name) {
    if (const auto found = user_names_.find(name); found != user_names_.end()) name = found->second;
  }

  void crash(Crash& crash) {
    text(crash.panic_message);
    comm(crash.comm);
    for (LogEvidence& evidence : crash.crash_class.evidence) evidence.text = line(evidence.text);
    for (CpuState& cpu : crash.cpus) comm(cpu.comm);
    for (std::string& problem : crash.problems) text(problem);
  }

  void log(LogFacts& facts) {
    for (LogRecord& record : facts.tail) {
      // kern is facility 0 (include/linux/syslog.h): the others come from /dev/kmsg.
      record.text =
          strict_ && record.facility != 0 ? replace_.pseudonym("message", record.text) : line(record.text);
      text(record.device);
    }
    for (std::string& problem : facts.problems) text(problem);
  }

  // The kernel names tasks in its messages, too, and our findings do.
  std::string line(const std::string& what, bool finding = false) {
    std::string out = replace_(what);
    for (const auto& [name, stands_for] : user_names_) {
      if (finding) {
        replace_name(out, "", name, stands_for);
      } else {
        for (std::string_view mark : {"Comm: ", "task ", "process "})
          replace_name(out, mark, name, stands_for);
      }
    }
    return out;
  }

  // Where it stands behind `mark` and ends as a name does.
  static void replace_name(std::string& text, std::string_view mark, const std::string& name,
                           const std::string& stands_for) {
    const std::string from = std::string(mark) + name;
    for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + 1)) {
      const size_t end = at + from.size();
      const bool starts = !mark.empty() || at == 0 || text[at - 1] == ' ';
      const bool ends = end == text.size() || text[end] == ' ' || text[end] == ':' || text[end] == '/';
      if (starts && ends) text.replace(at + mark.size(), name.size(), stands_for);
    }
  }

  // "root=/dev/vda1 quiet" -> "root=value-1 quiet".
  std::string without_values(const std::string& command_line) {
    std::string out;
    for (size_t at = 0; at < command_line.size();) {
      const size_t end = std::min(command_line.find(' ', at), command_line.size());
      const std::string_view word = std::string_view(command_line).substr(at, end - at);
      const size_t equals = word.find('=');
      if (equals == std::string_view::npos) {
        out += replace_(word);
      } else {
        out += word.substr(0, equals + 1);
        out += replace_.pseudonym("value", word.substr(equals + 1));
      }
      if (end < command_line.size()) out += ' ';
      at = end + 1;
    }
    return out;
  }

  Report& report_;
  bool strict_;
  TextRedactor replace_;
  std::map<std::string, std::string> user_names_;  // of user tasks: what stands for them
};

}  // namespace

std::optional<RedactionLevel> redaction_level(std::string_view word) {
  for (const auto& [name, level] : levels) {
    if (name == word) return level;
  }
  return std::nullopt;
}

std::string_view to_string(RedactionLevel level) {
  for (const auto& [name, of] : levels) {
    if (of == level) return name;
  }
  return "none";
}

void redact(Report& report, RedactionLevel level) {
  report.redaction = {level, {}};
  if (level == RedactionLevel::none) return;
  Pass pass(report, level == RedactionLevel::strict);
  pass.run();
  report.redaction.counts = pass.counts();
}

}  // namespace kdk
