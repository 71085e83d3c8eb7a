// PE headers, sections and the place of the certificate table: all inside the file, or an Error.
#include <cstdlib>

#include "core/base/error.h"
#include "loader/image/pe.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace kdk;
  Bytes file(data, size);
  try {
    if (std::optional<PeHeaders> pe = read_pe_headers(file)) {
      if (!in_bounds(size, pe->optional_at, pe->optional_header.size())) std::abort();
      if (pe->sections_end > size || !in_bounds(size, pe->table_offset, pe->table_size)) std::abort();
      if (pe->table_entry_at && !in_bounds(size, *pe->table_entry_at, 8)) std::abort();
      for (const PeSection& section : pe->sections) {
        if (!in_bounds(size, section.offset, section.size)) std::abort();
      }
      if (pe_signature_size(file) != pe->table_size) std::abort();
    }
  } catch (const Error&) {
  }
  return 0;
}
