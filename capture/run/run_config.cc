#include "capture/run/run_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>

#include "capture/codec_name.h"
#include "capture/filter/filter.h"

namespace kdk {
namespace {

constexpr std::array<std::string_view, 5> action_names = {"none", "reboot", "poweroff", "halt", "shell"};

// An address, or something that may be looked up: it ends in a place that a comma or a colon would tear apart.
bool is_server(const std::string& text) {
  return is_ip_address(text) || std::ranges::all_of(text, [](unsigned char c) { return std::isalnum(c) != 0 || c == '-' || c == '.' || c == '_'; });
}

void read_capture(ConfigTable table, RunConfig& config) {
  const auto levels = table.integers("level", 0, 31);
  if (levels) config.levels.assign(levels->begin(), levels->end());
  if (const auto names = table.text("exclude")) {
    if (levels) throw table.error("exclude", "and level mean the same: give one");
    const std::optional<unsigned> level = parse_exclude(*names);
    if (!level) throw table.error("exclude", "use zero,cache,private,user,free, or all or none");
    config.levels = {*level};
  }
  if (const auto compress = table.text("compress")) {
    const std::string problem = parse_codec_name(*compress, config.codec, config.codec_level);
    if (!problem.empty()) throw table.error("compress", fmt::format("\"{}\" {}", *compress, problem));
  }
  if (const auto threads = table.integer("threads", 1, 256)) config.threads = static_cast<unsigned>(*threads);
  if (const auto mode = table.text("progress")) {
    const std::optional<ProgressMode> parsed = parse_progress_mode(*mode);
    if (!parsed) throw table.error("progress", "is not one of auto, tty, plain, json, none");
    config.progress = *parsed;
  }
  config.scrub = table.path("scrub");
  config.scrub_strict = table.boolean("scrub_strict").value_or(false);
  if (config.scrub_strict && !config.scrub) throw table.error("scrub_strict", "needs scrub");
  table.finish();
}

FinalAction read_action(ConfigTable& table, std::string_view key, FinalAction otherwise) {
  const std::optional<std::string> name = table.text(key);
  if (!name) return otherwise;
  const std::optional<FinalAction> action = parse_final_action(*name);
  if (!action) throw table.error(key, "is not one of none, reboot, poweroff, halt, shell");
  return *action;
}

void read_run(ConfigTable table, RunConfig& config) {
  using std::chrono::seconds;
  config.console_lines = static_cast<unsigned>(table.integer("console_lines", 0, 1000).value_or(20));
  config.prepare_deadline = table.duration("prepare_deadline").value_or(seconds(120));
  config.log_deadline = table.duration("log_deadline").value_or(seconds(60));
  config.summary_deadline = table.duration("summary_deadline").value_or(seconds(60));
  config.dump_deadline = table.duration("dump_deadline").value_or(seconds(3600));
  config.total_deadline = table.duration("total_deadline").value_or(seconds(7200));
  config.stall = table.duration("stall").value_or(seconds(180));
  if (config.dump_deadline > config.total_deadline) {
    throw table.error("dump_deadline",
                      fmt::format("is longer than total_deadline ({} s)", config.total_deadline.count()));
  }
  config.watchdog = table.text("watchdog").value_or("auto");
  if (config.watchdog != "auto" && config.watchdog != "none" && config.watchdog.front() != '/') {
    throw table.error("watchdog", "is not auto, none or a device");
  }
  config.watchdog_timeout = table.duration("watchdog_timeout").value_or(seconds(60));
  if (config.watchdog_timeout < seconds(3) || config.watchdog_timeout > seconds(3600)) {
    throw table.error("watchdog_timeout", "is not between 3 s (it is fed twice a second) and 1 h");
  }
  config.final_action = read_action(table, "final_action", FinalAction::reboot);
  config.failure_action = read_action(table, "failure_action", config.final_action);
  table.finish();
}

void read_device(ConfigTable& table, RunTarget& target) {
  target.device = table.required_text("device");
  constexpr std::array<std::string_view, 5> forms = {"/dev/", "LABEL=", "UUID=", "PARTLABEL=", "PARTUUID="};
  const bool known = std::ranges::any_of(forms, [&](std::string_view form) {
    return target.device.starts_with(form) && target.device.size() > form.size();
  });
  if (!known) {
    throw table.error("device", "is not /dev/..., LABEL=..., UUID=..., PARTLABEL=... or PARTUUID=...");
  }
}

// Below a mount: never a way out of it.
void read_path_below(ConfigTable& table, RunTarget& target) {
  target.path = std::filesystem::path(table.text("path").value_or(".")).lexically_normal();
  if (target.path.is_absolute() || *target.path.begin() == "..") {
    throw table.error("path", "is a place below the mounted file system: no / in front, no ..");
  }
}

void read_retention(ConfigTable& table, RunTarget& target) {
  target.keep = static_cast<unsigned>(table.integer("keep", 1, 100000).value_or(0));
  target.keep_bytes = table.size("keep_size").value_or(0);
}

void read_ssh(ConfigTable& table, RunTarget& target) {
  target.server = table.required_text("server");
  target.path = table.required_path("path");
  // The client would take it for an option; a quote would end the word on the server.
  if (target.server.front() == '-') throw table.error("server", "begins with -");
  if (target.path.string().find('\'') != std::string::npos) throw table.error("path", "has a quote in it");
  target.command = table.texts("command").value_or(
      std::vector<std::string>{"ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=20", "-o",
                               "ServerAliveInterval=10", "-o", "ServerAliveCountMax=6"});
  if (target.command.empty()) throw table.error("command", "is empty");
}

void read_http(ConfigTable& table, RunTarget& target) {
  target.url = table.required_text("url");
  if (!target.url.starts_with("http://") && !target.url.starts_with("https://")) {
    throw table.error("url", "does not begin with http:// or https://");
  }
  if (!target.url.ends_with('/')) target.url += '/';
  target.credentials = table.path("credentials");
  target.authority = table.path("ca_file");
  target.s3_region = table.text("s3_region").value_or("");
  if (!target.s3_region.empty() && !target.credentials) {
    throw table.error("s3_region", "needs credentials");
  }
  target.part_bytes = table.size("part_size").value_or(8 << 20);
  if (target.part_bytes < 64 << 10 || target.part_bytes > 1 << 30) {
    throw table.error("part_size", "is not from 64K to 1G");
  }
  target.tries = static_cast<unsigned>(table.integer("tries", 1, 100).value_or(5));
}

RunTarget read_target(ConfigTable table) {
  RunTarget target;
  const std::optional<size_t> kind = table.word("kind", {"directory", "mount", "nfs", "raw", "ssh", "http"});
  if (!kind) throw table.error("kind", "is missing");
  target.kind = static_cast<TargetKind>(*kind);
  target.max_bytes = table.size("max_size").value_or(0);
  target.encrypt_to = table.path("encrypt_to");
  target.wait = table.duration("wait").value_or(std::chrono::seconds(20));
  switch (target.kind) {
    case TargetKind::directory:
      target.path = table.required_path("path");
      read_retention(table, target);
      break;
    case TargetKind::mount:
      read_device(table, target);
      target.file_system = table.text("type").value_or("");
      target.options = table.text("options").value_or("");
      read_path_below(table, target);
      read_retention(table, target);
      break;
    case TargetKind::nfs:
      target.server = table.required_text("server");
      if (!is_server(target.server)) throw table.error("server", "is neither an address nor a name");
      target.exported = table.required_path("export").string();
      target.options = table.text("options").value_or("");
      read_path_below(table, target);
      read_retention(table, target);
      break;
    case TargetKind::raw:
      read_device(table, target);
      break;
    case TargetKind::ssh:
      read_ssh(table, target);
      break;
    case TargetKind::http:
      read_http(table, target);
      break;
  }
  table.finish();
  return target;
}

}  // namespace

std::string_view to_string(TargetKind kind) {
  constexpr std::array<std::string_view, 6> names = {"directory", "mount", "nfs", "raw", "ssh", "http"};
  return names[static_cast<size_t>(kind)];
}

bool is_remote(TargetKind kind) {
  return kind == TargetKind::nfs || kind == TargetKind::ssh || kind == TargetKind::http;
}

bool is_stream(TargetKind kind) {
  return kind == TargetKind::raw || kind == TargetKind::ssh || kind == TargetKind::http;
}

std::string RunTarget::describe() const {
  switch (kind) {
    case TargetKind::directory:
      return "directory " + path.string();
    case TargetKind::mount:
      return "mount " + device + (path == "." ? "" : " " + path.string());
    case TargetKind::nfs:
      return fmt::format("nfs {}:{}{}", server, exported, path == "." ? "" : " " + path.string());
    case TargetKind::raw:
      return "raw " + device;
    case TargetKind::ssh:
      return fmt::format("ssh {}:{}", server, path.string());
    case TargetKind::http:
      return "http " + url;
  }
  return {};
}

std::string_view to_string(FinalAction action) {
  return action_names[static_cast<size_t>(action)];
}

std::optional<FinalAction> parse_final_action(std::string_view name) {
  const auto* found = std::ranges::find(action_names, name);
  if (found == action_names.end()) return std::nullopt;
  return static_cast<FinalAction>(found - action_names.begin());
}

RunConfig read_run_config(const ConfigFile& file) {
  file.only_known();
  RunConfig config;
  read_capture(file.table("capture"), config);
  read_run(file.table("run"), config);
  for (ConfigTable& table : file.tables("target")) config.targets.push_back(read_target(std::move(table)));
  for (ConfigTable& table : file.tables("network")) config.networks.push_back(read_network(std::move(table)));
  if (config.targets.empty()) {
    throw Error(Errc::format, fmt::format("{}: there is no [[target]]: nowhere to save a dump", file.name()));
  }
  return config;
}

}  // namespace kdk
