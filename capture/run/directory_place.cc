#include "capture/run/directory_place.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "capture/run/retention.h"
#include "capture/summary.h"
#include "core/base/sha256.h"

namespace kdk {
namespace {

void sync_directory(const std::filesystem::path& directory) {
  const Fd fd = Fd::open(directory, O_RDONLY | O_DIRECTORY);
  if (::fsync(fd.get()) != 0) throw error_from_errno(errno, directory.string());
}

// Read back from the medium as far as the system allows: what was written has left the page cache.
std::string sum_of(const std::filesystem::path& file, const std::function<void(uint64_t)>& progress) {
  const Fd fd = Fd::open(file, O_RDONLY);
  std::vector<uint8_t> buffer(1 << 20);
  Sha256 sum;
  (void)::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED);
  for (uint64_t at = 0;;) {
    const size_t n = read_at(fd, at, buffer, file.string());
    if (n == 0) return sum.hex();
    sum.add(Bytes(buffer).first(n));
    (void)::posix_fadvise(fd.get(), static_cast<off_t>(at), static_cast<off_t>(n), POSIX_FADV_DONTNEED);
    at += n;
    progress(at);
  }
}

}  // namespace

void DirectoryPlace::prepare(const std::string& name) {
  std::filesystem::create_directories(parent_);
  name_ = name;
  // A name may be taken: by a try that was killed, or by a machine that crashes twice within a second.
  for (unsigned i = 2;; ++i) {
    directory_ = parent_ / (name_ + ".partial");
    const bool taken = std::filesystem::exists(parent_ / name_) ||
                       std::filesystem::exists(parent_ / (name_ + ".incomplete"));
    if (!taken && std::filesystem::create_directory(directory_)) break;
    if (i > 1000) throw Error(Errc::io, fmt::format("{}: too many of that name", directory_.string()));
    name_ = fmt::format("{}-{}", name, i);
  }
  std::filesystem::permissions(directory_, std::filesystem::perms::owner_all);
  being_written_ = mark_as_being_written(directory_);
  // One old dump always stays until the new one is whole.
  if (keep_ > 0)
    apply_retention(parent_, {std::max(keep_ - 1, 1u), 0}, directory_.filename().string(), notes);
}

void DirectoryPlace::put(std::string_view file, Bytes content) {
  write_file_atomic(directory_ / file, content, 0600);
}

void DirectoryPlace::put_summary(const CaptureReport& report) {
  write_summary(directory_ / "summary.json", report);
}

CaptureReport DirectoryPlace::save(SaveOptions& options, const std::atomic<bool>& stop) {
  options.output = directory_ / (options.encrypt_to ? "vmcore.sealed" : "vmcore");
  if (options.encrypt_to) options.format = OutputFormat::flattened;
  return save_dump(options, stop);
}

void DirectoryPlace::sum_files(const std::function<void(uint64_t)>& progress) {
  std::map<std::string, std::string, std::less<>> sums;
  for (const auto& entry : std::filesystem::directory_iterator(directory_)) {
    sums[entry.path().filename().string()] = sum_of(entry.path(), progress);
  }
  put("SHA256SUMS", as_bytes(sums_text(sums)));
}

std::string DirectoryPlace::finish(bool whole, const std::function<void(uint64_t)>& progress) {
  try {
    sum_files(progress);
  } catch (const Error& e) {
    if (whole) throw;  // it cannot be read back
    notes.push_back("SHA256SUMS: " + e.message());
  }
  sync_directory(directory_);
  const std::filesystem::path final_name = parent_ / (whole ? name_ : name_ + ".incomplete");
  std::filesystem::rename(directory_, final_name);
  sync_directory(parent_);
  being_written_.reset();  // whoever unmounts this needs it closed
  if (whole) {
    delete_dead_tries(parent_, name_, notes);
    apply_retention(parent_, {keep_, keep_bytes_}, name_, notes);
  }
  return final_name.string();
}

std::unique_ptr<Place> make_directory_place(const RunTarget& target) {
  return std::make_unique<DirectoryPlace>(target.path, target.keep, target.keep_bytes);
}

}  // namespace kdk
