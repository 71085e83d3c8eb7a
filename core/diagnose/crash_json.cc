// schemas/crash.schema.json, in the order the schema lists the members. Unknown is null, never a guess.
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "core/diagnose/crash.h"

namespace kdk {
namespace {

using Json = nlohmann::ordered_json;

template <typename T>
Json or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

Json hex_or_null(const std::optional<uint64_t>& value) {
  return value ? Json(hex64(*value)) : Json(nullptr);
}

Json text_or_null(const std::string& text) {
  return text.empty() ? Json(nullptr) : Json(text);
}

Json frame_json(const Frame& frame, size_t index, const Arch& arch) {
  bool named = !frame.symbol.empty();
  Json inlines = Json::array();
  for (const InlineFrame& inlined : frame.inlines) {
    inlines.push_back({{"function", inlined.function},
                       {"file", text_or_null(inlined.file)},
                       {"line", inlined.line ? Json(inlined.line) : Json(nullptr)}});
  }
  return {
      {"index", index},
      {"pc", hex64(frame.pc)},
      {"pc_is_return_address", frame.pc_is_return_address},
      {"kind", to_string(frame.kind)},
      {"trust", to_string(frame.trust)},
      {"at", hex_or_null(frame.at)},
      {"stack", text_or_null(frame.stack)},
      {"symbol", text_or_null(frame.symbol)},
      {"symbol_offset", named ? Json(frame.symbol_offset) : Json(nullptr)},
      {"symbol_size", frame.symbol_size ? Json(frame.symbol_size) : Json(nullptr)},
      {"module", text_or_null(frame.module)},
      {"image_offset", hex_or_null(frame.image_offset)},
      {"file", text_or_null(frame.file)},
      {"line", frame.line ? Json(frame.line) : Json(nullptr)},
      {"inlines", std::move(inlines)},
      {"registers", frame.registers ? to_json(*frame.registers, arch) : Json(nullptr)},
  };
}

Json cpu_json(const CpuState& state, const Arch& arch) {
  return {
      {"cpu", or_null(state.cpu)},
      {"cpu_source", state.cpu_source},
      {"crashed", state.crashed},
      {"answered", state.answered},
      {"user_mode", state.user_mode},
      {"pid", or_null(state.pid)},
      {"comm", text_or_null(state.comm)},
      {"task", hex_or_null(state.task)},
      {"registers", state.registers ? to_json(*state.registers, arch) : Json(nullptr)},
      {"backtrace", to_json(state.backtrace, arch)},
  };
}

Json fault_json(const Fault& fault) {
  Json bits = Json::array();
  for (const FaultBit& bit : fault.bits) bits.push_back({{"name", bit.name}, {"meaning", bit.meaning}});
  Json tables = nullptr;
  if (fault.tables) {
    tables = {{"status", fault.tables->status},
              {"level", text_or_null(fault.tables->level)},
              {"physical", hex_or_null(fault.tables->physical)}};
  }
  return {
      {"exception", fault.exception},
      {"title", fault.title},
      {"vector", or_null(fault.vector)},
      {"exception_source", fault.exception_source},
      {"error_code", hex_or_null(fault.error_code)},
      {"error_code_source", text_or_null(fault.error_code_source)},
      {"error_bits", std::move(bits)},
      {"access", text_or_null(fault.access)},
      {"reason", text_or_null(fault.reason)},
      {"address", hex_or_null(fault.address)},
      {"address_source", text_or_null(fault.address_source)},
      {"address_kind", text_or_null(fault.address_kind)},
      {"address_note", text_or_null(fault.address_note)},
      {"page_tables", std::move(tables)},
  };
}

}  // namespace

std::string hex64(uint64_t value) {
  return fmt::format("{:#018x}", value);
}

Json to_json(const Registers& registers, const Arch& arch) {
  Json out = Json::object();
  std::span<const std::string_view> names = arch.register_names();
  for (size_t i = 0; i < names.size() && i < Registers::max_count; ++i) {
    if (registers.known.test(i)) out[std::string(names[i])] = hex64(registers.value[i]);
  }
  return out;
}

Json to_json(const Backtrace& trace, const Arch& arch) {
  Json frames = Json::array();
  for (size_t i = 0; i < trace.frames.size(); ++i) frames.push_back(frame_json(trace.frames[i], i, arch));
  return {{"frames", std::move(frames)}, {"end", trace.end}, {"complete", trace.complete}};
}

Json to_json(const Crash& crash, const Arch& arch) {
  Json evidence = Json::array();
  for (const LogEvidence& item : crash.crash_class.evidence) {
    evidence.push_back({{"seq", item.seq}, {"text", item.text}});
  }
  Json cpus = Json::array();
  for (const CpuState& state : crash.cpus) cpus.push_back(cpu_json(state, arch));
  return {
      {"panic_message", text_or_null(crash.panic_message)},
      {"panic_seq", or_null(crash.panic_seq)},
      {"class",
       {{"name", crash.crash_class.name},
        {"title", crash.crash_class.title},
        {"in_interrupt", crash.crash_class.in_interrupt},
        {"evidence", std::move(evidence)}}},
      {"cpu", or_null(crash.cpu)},
      {"pid", or_null(crash.pid)},
      {"comm", text_or_null(crash.comm)},
      {"crash_time_seconds", or_null(crash.crash_time)},
      {"fault", crash.fault ? fault_json(*crash.fault) : Json(nullptr)},
      {"fault_registers", crash.fault_registers ? to_json(*crash.fault_registers, arch) : Json(nullptr)},
      {"cpus", std::move(cpus)},
      {"log_trace", crash.log_trace},
      {"log_trace_agrees", or_null(crash.log_trace_agrees)},
      {"log_trace_difference", text_or_null(crash.log_trace_difference)},
      {"problems", crash.problems},
  };
}

}  // namespace kdk
