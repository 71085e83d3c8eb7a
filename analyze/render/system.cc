// `sys`, `config`: text and JSON (schemas/analyze-sys.schema.json, analyze-config.schema.json).
#include "analyze/render/system.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "analyze/render/json_parts.h"
#include "analyze/render/net.h"
#include "analyze/render/text_parts.h"

namespace kdk {
namespace {

using nlohmann::ordered_json;

std::string line(std::string_view what, std::string_view value) {
  return value.empty() ? std::string() : text::wrap(fmt::format("{:<14}", what), value, std::string(14, ' '));
}

std::string joined(std::initializer_list<std::string_view> parts) {
  std::string out;
  for (const std::string_view part : parts) {
    if (!part.empty()) out += fmt::format("{}{}", out.empty() ? "" : ", ", part);
  }
  return out;
}

}  // namespace

std::string to_text(const Answer<SystemListing>& answer) {
  const SystemFacts& facts = answer.facts.facts;
  const SystemInfo& id = facts.identity;
  const HardwareFacts& hardware = facts.hardware;
  std::string out;
  out += line("dump", joined({answer.input.files.empty() ? "" : answer.input.files.front(),
                              text::dump_file(answer.input)}));
  out += line("kernel", joined({id.release, id.version}));
  out += line("build-id", id.build_id);
  out += line("host", text::or_unknown(id.hostname));
  out += line("machine", joined({hardware.vendor, hardware.product, hardware.version, hardware.board,
                                 hardware.bios.empty() ? "" : "firmware " + hardware.bios}));
  out += line("processor", joined({id.machine, hardware.cpu}));
  std::string cpus = id.cpus_possible ? fmt::format("{} possible", *id.cpus_possible) : "";
  if (id.cpus_online) cpus += fmt::format(", {} online at the end", *id.cpus_online);
  out += line("CPUs", cpus);
  out += line("memory", text::bytes(facts.ram_bytes));
  if (id.va) out += line("addresses", text::addresses(id));
  out += line("crashed", text::crash_time(id));
  if (hardware.load) {
    const auto& load = *hardware.load;
    out += line("load average", fmt::format("{:.2f}, {:.2f}, {:.2f}", load[0], load[1], load[2]));
  }
  out += line("taint", text::taint(id));
  out += line("panic", facts.panic_message);
  out += line("command line", id.command_line);
  return out;
}

std::string to_json_text(const Answer<SystemListing>& answer) {
  const SystemFacts& facts = answer.facts.facts;
  const HardwareFacts& hardware = facts.hardware;
  ordered_json out = json::envelope("analyze-sys", answer.input, answer.limits);
  out["identity"] = json::identity(facts.identity);
  out["panic_message"] = json::text(facts.panic_message);
  out["ram_bytes"] = json::integer(facts.ram_bytes);
  out["load_average"] = hardware.load ? ordered_json(*hardware.load) : ordered_json(nullptr);
  out["hardware"] = {{"vendor", json::text(hardware.vendor)},   {"product", json::text(hardware.product)},
                     {"version", json::text(hardware.version)}, {"board", json::text(hardware.board)},
                     {"firmware", json::text(hardware.bios)},   {"cpu", json::text(hardware.cpu)}};
  out["redaction"] = json::redaction(answer.facts.redaction);
  out["limits"] = json::limits(answer.limits);
  return json::dump(out);
}

std::string to_text(const Answer<KernelConfig>& answer) {
  std::string out;
  for (const ConfigOption& option : answer.facts.options)
    out += option.value.empty() ? fmt::format("# {} is not set\n", option.name)
                                : fmt::format("{}={}\n", option.name, option.value);
  return out;
}

std::string to_json_text(const Answer<KernelConfig>& answer) {
  ordered_json out = json::envelope("analyze-config", answer.input, answer.limits);
  ordered_json options = nullptr;
  if (answer.facts.why_not.empty()) {
    options = ordered_json::array();
    for (const ConfigOption& option : answer.facts.options)
      options.push_back({{"name", option.name}, {"value", json::text(option.value)}});
  }
  out["options"] = std::move(options);
  out["why_not"] = json::text(answer.facts.why_not);
  out["limits"] = json::limits(answer.limits);
  return json::dump(out);
}

}  // namespace kdk
