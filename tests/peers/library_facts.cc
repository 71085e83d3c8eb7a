// What libkdumpkit tells of a dump, as JSON, for library.py: a program of a user, linked with the shared
// library.
//
//   library_facts DUMP TYPE... : info, log, tasks with stacks, modules, symbols, these types, the crash, some
//   memory
#include <kdumpkit/kdumpkit.hpp>

#include <array>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>

using json = nlohmann::ordered_json;

namespace {

json of(const kdumpkit::Frame& frame) {
  return {{"pc", frame.pc},         {"symbol", frame.symbol}, {"offset", frame.symbol_offset},
          {"module", frame.module}, {"kind", frame.kind},     {"trust", frame.trust},
          {"stack", frame.stack}};
}

json of(const kdumpkit::Task& task, kdumpkit::Dump& dump) {
  json out = {{"address", task.address}, {"pid", task.pid},       {"tgid", task.tgid},
              {"ppid", task.ppid},       {"comm", task.comm},     {"state", task.state},
              {"cpu", task.cpu},         {"on_cpu", task.on_cpu}, {"kernel_thread", task.kernel_thread != 0}};
  if (const auto trace = dump.backtrace(task.address)) {
    for (const kdumpkit::Frame& frame : *trace) out["frames"].push_back(of(frame));
  }
  return out;
}

json of(const kdumpkit::Type& type) {
  json out = {{"name", type->name}, {"size", type->size}, {"members", json::array()}};
  for (const kdumpkit::Member& member : type.members()) {
    out["members"].push_back({{"name", member.name},
                              {"declaration", member.declaration},
                              {"offset", member.offset},
                              {"size", member.size},
                              {"bit", member.bit},
                              {"bits", member.bits},
                              {"depth", member.depth}});
  }
  return out;
}

}  // namespace

int main(int argc, char** argv) try {
  if (argc < 2) return 2;
  kdumpkit::Dump dump(argv[1]);
  json out = {{"release", dump.info().release},
              {"architecture", dump.info().architecture},
              {"ram_bytes", dump.info().ram_bytes},
              {"crash_time", dump.info().crash_time}};
  const kdumpkit::System system = dump.system();
  out["hostname"] = system->hostname;
  out["command_line"] = system->command_line;
  for (const kdumpkit::Record& record : dump.log()) {
    out["log"].push_back({{"seq", record.sequence},
                          {"time_us", record.time_ns / 1000},
                          {"level", record.level},
                          {"facility", record.facility},
                          {"text", kdumpkit::escape({record.text, record.text_size})}});
  }
  for (const kdumpkit::Task& task : dump.tasks()) out["tasks"].push_back(of(task, dump));
  for (const kdumpkit::Module& module : dump.modules()) {
    out["modules"].push_back({{"name", module.name},
                              {"address", module.address},
                              {"base", module.base},
                              {"size", module.size},
                              {"build_id", module.build_id}});
  }
  for (const kdumpkit::Symbol& symbol : dump.symbols())
    out["symbols"].push_back(
        {symbol.name, symbol.module, symbol.address, std::string(1, static_cast<char>(symbol.type))});
  for (int i = 2; i < argc; ++i) {
    if (const auto type = dump.type(argv[i])) out["types"].push_back(of(*type));
  }
  out["crash"] = json::parse(dump.crash()->json);
  const std::uint64_t stext = dump.symbol("_stext").value().address;
  std::array<unsigned char, 65536> text{};
  out["text"] = {{"address", stext}, {"physical", dump.translate(stext).value().physical}};
  out["text"]["readable"] =
      dump.read_pieces(kdumpkit::Space::kernel, stext, text.data(), text.size())->readable_bytes;
  std::string hex(2 * text.size() + 1, '\0');
  for (std::size_t i = 0; i < text.size(); ++i) std::snprintf(&hex[2 * i], 3, "%02x", text[i]);
  out["text"]["bytes"] = hex.substr(0, 2 * text.size());
  std::cout << out << '\n';
} catch (const kdumpkit::Error& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
