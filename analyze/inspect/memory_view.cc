#include "analyze/inspect/memory_view.h"

#include <algorithm>

#include "core/base/log.h"

namespace kdk {
namespace {

void add(MemoryView& view, const kdumpkit::Piece& piece, Bytes bytes) {
  // Neighbours with one answer are one piece.
  if (view.pieces.empty() || view.pieces.back().memory != piece.memory)
    view.pieces.push_back({piece.address, 0, {}, piece.memory, {}});
  MemoryView::Piece& out = view.pieces.back();
  out.size += piece.size;
  if (piece.memory == KDUMPKIT_MEMORY_OK) {
    out.bytes.insert(out.bytes.end(), bytes.begin(), bytes.end());
    view.readable_bytes += piece.size;
  } else {
    out.why_not = kdumpkit_memory_name(piece.memory);
  }
}

void read_pieces(kdumpkit::Dump& dump, MemoryView& view, uint64_t size) {
  const auto space = view.request.physical ? kdumpkit::Space::physical : kdumpkit::Space::kernel;
  std::vector<uint8_t> buffer(std::min(size, uint64_t{1} << 20));
  for (uint64_t done = 0; done < size; done += buffer.size()) {
    const uint64_t at =
        view.request.start + done;  // wraps at the end of the address space, as the kernel's do
    const MutableBytes part = MutableBytes(buffer).first(std::min<uint64_t>(size - done, buffer.size()));
    for (const kdumpkit::Piece& piece : dump.read_pieces(space, at, part.data(), part.size()))
      add(view, piece, part.subspan(piece.address - at, piece.size));
  }
}

void annotate(MemoryView& view, OwnerFinder& owners) {
  constexpr uint64_t word = 8;
  for (const MemoryView::Piece& piece : view.pieces) {
    for (uint64_t at = 0; at + word <= piece.bytes.size(); at += word) {
      std::string note = owners.annotate(load<ul64>(piece.bytes, at).value_or(0));
      if (!note.empty()) view.notes.emplace(piece.address + at, std::move(note));
    }
  }
}

}  // namespace

MemoryView view_memory(kdumpkit::Dump& dump, OwnerFinder& owners, MemoryRequest request) {
  MemoryView view;
  view.request = std::move(request);
  MemoryRequest& r = view.request;
  if (r.string) r.unit = 1;
  r.count = std::min(r.count, most_view_bytes / r.unit);
  read_pieces(dump, view, r.count * r.unit);
  if (r.string) {
    std::string raw;
    for (const MemoryView::Piece& piece : view.pieces) {
      if (piece.bytes.empty()) break;
      const std::string_view text = as_text(piece.bytes);
      const size_t end = text.find('\0');
      raw += text.substr(0, end);
      if (end != std::string_view::npos) break;
    }
    view.text = escape_untrusted(raw);
    // What follows the terminator was not asked for.
    if (!view.pieces.empty() && !view.pieces.front().bytes.empty()) {
      MemoryView::Piece& first = view.pieces.front();
      first.bytes.resize(std::min<size_t>(first.bytes.size(), raw.size() + 1));
      first.size = view.readable_bytes = first.bytes.size();
      if (first.size <= raw.size() + 1) view.pieces.resize(1);
    }
  }
  if (r.symbols && r.unit == 8) annotate(view, owners);
  return view;
}

}  // namespace kdk
