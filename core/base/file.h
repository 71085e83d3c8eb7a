// Files: owned descriptors, read-only mappings, files that appear whole or not at all, and a root prefix for /proc
// and /sys so that a recorded machine can stand in for the running one.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/bytes.h"

namespace kdk {

// Owns a file descriptor.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { reset(); }

  // Opens with O_CLOEXEC added. Throws Error{io,denied,missing} naming the path.
  static Fd open(const std::filesystem::path& path, int flags, mode_t mode = 0644);

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  void reset();
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_ = -1;
};

// Size in bytes of an open file (fstat; block devices by seeking). nullopt when it has none (pipe, most of /proc).
std::optional<uint64_t> file_size(const Fd& fd);

// pread in a loop until `out` is full or the file ends; returns the bytes read. Throws Error{io} on errors; EINTR is
// retried. `name` is for the message.
size_t read_at(const Fd& fd, uint64_t offset, MutableBytes out, std::string_view name);

// write/pwrite in a loop until all is written. Throws Error{io} (ENOSPC included).
void write_all(const Fd& fd, Bytes data, std::string_view name);
void write_at(const Fd& fd, uint64_t offset, Bytes data, std::string_view name);

// Whole content, read until end of file (works for /proc and /sys). Throws when it is larger than `limit` bytes.
std::vector<uint8_t> read_file(const std::filesystem::path& path, uint64_t limit = uint64_t{64} << 20);
// The same from an open file at its current position; `name` is for messages.
std::vector<uint8_t> read_file(const Fd& fd, std::string_view name, uint64_t limit);
std::string read_text_file(const std::filesystem::path& path, uint64_t limit = uint64_t{64} << 20);

// A read-only mapping of a whole regular file. The file may shrink under us; see MappedFile::open.
class MappedFile {
 public:
  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  MappedFile& operator=(MappedFile&& other) noexcept {
    if (this != &other) {
      unmap();
      data_ = std::exchange(other.data_, nullptr);
      size_ = std::exchange(other.size_, 0);
    }
    return *this;
  }
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile() { unmap(); }

  // Maps the file read-only and private. Empty files give an empty mapping. Throws Error{io,denied,missing}.
  static MappedFile open(const std::filesystem::path& path);
  static MappedFile map(const Fd& fd, std::string_view name);

  Bytes bytes() const { return {data_, size_}; }

 private:
  void unmap();
  const uint8_t* data_ = nullptr;
  size_t size_ = 0;
};

// A file that appears under its name only when complete: written as a temporary sibling, synced and renamed by
// commit(). Destroyed without commit() it is unlinked, so no half file is ever taken for a whole one.
class AtomicFile {
 public:
  // Creates "<final_path>.partial-<pid>". Throws Error{io,denied}, and Error{unsupported} when a device, pipe or socket
  // has that name: renaming a file over /dev/null would take it away from everybody.
  explicit AtomicFile(std::filesystem::path final_path, mode_t mode = 0600);
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile();

  const Fd& fd() const { return fd_; }
  const std::filesystem::path& temporary_path() const { return temporary_path_; }
  const std::filesystem::path& final_path() const { return final_path_; }

  void write(Bytes data);
  // fsync, rename over the final path, fsync the directory. Throws Error{io}; the final path is untouched unless fd() is closed.
  void commit();
  // Keeps what was written under another name, as far as the disk took it (a failed sync is no reason to lose the
  // rest): how an incomplete file survives without ever looking whole. Throws as commit(), but for the file's own fsync.
  void keep_as(const std::filesystem::path& path);
  // Removes the temporary file now. Safe to call from a signal-driven shutdown path (not from the handler itself).
  void discard() noexcept;

 private:
  void rename_to(const std::filesystem::path& path);

  std::filesystem::path final_path_;
  std::filesystem::path temporary_path_;
  Fd fd_;
};

// Writes `data` to `path`: into a character device or pipe that has the name, otherwise through AtomicFile.
void write_file_atomic(const std::filesystem::path& path, Bytes data, mode_t mode = 0644);

// The root under which /proc, /sys and /boot are looked up: "/" on the running machine, a directory for a recorded one.
class SysRoot {
 public:
  explicit SysRoot(std::filesystem::path root = "/") : root_(std::move(root)) {}
  // "/proc/iomem" -> "<root>/proc/iomem".
  std::filesystem::path path(std::string_view absolute) const;
  bool is_live() const { return root_ == "/"; }
  const std::filesystem::path& root() const { return root_; }
  bool exists(std::string_view absolute) const;
  // Content with trailing white space removed; nullopt when the file does not exist. Other failures throw.
  std::optional<std::string> read_line(std::string_view absolute) const;

 private:
  std::filesystem::path root_;
};

}  // namespace kdk
