// `files`: text and JSON (schemas/analyze-files.schema.json).
#include "analyze/render/files.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "analyze/render/json_parts.h"
#include "analyze/render/net.h"
#include "analyze/render/object_parts.h"
#include "analyze/render/task_answers.h"

namespace kdk {
namespace {

using nlohmann::ordered_json;

std::string file_row(const OpenFile& file) {
  std::string out = fmt::format("{:>5}  {:016x}  {:<16} {:<3} {:>12}  {}", file.fd, file.address, file.kind,
                                file.access, file.position ? fmt::format("{}", *file.position) : "?",
                                file.path.empty() ? "?" : file.path);
  if (file.deleted) out += " (deleted)";
  if (file.socket) out += "  " + text::socket(*file.socket);
  return out + '\n';
}

ordered_json to_json(const OpenFile& file) {
  ordered_json out;
  out["fd"] = file.fd;
  out["address"] = json::hex(file.address);
  out["kind"] = file.kind;
  out["path"] = json::text(file.path);
  out["deleted"] = file.deleted;
  out["file_system"] = json::text(file.type);
  out["inode"] = json::integer(file.inode);
  out["access"] = json::text(file.access);
  out["flags"] = json::hex(file.flags);
  out["position"] = json::integer(file.position);
  out["socket"] = file.socket ? json::socket(*file.socket) : ordered_json(nullptr);
  return out;
}

}  // namespace

std::string to_text(const Answer<FileAnswer>& answer) {
  std::string out;
  for (const std::string& query : answer.facts.facts.not_found)
    out += fmt::format("{}: no such task\n", query);
  for (const ProcessFiles& process : answer.facts.facts.processes) {
    if (!out.empty()) out += '\n';
    out += fmt::format("{}, struct task_struct {:016x}\n", text::owner_name(process.task),
                       process.task.task.address);
    const auto line = [&](std::string_view what, const std::string& path) {
      if (!path.empty()) out += fmt::format("  {:<10} {}\n", what, path);
    };
    line("program", process.program);
    line("directory", process.directory);
    if (process.root != "/") line("root", process.root);
    if (!process.error.empty()) {
      out += "  " + process.error + '\n';
      continue;
    }
    out +=
        fmt::format("{:>5}  {:<16}  {:<16} {:<3} {:>12}  {}\n", "FD", "FILE", "KIND", "", "POSITION", "PATH");
    for (const OpenFile& file : process.files) out += file_row(file);
  }
  return out;
}

std::string to_json_text(const Answer<FileAnswer>& answer) {
  const FileListing& facts = answer.facts.facts;
  ordered_json out = json::envelope("analyze-files", answer.input, answer.limits);
  out["evidence"] = json::evidence(answer.evidence);
  ordered_json processes = ordered_json::array();
  for (const ProcessFiles& process : facts.processes) {
    ordered_json files = ordered_json::array();
    for (const OpenFile& file : process.files) files.push_back(to_json(file));
    processes.push_back({{"task", json::stack_owner(process.task)},
                         {"program", json::text(process.program)},
                         {"directory", json::text(process.directory)},
                         {"root", json::text(process.root)},
                         {"places", json::integer(process.places)},
                         {"files", std::move(files)},
                         {"error", json::text(process.error)}});
  }
  out["processes"] = std::move(processes);
  out["not_found"] = facts.not_found;
  out["redaction"] = json::redaction(answer.facts.redaction);
  out["limits"] = json::limits(answer.limits);
  return json::dump(out);
}

}  // namespace kdk
