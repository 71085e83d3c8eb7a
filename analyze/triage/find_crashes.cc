// Which files of a directory are crashes: told by their first bytes, since dumps have no common name.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <system_error>

#include "analyze/triage/collection.h"
#include "core/base/error.h"
#include "core/base/file.h"
#include "core/base/log.h"

namespace kdk {
namespace {

namespace fs = std::filesystem;

constexpr size_t max_files = 100'000;  // of one call
constexpr size_t peek_bytes = 256;

std::string first_bytes(const fs::path& file) {
  Fd fd = Fd::open(file, O_RDONLY | O_NONBLOCK);  // a FIFO must not keep us waiting
  std::array<uint8_t, peek_bytes> buffer{};
  size_t size = read_at(fd, 0, buffer, file.string());
  return {reinterpret_cast<const char*>(buffer.data()), size};
}

bool begins(std::string_view text, std::string_view with) {
  return text.substr(0, with.size()) == with;
}

bool is_report(std::string_view bytes) {
  size_t begin = bytes.find_first_not_of(" \t\r\n");
  return begin != bytes.npos && bytes[begin] == '{' && bytes.find("\"kdumpkit/report\"") != bytes.npos;
}

bool is_dump(std::string_view bytes) {
  constexpr size_t type_offset = 16;  // e_type of an ELF header, ELF specification figure 1-3
  constexpr char core_type = 4;       // ET_CORE
  bool core = begins(bytes, "\177ELF") && bytes.size() > type_offset + 1 &&
              (bytes[type_offset] == core_type || bytes[type_offset + 1] == core_type);
  return core || begins(bytes, "KDUMP   ") || begins(bytes, "DISKDUMP") || begins(bytes, "makedumpfile");
}

class Finder {
 public:
  Finder(std::vector<UnreadableFile>& unreadable, unsigned max_depth)
      : unreadable_(unreadable), max_depth_(max_depth) {}

  void directory(const fs::path& path, unsigned depth) {
    std::error_code error;
    std::vector<fs::directory_entry> entries;
    for (fs::directory_iterator it(path, error), end; !error && it != end; it.increment(error))
      entries.push_back(*it);
    if (error) unreadable(path, fmt::format("{}: {}", path.string(), error.message()));
    std::sort(entries.begin(), entries.end());
    for (const fs::directory_entry& entry : entries) {
      fs::file_status status = entry.symlink_status(error);
      if (error || full()) continue;
      if (fs::is_directory(status) && depth < max_depth_) directory(entry.path(), depth + 1);
      if (fs::is_regular_file(status)) consider(entry.path());
    }
  }

  void add(const fs::path& path) { found_.push_back(path); }
  bool full() const { return found_.size() >= max_files; }
  std::vector<fs::path> take() {
    if (full()) {
      unreadable_.push_back({"", fmt::format("more than {} files: the rest was not looked at", max_files)});
    }
    return std::move(found_);
  }

 private:
  void consider(const fs::path& path) {
    try {
      std::string bytes = first_bytes(path);
      if (is_dump(bytes) || is_report(bytes)) add(path);
    } catch (const Error& error) {
      unreadable(path, error.message());
    }
  }

  void unreadable(const fs::path& path, std::string_view why) {
    unreadable_.push_back({escape_untrusted(path.string()), escape_untrusted(why)});
  }

  std::vector<UnreadableFile>& unreadable_;
  unsigned max_depth_;
  std::vector<fs::path> found_;
};

}  // namespace

std::vector<fs::path> find_crashes(const std::vector<fs::path>& paths,
                                   std::vector<UnreadableFile>& unreadable, unsigned max_depth) {
  Finder finder(unreadable, max_depth);
  for (const fs::path& path : paths) {
    std::error_code error;
    if (fs::is_directory(path, error)) {
      finder.directory(path, 1);
    } else {
      finder.add(path);  // whatever it is: opening it says what is wrong with it
    }
  }
  return finder.take();
}

bool looks_like_saved_report(const fs::path& file) {
  return is_report(first_bytes(file));
}

}  // namespace kdk
