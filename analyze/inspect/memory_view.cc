#include "analyze/inspect/memory_view.h"

#include <algorithm>

#include "core/base/log.h"

namespace kdk {
namespace {

// Unreadable neighbours with one reason are one piece.
void add_hole(MemoryView& view, uint64_t address, uint64_t size, ReadStatus status) {
  if (!view.pieces.empty() && view.pieces.back().bytes.empty() && view.pieces.back().status == status) {
    view.pieces.back().size += size;
    return;
  }
  view.pieces.push_back({address, size, {}, status, std::string(to_string(status))});
}

void add_bytes(MemoryView& view, uint64_t address, Bytes bytes) {
  if (view.pieces.empty() || view.pieces.back().bytes.empty())
    view.pieces.push_back({address, 0, {}, ReadStatus::ok, {}});
  MemoryView::Piece& piece = view.pieces.back();
  piece.bytes.insert(piece.bytes.end(), bytes.begin(), bytes.end());
  piece.size += bytes.size();
  view.readable_bytes += bytes.size();
}

void read_pieces(KernelMemory& memory, MemoryView& view, uint64_t size) {
  const uint64_t page_size = memory.page_size();
  std::vector<uint8_t> buffer(page_size);
  for (uint64_t done = 0; done < size;) {
    const uint64_t at =
        view.request.start + done;  // may wrap at the end of the address space: so does the kernel
    const uint64_t n = std::min(size - done, page_size - at % page_size);
    const MutableBytes part = MutableBytes(buffer).first(n);
    const ReadResult read =
        view.request.physical ? memory.read(PhysAddr{at}, part) : memory.read(VirtAddr{at}, part);
    if (read) {
      add_bytes(view, at, part);
    } else {
      add_hole(view, at, n, read.status);
    }
    done += n;
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

MemoryView view_memory(KernelMemory& memory, OwnerFinder& owners, MemoryRequest request) {
  MemoryView view;
  view.request = std::move(request);
  MemoryRequest& r = view.request;
  if (r.string) r.unit = 1;
  r.count = std::min(r.count, most_view_bytes / r.unit);
  read_pieces(memory, view, r.count * r.unit);
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
