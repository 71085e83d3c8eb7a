// The readers behind open_dump(). Private to core/formats.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/formats/dump.h"

namespace kdk {

// What the first bytes of a file look like.
enum class FileKind { elf, kdump, flattened, other };
FileKind sniff(const ByteSource& source);

// A dump file without its container.
struct DumpInput {
  std::unique_ptr<ByteSource> source;
  bool flattened = false;         // `source` is the file that a flattened stream describes
  std::string incomplete_reason;  // why that stream ends early; empty when it does not
};

std::unique_ptr<Dump> open_elf_core(DumpInput input, const OpenOptions& options);

// One kdump-compressed file, or all parts of a split set in any order.
std::unique_ptr<Dump> open_kdump(std::vector<DumpInput> parts, const OpenOptions& options);

// The file that a flattened stream describes. A stream that ends early is opened as far as it goes; then
// `incomplete_reason` says where and why.
std::unique_ptr<ByteSource> open_flattened(std::unique_ptr<ByteSource> stream,
                                           std::string& incomplete_reason);

// Bytes of notes or VMCOREINFO that are believed. 8192 CPUs need about 4 MiB.
constexpr uint64_t max_note_bytes = uint64_t{64} << 20;

// Page sizes a dump may have, in bytes.
constexpr bool plausible_page_size(uint64_t size) {
  return is_power_of_two(size) && size >= 4096 && size <= 65536;
}

}  // namespace kdk
