// Three sources: a mapped regular file, memory, and /proc/vmcore (or a block device) seen through windows.
#include "core/formats/byte_source.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/base/bus_error.h"
#include "core/base/file.h"

namespace kdk {
namespace {

class MemorySource : public ByteSource {
 public:
  MemorySource(std::vector<uint8_t> data, std::string name)
      : data_(std::move(data)), name_(std::move(name)) {}
  const std::string& name() const override { return name_; }
  uint64_t size() const override { return data_.size(); }
  size_t read(uint64_t offset, MutableBytes out) const override {
    if (offset >= data_.size() || out.empty()) return 0;
    size_t n = std::min<size_t>(out.size(), data_.size() - offset);
    std::memcpy(out.data(), data_.data() + offset, n);
    return n;
  }
  std::optional<Bytes> view(uint64_t offset, uint64_t size) const override {
    return subspan(data_, offset, size);
  }

 private:
  std::vector<uint8_t> data_;
  std::string name_;
};

// A regular file. Views come from the mapping; read() uses pread, which meets a file that shrinks under us
// with a short read instead of a signal.
class MappedSource : public ByteSource {
 public:
  MappedSource(Fd fd, MappedFile map, std::string name)
      : fd_(std::move(fd)), map_(std::move(map)), name_(std::move(name)) {}
  const std::string& name() const override { return name_; }
  uint64_t size() const override { return map_.bytes().size(); }
  size_t read(uint64_t offset, MutableBytes out) const override {
    if (offset >= size()) return 0;
    return read_at(fd_, offset, out.first(std::min<uint64_t>(out.size(), size() - offset)), name_);
  }
  std::optional<Bytes> view(uint64_t offset, uint64_t size) const override {
    return subspan(map_.bytes(), offset, size);
  }

 private:
  Fd fd_;
  MappedFile map_;
  std::string name_;
};

// Maps a part of a descriptor at a time. Starts small and doubles while the reading is sequential, because
// every new window of /proc/vmcore sets up its page tables at once: a scan wants few large ones, a lookup
// wants a small one.
class MappedWindow : public ByteSource::Window {
 public:
  MappedWindow(int fd, uint64_t file_size) : fd_(fd), file_size_(file_size) {}
  MappedWindow(const MappedWindow&) = delete;
  MappedWindow& operator=(const MappedWindow&) = delete;
  ~MappedWindow() override { unmap(); }

  std::optional<Bytes> map(uint64_t offset, uint64_t size) override {
    if (!in_bounds(file_size_, offset, size) || size == 0) return std::nullopt;
    if (offset < begin_ || !in_bounds(length_, offset - begin_, size)) {
      if (!move(offset, size)) return std::nullopt;
    }
    return Bytes(data_ + (offset - begin_), size);
  }

 private:
  static constexpr uint64_t smallest = uint64_t{64} << 10;
  static constexpr uint64_t largest = uint64_t{4} << 20;

  bool move(uint64_t offset, uint64_t size) {
    uint64_t page = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
    uint64_t begin = align_down(offset, page);
    bool sequential = length_ != 0 && offset >= begin_ && offset - begin_ <= length_ + smallest;
    wanted_ = sequential ? std::min(wanted_ * 2, largest) : smallest;
    unmap();
    uint64_t needed = offset + size - begin;
    uint64_t length = std::min(std::max(needed, wanted_), file_size_ - begin);
    // Poisoned or vanished memory inside the window refuses the whole of it: try the wanted bytes alone
    // before giving this request back to read(2). The next request tries to map again.
    return map_at(begin, length) || (length > needed && map_at(begin, needed));
  }

  bool map_at(uint64_t begin, uint64_t length) {
    void* data = ::mmap(nullptr, length, PROT_READ, MAP_PRIVATE, fd_, static_cast<off_t>(begin));
    if (data == MAP_FAILED) return false;
    data_ = static_cast<const uint8_t*>(data);
    begin_ = begin;
    length_ = length;
    return true;
  }

  void unmap() {
    if (data_ != nullptr) ::munmap(const_cast<uint8_t*>(data_), length_);
    data_ = nullptr;
    length_ = 0;
  }

  int fd_;
  uint64_t file_size_;
  uint64_t wanted_ = smallest;
  const uint8_t* data_ = nullptr;
  uint64_t begin_ = 0;
  uint64_t length_ = 0;
};

// /proc/vmcore or a block device.
class WindowedSource : public ByteSource {
 public:
  WindowedSource(Fd fd, uint64_t size, std::string name)
      : fd_(std::move(fd)), size_(size), name_(std::move(name)) {}
  const std::string& name() const override { return name_; }
  uint64_t size() const override { return size_; }
  size_t read(uint64_t offset, MutableBytes out) const override {
    if (offset >= size_) return 0;
    return read_at(fd_, offset, out.first(std::min<uint64_t>(out.size(), size_ - offset)), name_);
  }
  std::unique_ptr<Window> window() const override { return std::make_unique<MappedWindow>(fd_.get(), size_); }

 private:
  Fd fd_;
  uint64_t size_;
  std::string name_;
};

// /proc/vmcore says it is a regular file.
bool on_procfs(const Fd& fd) {
  struct statfs fs {};
  return ::fstatfs(fd.get(), &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC;
}

}  // namespace

std::unique_ptr<ByteSource> open_file_source(const std::filesystem::path& path) {
  // O_NONBLOCK: opening a FIFO by mistake must not hang; it has no effect on what is accepted below.
  Fd fd = Fd::open(path, O_RDONLY | O_NONBLOCK);
  std::string name = path.string();
  struct stat st {};
  if (::fstat(fd.get(), &st) != 0) throw error_from_errno(errno, name);
  if (S_ISDIR(st.st_mode)) throw Error(Errc::unsupported, name + ": is a directory, not a dump file");
  if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode)) {
    throw Error(Errc::unsupported, name + ": is neither a regular file nor a block device")
        .with_hint("a dump is read at many places: save a stream to a file first");
  }
  std::optional<uint64_t> size = file_size(fd);
  if (!size) throw Error(Errc::io, name + ": the size cannot be found out");
  install_bus_error_handler();
  if (S_ISBLK(st.st_mode) || on_procfs(fd))
    return std::make_unique<WindowedSource>(std::move(fd), *size, name);
  try {
    MappedFile map = MappedFile::map(fd, name);
    return std::make_unique<MappedSource>(std::move(fd), std::move(map), name);
  } catch (const Error&) {
    // Larger than the address space allows, or a file system without mmap: windows fall back to pread by
    // themselves.
    return std::make_unique<WindowedSource>(std::move(fd), *size, name);
  }
}

std::unique_ptr<ByteSource> open_windowed_source(const std::filesystem::path& path, uint64_t size) {
  install_bus_error_handler();
  return std::make_unique<WindowedSource>(Fd::open(path, O_RDONLY), size, path.string());
}

std::unique_ptr<ByteSource> memory_source(std::vector<uint8_t> data, std::string name) {
  return std::make_unique<MemorySource>(std::move(data), std::move(name));
}

void read_exact(const ByteSource& source, uint64_t offset, MutableBytes out, std::string_view what) {
  size_t got = source.read(offset, out);
  if (got == out.size()) return;
  throw Error(Errc::format,
              fmt::format("{}: truncated: {} needs {} bytes at offset {:#x}, the file ends at {:#x}",
                          source.name(), what, out.size(), offset, source.size()));
}

}  // namespace kdk
