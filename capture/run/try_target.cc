#include "capture/run/try_target.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "capture/crypt/seal.h"
#include "capture/filter/kernel_facts.h"
#include "capture/run/dump_name.h"
#include "capture/run/place.h"
#include "capture/summary.h"
#include "core/base/log.h"
#include "core/kernel/vmcoreinfo_search.h"

namespace kdk {
namespace {

using Kind = AttemptEvent::Kind;

// Whose dump, and of when. What cannot be read costs no more than its part of the name.
std::string name_of(const RunInput& input) {
  std::string host;
  uint64_t seconds = static_cast<uint64_t>(std::max<time_t>(0, input.started));
  try {
    const std::unique_ptr<Dump> dump = open_kernel_dump({input.dump}, input.vmcoreinfo);
    if (const std::optional<uint64_t> crashed = dump->vmcoreinfo().decimal("CRASHTIME")) seconds = *crashed;
    Kernel kernel(*dump);
    host = read_kernel_names(*dump, &kernel).nodename;
  } catch (const Error&) {
    // save_dump() meets the same error and reports it
  }
  return dump_name(host, seconds);
}

class Observer : public SaveObserver {
 public:
  Observer(const RunConfig& config, const RunTarget& target, Place& place, EventPipe& events)
      : config_(config), place_(place), events_(events) {
    if (target.encrypt_to) key_ = read_public_key(*target.encrypt_to);
  }

  void stage(std::string_view name) override { events_.send(Kind::stage, name); }

  void progress(uint64_t done, uint64_t, uint64_t bytes) override {
    events_.send(Kind::progress, "", done + bytes);
  }

  void log_read(const std::string& text) override {
    show_last_lines(text);
    if (key_) {
      place_.put("dmesg.txt.sealed", seal_file(*key_, as_bytes(text)));
      log_file_ = "dmesg.txt.sealed";
    } else {
      place_.put("dmesg.txt", as_bytes(text));
      log_file_ = "dmesg.txt";
    }
  }

  void reported(const CaptureReport& report) override {
    if (report.status == CaptureStatus::running) show_crash(report);
    // Beside the summary, whatever the directory is called in the end.
    CaptureReport told = report;
    told.log_file = log_file_;
    for (std::string& output : told.outputs) {
      output = output.starts_with("/proc/self/fd/") ? key_ ? "vmcore.sealed" : "vmcore.flat"
                                                    : std::filesystem::path(output).filename().string();
    }
    if (key_) {
      place_.put("summary.json.sealed", seal_file(*key_, as_bytes(summary_json(told))));
    } else {
      place_.put_summary(told);
    }
    put_summary_ = true;
  }

  // Whether the place has at least the log or a report.
  bool put_something() const { return put_summary_ || !log_file_.empty(); }

 private:
  void show_last_lines(std::string_view text) const {
    size_t begin = text.size();
    for (unsigned i = 0; i < config_.console_lines && begin != 0; ++i) {
      const size_t newline = begin < 2 ? std::string_view::npos : text.rfind('\n', begin - 2);
      begin = newline == std::string_view::npos ? 0 : newline + 1;
    }
    if (begin == text.size()) return;
    std::fprintf(stderr, "kdumpkit: the last lines of the crashed kernel:\n%s",
                 escape_untrusted(text.substr(begin), "\n").c_str());
  }

  // The answer in a few lines, for whoever has nothing but the console's record.
  static void show_crash(const CaptureReport& report) {
    if (!report.crash) return;
    const Crash& crash = *report.crash;
    std::string text = fmt::format("kdumpkit: panic: {}\nkdumpkit: class: {} ({})\n",
                                   crash.panic_message.empty() ? "(no message)" : crash.panic_message,
                                   crash.crash_class.name, crash.crash_class.title);
    if (const CpuState* cpu = crashing_cpu(crash)) {
      constexpr size_t most_frames = 24;
      for (size_t i = 0; i < std::min(most_frames, cpu->backtrace.frames.size()); ++i) {
        const Frame& frame = cpu->backtrace.frames[i];
        text += frame.symbol.empty()
                    ? fmt::format("kdumpkit: #{:<2} {:#x}\n", i, frame.pc)
                    : fmt::format("kdumpkit: #{:<2} {}+{:#x}{}\n", i, frame.symbol, frame.symbol_offset,
                                  frame.module.empty() ? "" : " [" + frame.module + "]");
      }
    }
    std::fputs(escape_untrusted(text, "\n").c_str(), stderr);
  }

  const RunConfig& config_;
  Place& place_;
  EventPipe& events_;
  std::optional<PublicKey> key_;
  std::string log_file_;
  bool put_summary_ = false;
};

// A dump that is whole, even if not all is well with it.
bool is_whole(const CaptureReport& report) {
  return !report.outputs.empty() && report.pipeline && !report.pipeline->failure &&
         !report.pipeline->stopped && report.status != CaptureStatus::failed &&
         std::ranges::none_of(report.outputs, [](const std::string& name) {
           return name.find(".incomplete") != std::string::npos;
         });
}

void save_and_finish(const RunConfig& config, const AttemptPlan& plan, const RunInput& input,
                     EventPipe& events, const std::atomic<bool>& stop) {
  events.send(Kind::stage, "prepare");
  if (is_remote(config.targets[plan.target].kind)) {
    for (const NetworkConfig& network : config.networks) with_context("network", [&] { bring_up(network); });
  }
  const std::unique_ptr<Place> place = make_place(config.targets[plan.target], plan.target);
  place->prepare(name_of(input));

  Observer observer(config, config.targets[plan.target], *place, events);
  SaveOptions options;
  options.inputs = {input.dump};
  options.vmcoreinfo = input.vmcoreinfo;
  options.level = config.levels.front();
  options.fallback_levels.assign(config.levels.begin() + 1, config.levels.end());
  options.max_size = config.targets[plan.target].max_bytes;
  options.codec = config.codec;
  options.codec_level = config.codec_level;
  options.threads = plan.caution >= Caution::one_thread ? 1 : config.threads;
  options.no_diagnosis = plan.caution >= Caution::no_diagnosis;
  options.all_pages = plan.caution >= Caution::all_pages;
  options.encrypt_to = config.targets[plan.target].encrypt_to;
  options.scrub = config.scrub;
  options.scrub_strict = config.scrub_strict;
  options.progress = config.progress;
  options.observer = &observer;
  options.output_name = config.targets[plan.target].describe();
  options.notes = plan.history;
  options.notes.insert(options.notes.end(), place->notes.begin(), place->notes.end());
  place->notes.clear();
  CaptureReport report;
  std::string failure;
  try {
    report = place->save(options, stop);
  } catch (const Error& e) {
    failure = e.message();
  }
  bool whole = failure.empty() && is_whole(report);
  // Log and summary stand, whatever became of the dump.
  events.send(Kind::stage, "finish");
  std::string where;
  try {
    where = place->finish(whole, [&](uint64_t bytes) { events.send(Kind::progress, "", bytes); });
  } catch (const Error& e) {
    whole = false;
    report.reasons.push_back("finishing: " + e.message());
  }
  for (const std::string& note : place->notes) log_warning("{}", note);
  if (!failure.empty()) report.reasons.push_back(failure);
  for (const std::string& reason : report.reasons) events.send(Kind::reason, reason);
  if (where.empty()) where = config.targets[plan.target].describe();
  if (whole) {
    events.send(Kind::saved, where);
  } else if ((report.pipeline && place->took_data()) || observer.put_something()) {
    events.send(Kind::cut, where);
  } else {
    events.send(Kind::failed, report.reasons.empty() ? "nothing was saved" : report.reasons.back());
  }
}

}  // namespace

void try_target(const RunConfig& config, const AttemptPlan& plan, const RunInput& input, EventPipe& events,
                const std::atomic<bool>& stop) {
  try {
    save_and_finish(config, plan, input, events, stop);
  } catch (const Error& e) {
    events.send(Kind::failed, e.message());
  } catch (const std::filesystem::filesystem_error& e) {
    events.send(Kind::failed, fmt::format("{}: {}", e.path1().string(), e.code().message()));
  }
}

}  // namespace kdk
