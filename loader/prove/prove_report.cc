// The result of `kdump-load test`, for people and as JSON.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "core/base/log.h"
#include "loader/plan/checks.h"
#include "loader/prove/prove.h"

namespace kdk {
namespace {

using Verdict = ProveResult::Verdict;
using Trial = ProveResult::Trial;
using Json = nlohmann::ordered_json;

std::string_view describe(BootStage stage) {
  switch (stage) {
    case BootStage::nothing:
      return "the crash kernel said nothing";
    case BootStage::kernel:
      return "the crash kernel ran, but no program";
    case BootStage::init:
      return "the initramfs ran, but not the capture program";
    case BootStage::capture:
      return "the capture program ran";
  }
  return "";
}

void add_lines(std::string& out, std::string_view title, const std::vector<std::string>& lines) {
  if (lines.empty()) return;
  out += fmt::format("{}\n", title);
  for (const std::string& line : lines) out += fmt::format("  {}\n", escape_untrusted(line));
}

std::string trial_text(const Trial& trial, Verdict verdict) {
  const ConsoleWatch& console = trial.console;
  const VirtualMachine& vm = trial.vm;
  std::string out;
  if (vm.board != nullptr && verdict != Verdict::not_tried) {
    out += fmt::format("machine    {}, {}, {}\n", vm.board->description, vm.cpu, to_string(vm.acceleration));
    out += fmt::format("kernel     {}\n", escape_untrusted(trial.real.kernel.path));
    if (trial.real.initrd) out += fmt::format("initramfs  {}\n", escape_untrusted(trial.real.initrd->path));
    for (const Range& region : vm.crash_regions)
      out += fmt::format("memory     {} ({})\n", to_string(region), mib(region.size));
    if (console.memory_available()) {
      out += fmt::format(
          "           {} free when the kernel had started, the packed initramfs counted as used\n",
          mib(*console.memory_available()));
    }
    out += fmt::format("stage      {} after {:.0f} s: {}\n", to_string(console.stage()), trial.seconds,
                       describe(console.stage()));
  }
  if (verdict == Verdict::reached) add_lines(out, "on the way", console.problems());
  add_lines(out, "load refuses this", trial.refusals);
  if (verdict == Verdict::not_tried) return out;
  add_lines(out, "capture said", console.capture_said());
  if (verdict == Verdict::not_reached) add_lines(out, "the console's last lines", console.last_lines());
  add_lines(out, "command line, in the virtual machine only", trial.changes);
  add_lines(out, "not proved, because the virtual machine differs", trial.differences);
  return out;
}

std::string hex(uint64_t value) {
  return fmt::format("0x{:016x}", value);
}

Json strings_json(const std::vector<std::string>& strings) {
  Json list = Json::array();
  for (const std::string& text : strings) list.push_back(escape_untrusted(text));
  return list;
}

Json regions_json(const std::vector<Range>& ranges) {
  Json list = Json::array();
  for (const Range& range : ranges) list.push_back({{"start", hex(range.start)}, {"size", hex(range.size)}});
  return list;
}

Json file_json(const InputIdentity& file) {
  return {{"path", escape_untrusted(file.path)}, {"size_bytes", file.size}, {"sha256", file.sha256}};
}

template <typename T>
Json optional_json(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

Json trial_json(const Trial& trial) {
  const ConsoleWatch& console = trial.console;
  const VirtualMachine& vm = trial.vm;
  return {{"architecture", trial.real.architecture->name},
          {"syscall", to_string(trial.real.call)},
          {"kernel", file_json(trial.real.kernel)},
          {"initrd", trial.real.initrd ? file_json(*trial.real.initrd) : Json(nullptr)},
          {"crash_regions", regions_json(trial.real.crash_regions)},
          {"command_line", escape_untrusted(trial.test_command_line)},
          {"command_line_changes", strings_json(trial.changes)},
          {"virtual_machine",
           {{"qemu", escape_untrusted(trial.qemu)},
            {"acceleration", to_string(vm.acceleration)},
            {"cpu", vm.cpu},
            {"cpus", vm.cpus},
            {"memory_bytes", vm.memory},
            {"crash_regions", regions_json(vm.crash_regions)},
            {"moved", vm.moved}}},
          {"stage", to_string(console.stage())},
          {"seconds", trial.seconds},
          {"init", escape_untrusted(console.init())},
          {"memory_available_bytes", optional_json(console.memory_available())},
          {"memory_total_bytes", optional_json(console.memory_total())},
          {"problems", strings_json(console.problems())},
          {"refusals", strings_json(trial.refusals)},
          {"capture_said", strings_json(console.capture_said())},
          {"last_lines", strings_json(console.last_lines())},
          {"differences", strings_json(trial.differences)}};
}

}  // namespace

std::string prove_to_text(const ProveResult& result) {
  std::string out;
  switch (result.verdict) {
    case Verdict::reached:
      out = "reached: in a virtual machine this crash kernel starts the capture program\n";
      break;
    case Verdict::not_reached:
      out = fmt::format("NOT REACHED: {}\n", escape_untrusted(result.cause));
      break;
    case Verdict::not_tried:
      out = fmt::format("not tried: {}\n", escape_untrusted(result.cause));
      break;
  }
  if (result.trial) out += trial_text(*result.trial, result.verdict);
  return out;
}

std::string prove_to_json(const ProveResult& result) {
  Json json = {{"schema", {{"id", "kdumpkit/load-test"}, {"version", "1.0.0"}}},
               {"tool", {{"name", "kdump-load"}, {"version", KDK_VERSION}}},
               {"verdict", to_string(result.verdict)},
               {"cause", escape_untrusted(result.cause)},
               {"trial", nullptr}};
  bool tried = result.trial && result.verdict != Verdict::not_tried;
  if (tried) json["trial"] = trial_json(*result.trial);
  return json.dump(2);
}

}  // namespace kdk
