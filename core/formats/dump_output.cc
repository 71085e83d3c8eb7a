#include "core/formats/dump_output.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "core/base/error.h"
#include "core/formats/kdump_format.h"

namespace kdk {
namespace {

bool is_regular(const Fd& fd, const std::string& name) {
  struct stat st {};
  if (::fstat(fd.get(), &st) != 0) throw error_from_errno(errno, name);
  return S_ISREG(st.st_mode);
}

// Pipes and some devices cannot sync: EINVAL, and nothing that could be done about it.
void sync_fd(const Fd& fd, const std::string& name, bool all) {
  const int failed = all ? ::fsync(fd.get()) : ::fdatasync(fd.get());
  if (failed != 0 && errno != EINVAL) throw error_from_errno(errno, name + (all ? ": fsync" : ": fdatasync"));
}

}  // namespace

FileOutput::FileOutput(const Fd& fd, std::string name, bool drop_page_cache)
    : fd_(fd), name_(std::move(name)), drop_page_cache_(drop_page_cache), regular_(is_regular(fd, name_)) {}

void FileOutput::write(uint64_t offset, Bytes data) {
  write_at(fd_, offset, data, name_);
  push_out(offset + data.size());
}

// Starts writing to the disk what was written here, while the next pages are compressed: else sync() waits
// for all of it, a tenth of a save. In a crash kernel also pushes it out of the page cache, a stretch behind
// the writers: the wait for the disk is for data written 32 MiB ago, and throttles writers that run ahead of
// it.
void FileOutput::push_out(uint64_t end) {
  constexpr uint64_t stretch = 4 << 20, lag = 32 << 20;
  uint64_t begun = begun_.load(std::memory_order_relaxed);
  if (end < begun + stretch || !begun_.compare_exchange_strong(begun, begun + stretch)) return;
  write_back(begun, stretch, SYNC_FILE_RANGE_WRITE);
  if (!drop_page_cache_ || begun < lag) return;
  write_back(begun - lag, stretch,
             SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
  (void)::posix_fadvise(fd_.get(), static_cast<off64_t>(begun - lag), stretch, POSIX_FADV_DONTNEED);
}

// What the disk refused is said here or never: waiting takes the error away from the fsync() that comes later
// (file_fdatawait_range() in mm/filemap.c advances the file's mark of errors seen).
void FileOutput::write_back(uint64_t begin, uint64_t size, unsigned how) {
  if (::sync_file_range(fd_.get(), static_cast<off64_t>(begin), static_cast<off64_t>(size), how) == 0) return;
  // Where it cannot be done, nothing is lost but memory and time.
  if (errno == EINVAL || errno == ESPIPE || errno == ENOSYS) return;
  throw error_from_errno(errno, fmt::format("{}: writing back offset {:#x}", name_, begin));
}

uint64_t FileOutput::extend(uint64_t size) {
  const uint64_t now = file_size(fd_).value_or(size);
  if (!regular_ || now >= size || ::ftruncate(fd_.get(), static_cast<off_t>(size)) == 0) return size;
  if (errno == EFBIG) return now;
  throw error_from_errno(errno, name_);
}

void FileOutput::sync(bool all) {
  sync_fd(fd_, name_, all);
}

FlattenedOutput::FlattenedOutput(const Fd& fd, std::string name) : fd_(fd), name_(std::move(name)) {
  const int flags = ::fcntl(fd_.get(), F_GETFL);
  if (is_regular(fd_, name_) && (flags & O_APPEND) == 0) start_ = ::lseek(fd_.get(), 0, SEEK_CUR);
  begin();
}

FlattenedOutput::FlattenedOutput(const Fd& fd, std::string name, std::function<void(Bytes)> put)
    : fd_(fd), name_(std::move(name)), through_(std::move(put)) {
  begin();
}

void FlattenedOutput::begin() {
  std::array<uint8_t, flattened::header_size> head{};
  flattened::FileHeader header{{}, uint64_t{1}, uint64_t{1}};
  flattened::signature.copy(header.signature, sizeof header.signature);
  store(head, 0, header);
  put(head);
}

void FlattenedOutput::put(Bytes bytes) {
  if (through_) {
    through_(bytes);
  } else {
    write_all(fd_, bytes, name_);
  }
  written_ += bytes.size();
}

void FlattenedOutput::put_record(uint64_t offset, uint64_t size, Bytes data) {
  if (broken_) throw *broken_;  // to every thread, whichever met it: the cause is what people need
  std::array<uint8_t, sizeof(flattened::RecordHeader)> header{};
  store(header, 0, flattened::RecordHeader{offset, size});
  const uint64_t before = written_;
  try {
    put(header);
    put(data);
  } catch (const Error& e) {
    broken_ = e;
    written_ = before;
    throw;
  }
}

void FlattenedOutput::write(uint64_t offset, Bytes data) {
  if (data.empty()) return;  // readers take an empty record for damage
  std::lock_guard lock(mutex_);
  put_record(offset, data.size(), data);
}

bool FlattenedOutput::recover() noexcept {
  std::lock_guard lock(mutex_);
  if (!broken_) return true;
  if (start_ < 0) return false;
  const off_t end = start_ + static_cast<off_t>(written_);
  if (::ftruncate(fd_.get(), end) != 0 || ::lseek(fd_.get(), end, SEEK_SET) < 0) return false;
  broken_.reset();
  return true;
}

void FlattenedOutput::end() {
  std::lock_guard lock(mutex_);
  put_record(~uint64_t{0}, ~uint64_t{0}, {});
}

void FlattenedOutput::sync(bool all) {
  sync_fd(fd_, name_, all);
}

}  // namespace kdk
