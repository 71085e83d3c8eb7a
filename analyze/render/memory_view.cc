// `read`: a hex dump, and the same as JSON.
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "analyze/render/addresses.h"
#include "analyze/render/json_parts.h"

namespace kdk {
namespace {

constexpr uint64_t row_bytes = 16;

uint64_t unit_value(const std::vector<uint8_t>& bytes, size_t at, unsigned unit) {
  uint64_t value = 0;
  for (unsigned i = 0; i < unit && at + i < bytes.size(); ++i) value |= uint64_t{bytes[at + i]} << 8 * i;
  return value;
}

std::string ascii(const std::vector<uint8_t>& bytes, size_t at, size_t count) {
  std::string out;
  for (size_t i = at; i < at + count; ++i) {
    const uint8_t byte = bytes[i];
    out += byte >= 0x20 && byte < 0x7f ? static_cast<char>(byte) : '.';
  }
  return out;
}

// Rows of 16 bytes; with notes, the words that have one show it in place of their digits.
void add_rows(const MemoryView& view, const MemoryView::Piece& piece, std::string& out) {
  const unsigned unit = view.request.unit;
  for (size_t at = 0; at < piece.bytes.size(); at += row_bytes) {
    const size_t count = std::min<size_t>(row_bytes, piece.bytes.size() - at);
    std::string row = fmt::format("{:016x}: ", piece.address + at);
    for (size_t i = 0; i < count; i += unit) {
      const auto note = view.notes.find(piece.address + at + i);
      if (view.request.symbols && note != view.notes.end()) {
        row += fmt::format(" {:<16}", note->second);
      } else {
        row += fmt::format(" {:0{}x}", unit_value(piece.bytes, at + i, unit), unit * 2);
      }
    }
    if (!view.request.symbols) {
      const size_t width = 18 + row_bytes / unit * (unit * 2 + 1);
      row.resize(std::max(row.size(), width), ' ');
      row += "  " + ascii(piece.bytes, at, count);
    }
    row.resize(row.find_last_not_of(' ') + 1);
    out += row + '\n';
  }
}

}  // namespace

std::string to_text(const Answer<MemoryView>& answer) {
  const MemoryView& view = answer.facts;
  std::string out;
  if (view.request.string && view.readable_bytes != 0) {
    return fmt::format("{:016x}:  {}\n", view.request.start, view.text);
  }
  for (const MemoryView::Piece& piece : view.pieces) {
    if (!piece.bytes.empty()) {
      add_rows(view, piece, out);
    } else {
      out += fmt::format("{:016x}:  {} bytes: {}\n", piece.address, piece.size, piece.why_not);
    }
  }
  return out;
}

std::string to_json_text(const Answer<MemoryView>& answer) {
  using nlohmann::ordered_json;
  const MemoryView& view = answer.facts;
  ordered_json out = json::envelope("analyze-read", answer.input, answer.limits);
  out["query"] = view.request.query;
  out["address"] = json::hex(view.request.start);
  out["space"] = view.request.physical ? "physical" : "virtual";
  out["unit_bytes"] = view.request.unit;
  out["readable_bytes"] = view.readable_bytes;
  ordered_json pieces = ordered_json::array();
  for (const MemoryView::Piece& piece : view.pieces) {
    ordered_json item;
    item["address"] = json::hex(piece.address);
    item["size_bytes"] = piece.size;
    ordered_json values = nullptr;
    if (!piece.bytes.empty()) {
      values = ordered_json::array();
      for (size_t at = 0; at < piece.bytes.size(); at += view.request.unit) {
        values.push_back(
            fmt::format("0x{:0{}x}", unit_value(piece.bytes, at, view.request.unit), view.request.unit * 2));
      }
    }
    item["values"] = std::move(values);
    item["why_not"] = json::text(piece.why_not);
    pieces.push_back(std::move(item));
  }
  out["pieces"] = std::move(pieces);
  ordered_json notes = ordered_json::array();
  for (const auto& [address, text] : view.notes)
    notes.push_back({{"address", json::hex(address)}, {"points_to", text}});
  out["notes"] = std::move(notes);
  out["text"] = view.request.string ? ordered_json(view.text) : ordered_json(nullptr);
  out["limits"] = json::limits(answer.limits);
  return json::dump(out);
}

}  // namespace kdk
