// The headers of a PE file: a kernel with an EFI stub (arm64 Image, x86 bzImage), a zboot image, a UKI. All
// sections and tables are inside the file, or it is refused: that is how a truncated copy shows.
//
// Source: PE Format specification, "COFF File Header", "Optional Header Data Directories", "Section Table"
// and "The Attribute Certificate Table".
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "core/base/bytes.h"

namespace kdk {

struct PeSection {
  std::string_view name;
  uint64_t offset = 0;       // in the file
  uint64_t size = 0;         // bytes there
  uint64_t memory_size = 0;  // bytes in memory: without the padding in the file, or with what is zero
};

struct PeHeaders {
  uint16_t machine = 0;             // COFF machine type
  uint64_t optional_at = 0;         // file offset of the optional header
  Bytes optional_header;            // as long as the COFF header says
  uint64_t sections_end = 0;        // file offset behind the section table
  std::vector<PeSection> sections;  // in the order of the section table
  // File offset of the data directory entry that names the certificate table; nullopt when the optional
  // header has none, or is of an unknown kind.
  std::optional<uint64_t> table_entry_at;
  uint64_t table_offset = 0;  // of the certificate table in the file
  uint64_t table_size = 0;    // bytes; 0: not signed
};

// nullopt when `file` is no PE file ("MZ" and a header offset that leads to "PE\0\0"). Throws Error{format}
// when its headers, a section or the certificate table reach outside of the file.
std::optional<PeHeaders> read_pe_headers(Bytes file);

// The same of a kernel that may have an EFI stub: the size of its certificate table, 0 when there is none or
// `file` does not begin with "MZ". Throws Error{format} also when it does and is no PE file.
uint64_t pe_signature_size(Bytes file);

}  // namespace kdk
