#include "core/formats/eraseinfo.h"

#include <algorithm>

namespace kdk {

std::string eraseinfo(const Dump& dump) {
  std::string text;
  for (const Note& note : dump.notes()) {
    if (note.name == eraseinfo_note) text += as_text(note.desc);
  }
  while (!text.empty() && text.back() == '\0')
    text.pop_back();  // makedumpfile may reserve more than it fills
  return text;
}

std::vector<std::string> eraseinfo_lines(const Dump& dump) {
  const std::string text = eraseinfo(dump);
  std::vector<std::string> lines;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    if (end != at) lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return lines;
}

std::vector<uint8_t> notes_with_eraseinfo(Bytes notes, std::string_view text) {
  std::vector<uint8_t> out;
  for (const Note& note : parse_notes(notes)) {
    if (note.name != eraseinfo_note) append_note(out, note.name, note.type, note.desc);
  }
  append_note(out, eraseinfo_note, 0, as_bytes(text));
  return out;
}

}  // namespace kdk
