// Where the bytes of a dump come from: a regular file, /proc/vmcore, a flattened stream seen as the file it
// describes, or memory (tests, fuzzing). Readers of dump formats know only this.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/bytes.h"

namespace kdk {

class ByteSource {
 public:
  virtual ~ByteSource() = default;
  // For messages: usually the path.
  virtual const std::string& name() const = 0;
  virtual uint64_t size() const = 0;
  // Bytes that are really there. A flattened stream of a few bytes can describe a file of any size: counts
  // read from a dump are held against this before anything is allocated.
  virtual uint64_t stored_bytes() const { return size(); }
  // Reads at `offset` until `out` is full or the source ends; returns the bytes read. Throws Error{io}.
  // Thread-safe.
  virtual size_t read(uint64_t offset, MutableBytes out) const = 0;
  // The same bytes without a copy, valid as long as the source; nullopt when out of bounds or not possible (a
  // pipe, /proc/vmcore). A file that shrinks while we look delivers SIGBUS: see core/base/bus_error.h.
  virtual std::optional<Bytes> view(uint64_t offset, uint64_t size) const {
    (void)offset;
    (void)size;
    return std::nullopt;
  }
  // A view of a window for one thread's sequential reading, where view() is impossible but mmap of a part
  // works
  // (/proc/vmcore: mapping all of it would cost page tables for all of RAM, and read(2) remaps page by page).
  // nullptr: use read().
  class Window {
   public:
    virtual ~Window() = default;
    // Bytes [offset, offset+size), valid until the next call on this window; nullopt when they cannot be
    // mapped.
    virtual std::optional<Bytes> map(uint64_t offset, uint64_t size) = 0;
  };
  virtual std::unique_ptr<Window> window() const { return nullptr; }
};

// Opens a path: regular files are mapped, /proc/vmcore and block devices are read through windows with pread
// as fallback. Throws Error{io,missing,denied}.
std::unique_ptr<ByteSource> open_file_source(const std::filesystem::path& path);

// The same through windows and pread only: what open_file_source() does for /proc/vmcore. `size`: bytes, for
// files that do not know their own.
std::unique_ptr<ByteSource> open_windowed_source(const std::filesystem::path& path, uint64_t size);

// Owns `data`; for tests and fuzz targets.
std::unique_ptr<ByteSource> memory_source(std::vector<uint8_t> data, std::string name);

// Exactly out.size() bytes at `offset`, or Error{format} "name: truncated: ..." naming `what` and the offset.
void read_exact(const ByteSource& source, uint64_t offset, MutableBytes out, std::string_view what);

}  // namespace kdk
