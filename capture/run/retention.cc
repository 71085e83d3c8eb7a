#include "capture/run/retention.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>

#include <algorithm>
#include <array>
#include <functional>

#include "capture/run/dump_name.h"

namespace kdk {
namespace {

struct OldDump {
  DumpName name;
  std::filesystem::path path;
  uint64_t bytes = 0;
};

// Nothing but the files of a dump (sealed, of several parts or not done, too), and their size; false when
// there is anything else.
bool holds_only_a_dump(OldDump& dump) {
  constexpr std::array<std::string_view, 4> names = {"dmesg.txt", "summary.json", "vmcore", "SHA256SUMS"};
  for (const auto& entry : std::filesystem::directory_iterator(dump.path)) {
    const std::string name = entry.path().filename().string();
    const bool known = std::ranges::any_of(names, [&](std::string_view one) {
      return name.starts_with(one) && (name.size() == one.size() || name[one.size()] == '.');
    });
    if (!known || entry.is_symlink() || !entry.is_regular_file()) return false;
    dump.bytes += entry.file_size();
  }
  return true;
}

// An exclusive lock on a directory, which ends with the process that has it; empty when somebody else has
// one, or when the file system does not know locks.
Fd lock(const std::filesystem::path& directory) {
  Fd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (fd && ::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) fd.reset();
  return fd;
}

// Those for which `wanted`, the most valuable first: what came to an end before what did not, then by time.
std::vector<OldDump> find_dumps(const std::filesystem::path& parent,
                                const std::function<bool(const DumpName&)>& wanted) {
  std::vector<OldDump> dumps;
  for (const auto& entry : std::filesystem::directory_iterator(parent)) {
    const std::optional<DumpName> name = parse_dump_name(entry.path().filename().string());
    if (!name || !wanted(*name) || entry.is_symlink() || !entry.is_directory()) continue;
    OldDump dump{*name, entry.path(), 0};
    if (holds_only_a_dump(dump)) dumps.push_back(std::move(dump));
  }
  const auto rank = [](const OldDump& d) {
    return std::tuple(d.name.state != DumpState::partial, d.name.time, d.name.number, d.path);
  };
  std::ranges::sort(dumps, [&](const OldDump& a, const OldDump& b) { return rank(a) > rank(b); });
  return dumps;
}

// Goes to `deleted` or to `notes`.
void delete_dump(const OldDump& dump, std::vector<std::filesystem::path>& deleted,
                 std::vector<std::string>& notes) {
  std::error_code error;
  std::filesystem::remove_all(dump.path, error);
  if (error) {
    notes.push_back(fmt::format("deleting the old dump {}: {}", dump.path.string(), error.message()));
  } else {
    deleted.push_back(dump.path);
  }
}

std::string could_not_look(const std::filesystem::path& parent, const std::filesystem::filesystem_error& e) {
  return fmt::format("looking for old dumps in {}: {}", parent.string(), e.code().message());
}

}  // namespace

std::vector<std::filesystem::path> apply_retention(const std::filesystem::path& parent,
                                                   const Retention& retention, std::string_view current,
                                                   std::vector<std::string>& notes) {
  std::vector<std::filesystem::path> deleted;
  if (retention.keep == 0 && retention.keep_bytes == 0) return deleted;
  const std::optional<DumpName> now = parse_dump_name(current);
  const auto wanted = [&now](const DumpName& name) {
    // A network file system may be shared with machines whose locks are not seen here.
    return name.state != DumpState::partial || (now && name.host == now->host && !name.same_crash(*now));
  };
  try {
    uint64_t bytes = 0;
    unsigned kept = 0;
    for (const OldDump& dump : find_dumps(parent, wanted)) {
      if (dump.name.state == DumpState::partial && !lock(dump.path)) continue;  // being written
      bytes += dump.bytes;
      const bool too_many = retention.keep != 0 && kept >= retention.keep;
      const bool too_large = retention.keep_bytes != 0 && bytes > retention.keep_bytes;
      if (kept == 0 || !(too_many || too_large)) {
        ++kept;
      } else {
        delete_dump(dump, deleted, notes);
      }
    }
  } catch (const std::filesystem::filesystem_error& e) {
    notes.push_back(could_not_look(parent, e));
  }
  return deleted;
}

std::vector<std::filesystem::path> delete_dead_tries(const std::filesystem::path& parent,
                                                     std::string_view current,
                                                     std::vector<std::string>& notes) {
  std::vector<std::filesystem::path> deleted;
  const std::optional<DumpName> now = parse_dump_name(current);
  if (!now) return deleted;
  const auto wanted = [&now](const DumpName& name) {
    return name.state == DumpState::partial && name.same_crash(*now);
  };
  try {
    for (const OldDump& dump : find_dumps(parent, wanted)) {
      if (const Fd dead = lock(dump.path); dead) delete_dump(dump, deleted, notes);
    }
  } catch (const std::filesystem::filesystem_error& e) {
    notes.push_back(could_not_look(parent, e));
  }
  return deleted;
}

Fd mark_as_being_written(const std::filesystem::path& directory) {
  return lock(directory);
}

}  // namespace kdk
