// Writes the archive that the kernel unpacks into its first root file system: newc cpio. The same content
// gives the same bytes: no times, no owners but root, inode numbers that count up. Source:
// Documentation/driver-api/early-userspace/buffer-format.rst.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/bytes.h"

namespace kdk {

class CpioArchive {
 public:
  // `path` without a leading slash; directories above it are added.
  void add_directory(std::string_view path);
  void add_file(std::string_view path, Bytes content, uint32_t mode = 0644);

  std::vector<uint8_t> bytes() const;
  // The same as files below `directory`. Links in it that lead out of it are the caller's.
  void write_below(const std::filesystem::path& directory) const;
  // What it takes once unpacked: files in whole pages of 4 KiB.
  uint64_t unpacked_bytes() const;

 private:
  struct Entry {
    uint32_t mode = 0;  // with the file's type
    std::vector<uint8_t> content;
  };
  void add_parents(std::string_view path);
  std::map<std::string, Entry, std::less<>> entries_;  // a directory sorts before what is in it
};

}  // namespace kdk
