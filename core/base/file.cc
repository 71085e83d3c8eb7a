#include "core/base/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace kdk {

Fd Fd::open(const std::filesystem::path& path, int flags, mode_t mode) {
  int fd = ::open(path.c_str(), flags | O_CLOEXEC, mode);
  if (fd < 0) throw error_from_errno(errno, path.string());
  return Fd(fd);
}

void Fd::reset() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

std::optional<uint64_t> file_size(const Fd& fd) {
  struct stat st {};
  if (::fstat(fd.get(), &st) != 0) return std::nullopt;
  if (S_ISREG(st.st_mode)) return static_cast<uint64_t>(st.st_size);
  if (S_ISBLK(st.st_mode)) {
    off_t end = ::lseek(fd.get(), 0, SEEK_END);
    if (end >= 0) return static_cast<uint64_t>(end);
  }
  return std::nullopt;
}

size_t read_at(const Fd& fd, uint64_t offset, MutableBytes out, std::string_view name) {
  size_t done = 0;
  while (done < out.size()) {
    ssize_t n = ::pread(fd.get(), out.data() + done, out.size() - done, static_cast<off_t>(offset + done));
    if (n < 0) {
      if (errno == EINTR) continue;
      throw error_from_errno(errno, fmt::format("{}: reading at offset {:#x}", name, offset + done));
    }
    if (n == 0) break;
    done += static_cast<size_t>(n);
  }
  return done;
}

void write_all(const Fd& fd, Bytes data, std::string_view name) {
  while (!data.empty()) {
    ssize_t n = ::write(fd.get(), data.data(), data.size());
    if (n < 0) {
      if (errno == EINTR) continue;
      throw error_from_errno(errno, fmt::format("{}: writing", name));
    }
    data = data.subspan(static_cast<size_t>(n));
  }
}

void write_at(const Fd& fd, uint64_t offset, Bytes data, std::string_view name) {
  while (!data.empty()) {
    ssize_t n = ::pwrite(fd.get(), data.data(), data.size(), static_cast<off_t>(offset));
    if (n < 0) {
      if (errno == EINTR) continue;
      throw error_from_errno(errno, fmt::format("{}: writing at offset {:#x}", name, offset));
    }
    data = data.subspan(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
}

std::vector<uint8_t> read_file(const std::filesystem::path& path, uint64_t limit) {
  return read_file(Fd::open(path, O_RDONLY), path.string(), limit);
}

std::vector<uint8_t> read_file(const Fd& fd, std::string_view name, uint64_t limit) {
  std::vector<uint8_t> content;
  constexpr size_t chunk = 64 * 1024;
  size_t used = 0;
  // Sizes in /proc and /sys are not to be believed: read until the end. read(2), since some of them refuse pread.
  for (;;) {
    content.resize(used + chunk);
    ssize_t n = ::read(fd.get(), content.data() + used, chunk);
    if (n < 0) {
      if (errno == EINTR) continue;
      throw error_from_errno(errno, fmt::format("{}: reading at offset {:#x}", name, used));
    }
    if (n == 0) break;
    used += static_cast<size_t>(n);
    if (used > limit) throw Error(Errc::unsupported, fmt::format("{}: larger than {} bytes", name, limit));
  }
  content.resize(used);
  return content;
}

std::string read_text_file(const std::filesystem::path& path, uint64_t limit) {
  std::vector<uint8_t> content = read_file(path, limit);
  return std::string(as_text(content));
}

MappedFile MappedFile::open(const std::filesystem::path& path) {
  return map(Fd::open(path, O_RDONLY), path.string());
}

MappedFile MappedFile::map(const Fd& fd, std::string_view name) {
  struct stat st {};
  if (::fstat(fd.get(), &st) != 0) throw error_from_errno(errno, name);
  if (!S_ISREG(st.st_mode)) throw Error(Errc::unsupported, fmt::format("{}: not a regular file", name));
  MappedFile file;
  if (st.st_size == 0) return file;
  size_t size = static_cast<size_t>(st.st_size);
  void* data = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd.get(), 0);
  if (data == MAP_FAILED) throw error_from_errno(errno, fmt::format("{}: mmap of {} bytes", name, size));
  file.data_ = static_cast<const uint8_t*>(data);
  file.size_ = size;
  return file;
}

void MappedFile::unmap() {
  if (data_ != nullptr) ::munmap(const_cast<uint8_t*>(data_), size_);
  data_ = nullptr;
  size_ = 0;
}

AtomicFile::AtomicFile(std::filesystem::path final_path, mode_t mode) : final_path_(std::move(final_path)) {
  std::error_code ignored;  // what cannot be looked at cannot be created either, and that error says more
  if (std::filesystem::is_other(std::filesystem::status(final_path_, ignored))) {
    throw Error(Errc::unsupported,
                fmt::format("{}: is a device, pipe or socket, and a file would take its place", final_path_.string()));
  }
  temporary_path_ = final_path_;
  temporary_path_ += fmt::format(".partial-{}", ::getpid());
  fd_ = Fd::open(temporary_path_, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
}

AtomicFile::~AtomicFile() { discard(); }

void AtomicFile::write(Bytes data) { write_all(fd_, data, temporary_path_.string()); }

void AtomicFile::commit() {
  if (::fsync(fd_.get()) != 0) throw error_from_errno(errno, fmt::format("{}: fsync", temporary_path_.string()));
  rename_to(final_path_);
}

void AtomicFile::keep_as(const std::filesystem::path& path) {
  ::fsync(fd_.get());
  rename_to(path);
}

void AtomicFile::rename_to(const std::filesystem::path& path) {
  if (::rename(temporary_path_.c_str(), path.c_str()) != 0) {
    throw error_from_errno(errno, fmt::format("renaming to {}", path.string()));
  }
  fd_.reset();
  // The rename is only durable once the directory is.
  const std::filesystem::path directory = path.has_parent_path() ? path.parent_path() : ".";
  const Fd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd && errno == EACCES) return;  // a directory that one may write to, but not read
  if (fd && ::fsync(fd.get()) == 0) return;
  if (errno == EINVAL || errno == ENOTSUP || errno == ENOSYS) return;  // a file system that does not do that
  throw error_from_errno(errno, fmt::format("{}: is written, but a power failure may take it away: syncing its directory",
                                            path.string()));
}

void AtomicFile::discard() noexcept {
  if (!fd_) return;
  fd_.reset();
  ::unlink(temporary_path_.c_str());
}

void write_file_atomic(const std::filesystem::path& path, Bytes data, mode_t mode) {
  std::error_code ignored;
  const std::filesystem::file_status status = std::filesystem::status(path, ignored);
  if (std::filesystem::is_character_file(status) || std::filesystem::is_fifo(status)) {
    write_all(Fd::open(path, O_WRONLY), data, path.string());
    return;
  }
  AtomicFile file(path, mode);
  file.write(data);
  file.commit();
}

std::filesystem::path SysRoot::path(std::string_view absolute) const {
  while (!absolute.empty() && absolute.front() == '/') absolute.remove_prefix(1);
  return root_ / absolute;
}

bool SysRoot::exists(std::string_view absolute) const {
  std::error_code ignored;
  return std::filesystem::exists(path(absolute), ignored);
}

std::optional<std::string> SysRoot::read_line(std::string_view absolute) const {
  std::filesystem::path file = path(absolute);
  std::error_code ignored;
  if (!std::filesystem::exists(file, ignored)) return std::nullopt;
  std::string text = read_text_file(file);
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ' || text.back() == '\0')) text.pop_back();
  return text;
}

}  // namespace kdk
