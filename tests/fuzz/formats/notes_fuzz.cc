#include "core/formats/notes.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  kdk::Bytes input{data, size};
  std::string problem;
  std::vector<kdk::Note> notes = kdk::parse_notes(input, &problem);
  // Every note lies in the input, in order, and says truly where.
  uint64_t end = 0;
  for (const kdk::Note& note : notes) {
    if (note.desc_offset < end || !kdk::in_bounds(size, note.desc_offset, note.desc.size())) __builtin_trap();
    for (size_t i = 0; i < note.desc.size(); ++i) {
      if (data[note.desc_offset + i] != note.desc[i]) __builtin_trap();
    }
    end = note.desc_offset + note.desc.size();
  }
  // What was understood survives being written and read again.
  std::vector<uint8_t> copy;
  for (const kdk::Note& note : notes) kdk::append_note(copy, note.name, note.type, note.desc);
  std::vector<kdk::Note> again = kdk::parse_notes(copy);
  if (again.size() != notes.size()) __builtin_trap();
  for (size_t i = 0; i < notes.size(); ++i) {
    if (again[i].name != notes[i].name || again[i].type != notes[i].type || again[i].desc != notes[i].desc) {
      __builtin_trap();
    }
  }
  return 0;
}
