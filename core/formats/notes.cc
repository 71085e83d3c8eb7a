#include "core/formats/notes.h"

#include <fmt/format.h>

#include <algorithm>

namespace kdk {
namespace {

struct NoteHeader {  // Elf64_Nhdr
  ul32 name_size;
  ul32 desc_size;
  ul32 type;
};
static_assert(sizeof(NoteHeader) == 12);

constexpr uint64_t note_align = 4;

bool all_zero(Bytes bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](uint8_t b) { return b == 0; });
}

}  // namespace

std::vector<Note> parse_notes(Bytes bytes, std::string* problem) {
  std::vector<Note> notes;
  uint64_t at = 0;
  auto stop = [&](std::string_view why) {
    if (problem != nullptr && !all_zero(bytes.subspan(at))) {
      *problem = fmt::format("notes end early: the one at offset {:#x} of {:#x} {}", at, bytes.size(), why);
    }
    return std::move(notes);
  };
  while (at < bytes.size()) {
    std::optional<NoteHeader> header = load<NoteHeader>(bytes, at);
    if (!header) return stop("has no whole header");
    uint64_t name_size = header->name_size, desc_size = header->desc_size;
    if (name_size == 0) return stop("has no name");
    // 32-bit sizes: these sums cannot overflow.
    uint64_t desc_at = align_up(at + sizeof(NoteHeader) + name_size, note_align);
    if (!in_bounds(bytes.size(), desc_at, desc_size)) return stop("is larger than what is left");
    std::string_view name = as_text(bytes.subspan(at + sizeof(NoteHeader), name_size));
    Bytes desc = bytes.subspan(desc_at, desc_size);
    notes.push_back(
        {std::string(name.substr(0, name.find('\0'))), header->type, desc_at, {desc.begin(), desc.end()}});
    at = std::min<uint64_t>(align_up(desc_at + desc_size, note_align), bytes.size());
  }
  return notes;
}

uint64_t notes_end(const std::vector<Note>& notes) {
  if (notes.empty()) return 0;
  return align_up(notes.back().desc_offset + notes.back().desc.size(), note_align);
}

void append_note(std::vector<uint8_t>& out, std::string_view name, uint32_t type, Bytes desc) {
  NoteHeader header{static_cast<uint32_t>(name.size() + 1), static_cast<uint32_t>(desc.size()), type};
  uint64_t at = align_up(out.size(), note_align);
  uint64_t name_at = at + sizeof(header);
  uint64_t desc_at = align_up(name_at + name.size() + 1, note_align);
  out.resize(align_up(desc_at + desc.size(), note_align));  // the new bytes are zero: terminator and padding
  store(out, at, header);
  std::copy(name.begin(), name.end(), out.begin() + static_cast<std::ptrdiff_t>(name_at));
  std::copy(desc.begin(), desc.end(), out.begin() + static_cast<std::ptrdiff_t>(desc_at));
}

}  // namespace kdk
