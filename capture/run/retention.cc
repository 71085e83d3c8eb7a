#include "capture/run/retention.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "capture/run/dump_name.h"

namespace kdk {
namespace {

struct OldDump {
  std::string time;
  std::filesystem::path path;
  uint64_t bytes = 0;
};

// Nothing but the files of a dump, and their size; false when there is anything else.
bool holds_only_a_dump(OldDump& dump) {
  constexpr std::array<std::string_view, 4> names = {"dmesg.txt", "summary.json", "vmcore", "SHA256SUMS"};
  for (const auto& entry : std::filesystem::directory_iterator(dump.path)) {
    const std::string name = entry.path().filename().string();
    const bool known = std::ranges::find(names, name) != names.end() || name.starts_with("vmcore.");
    if (!known || entry.is_symlink() || !entry.is_regular_file()) return false;
    dump.bytes += entry.file_size();
  }
  return true;
}

// Newest first.
std::vector<OldDump> find_dumps(const std::filesystem::path& parent) {
  std::vector<OldDump> dumps;
  for (const auto& entry : std::filesystem::directory_iterator(parent)) {
    const std::optional<std::string> time = dump_time(entry.path().filename().string());
    if (!time || entry.is_symlink() || !entry.is_directory()) continue;
    OldDump dump{*time, entry.path(), 0};
    if (holds_only_a_dump(dump)) dumps.push_back(std::move(dump));
  }
  std::ranges::sort(dumps, [](const OldDump& a, const OldDump& b) {
    return std::tie(a.time, a.path) > std::tie(b.time, b.path);
  });
  return dumps;
}

}  // namespace

std::vector<std::filesystem::path> apply_retention(const std::filesystem::path& parent,
                                                   const Retention& retention,
                                                   std::vector<std::string>& notes) {
  std::vector<std::filesystem::path> deleted;
  if (retention.keep == 0 && retention.keep_bytes == 0) return deleted;
  try {
    uint64_t bytes = 0;
    unsigned kept = 0;
    for (const OldDump& dump : find_dumps(parent)) {
      bytes += dump.bytes;
      const bool too_many = retention.keep != 0 && kept >= retention.keep;
      const bool too_large = retention.keep_bytes != 0 && bytes > retention.keep_bytes;
      if (kept == 0 || !(too_many || too_large)) {
        ++kept;
        continue;
      }
      std::error_code error;
      std::filesystem::remove_all(dump.path, error);
      if (error) {
        notes.push_back(fmt::format("deleting the old dump {}: {}", dump.path.string(), error.message()));
      } else {
        deleted.push_back(dump.path);
      }
    }
  } catch (const std::filesystem::filesystem_error& e) {
    notes.push_back(fmt::format("looking for old dumps in {}: {}", parent.string(), e.code().message()));
  }
  return deleted;
}

}  // namespace kdk
