#include "loader/reserve/boot_change.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>

#include "core/base/log.h"
#include "core/base/sha256.h"
#include "loader/machine/parse.h"

namespace kdk {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr std::string_view list_name = "list.json";
constexpr uint64_t max_kept_file = 1 << 20;
constexpr int max_links = 8;

// The file that a path means: symbolic links are followed, absolute ones inside the root.
fs::path resolve(const SysRoot& root, const std::string& path) {
  fs::path file = root.path(path);
  for (int links = 0; fs::is_symlink(fs::symlink_status(file)); ++links) {
    if (links == max_links) throw Error(Errc::format, path + ": too many symbolic links");
    fs::path target = fs::read_symlink(file);
    file = target.is_absolute() ? root.path(target.string()) : file.parent_path() / target;
  }
  return file;
}

std::optional<std::string> current(const fs::path& file) {
  if (!fs::exists(file)) return std::nullopt;
  return read_text_file(file, max_kept_file);
}

// Labels of security modules and access lists. Hashes and signatures of the old content are of no use.
void copy_attributes(const fs::path& from, const Fd& to) {
  ssize_t size = ::listxattr(from.c_str(), nullptr, 0);
  if (size <= 0) return;  // none, or a file system without them
  std::string names(static_cast<size_t>(size), '\0');
  size = ::listxattr(from.c_str(), names.data(), names.size());
  names.resize(static_cast<size_t>(std::max<ssize_t>(size, 0)));
  for (std::string_view rest = names; !rest.empty();) {
    std::string name(next_token(rest, '\0'));
    if (name == "security.ima" || name == "security.evm") continue;
    std::string value(64 << 10, '\0');
    ssize_t got = ::getxattr(from.c_str(), name.c_str(), value.data(), value.size());
    if (got < 0 || ::fsetxattr(to.get(), name.c_str(), value.data(), static_cast<size_t>(got), 0) != 0) {
      throw error_from_errno(errno, fmt::format("{}: keeping {}", from.string(), name));
    }
  }
}

// Replaces a file as a whole; it keeps its owner, mode and attributes.
void replace_file(const fs::path& file, std::string_view content) {
  fs::create_directories(file.parent_path());  // a file of ours may be the first one there
  AtomicFile out(file, 0644);
  struct stat old {};
  if (::stat(file.c_str(), &old) == 0) {
    struct stat now {};
    if (::fstat(out.fd().get(), &now) != 0) throw error_from_errno(errno, file.string());
    bool same_owner = now.st_uid == old.st_uid && now.st_gid == old.st_gid;
    if (!same_owner && ::fchown(out.fd().get(), old.st_uid, old.st_gid) != 0)
      throw error_from_errno(errno, file.string() + ": keeping its owner");
    if (::fchmod(out.fd().get(), old.st_mode & 07777) != 0)
      throw error_from_errno(errno, file.string() + ": keeping its mode");
    copy_attributes(file, out.fd());
  }
  out.write(as_bytes(content));
  out.commit();
}

// The numbers of the kept changes, ascending.
std::vector<uint64_t> kept_changes(const SysRoot& root) {
  std::vector<uint64_t> numbers;
  fs::path directory = root.path(boot_backup_path);
  if (!fs::exists(directory)) return numbers;
  for (const fs::directory_entry& entry : fs::directory_iterator(directory)) {
    std::optional<uint64_t> number = parse_number(entry.path().filename().string(), 10);
    // Without its list it was never finished, and nothing was changed then.
    if (number && fs::exists(entry.path() / list_name)) numbers.push_back(*number);
  }
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

fs::path change_directory(const SysRoot& root, uint64_t number) {
  return root.path(boot_backup_path) / std::to_string(number);
}

fs::path keep(const SysRoot& root, const std::vector<FileEdit>& edits) {
  std::vector<uint64_t> numbers = kept_changes(root);
  fs::path directory = change_directory(root, numbers.empty() ? 1 : numbers.back() + 1);
  fs::remove_all(directory);
  fs::create_directories(directory);
  fs::permissions(directory, fs::perms::owner_all);
  Json list = {{"files", Json::array()}};
  for (size_t i = 0; i < edits.size(); ++i) {
    const FileEdit& edit = edits[i];
    if (edit.before) write_file_atomic(directory / std::to_string(i), as_bytes(*edit.before), 0600);
    list["files"].push_back({{"path", edit.path},
                             {"existed", edit.before.has_value()},
                             {"sha256_after", sha256_hex(as_bytes(edit.after))}});
  }
  std::string text = list.dump(2) + "\n";
  write_file_atomic(directory / list_name, as_bytes(text), 0600);
  return directory;
}

void put_back(const SysRoot& root, const FileEdit& edit) {
  fs::path file = resolve(root, edit.path);
  if (edit.before) {
    replace_file(file, *edit.before);
  } else {
    fs::remove(file);
  }
}

// File system errors of the standard library, as ours.
template <typename F>
auto with_our_errors(F&& f) {
  try {
    return f();
  } catch (const fs::filesystem_error& e) {
    throw error_from_errno(e.code().value(), e.path1().string());
  } catch (const nlohmann::json::exception& e) {
    throw Error(Errc::format,
                fmt::format("{}: the list of a change is damaged: {}", boot_backup_path, e.what()));
  }
}

}  // namespace

void write_boot_files(const SysRoot& root, const std::vector<FileEdit>& edits) {
  with_our_errors([&] {
    for (const FileEdit& edit : edits) {
      if (current(resolve(root, edit.path)) != edit.before)
        throw Error(Errc::format, edit.path + ": was changed meanwhile; try again");
    }
    fs::path kept = keep(root, edits);
    size_t written = 0;
    try {
      for (const FileEdit& edit : edits) {
        replace_file(resolve(root, edit.path), edit.after);
        ++written;
      }
    } catch (...) {
      while (written-- > 0) put_back(root, edits[written]);
      fs::remove_all(kept);
      throw;
    }
  });
}

std::vector<FileRestore> read_last_change(const SysRoot& root) {
  return with_our_errors([&] {
    std::vector<uint64_t> numbers = kept_changes(root);
    if (numbers.empty()) throw Error(Errc::missing, "nothing to undo: no change by reserve --apply is kept");
    fs::path directory = change_directory(root, numbers.back());
    Json list = Json::parse(read_text_file(directory / list_name, max_kept_file));
    std::vector<FileRestore> restores;
    for (size_t i = 0; i < list.at("files").size(); ++i) {
      const Json& item = list["files"][i];
      FileRestore restore;
      restore.path = item.at("path").get<std::string>();
      if (item.at("existed").get<bool>()) {
        restore.after = read_text_file(directory / std::to_string(i), max_kept_file);
      }
      std::optional<std::string> now = current(resolve(root, restore.path));
      if (now == restore.after) continue;  // an undo that was interrupted
      if (!now) {
        // A removed kernel takes its boot entry along.
        log_warning("{}: was removed since and stays so", restore.path);
        continue;
      }
      if (sha256_hex(as_bytes(*now)) != item.at("sha256_after").get<std::string>()) {
        throw Error(Errc::unsupported, restore.path + ": was changed since reserve --apply")
            .with_hint(restore.after ? "compare it with " + (directory / std::to_string(i)).string()
                                     : "it did not exist before");
      }
      restore.before = std::move(*now);
      restores.push_back(std::move(restore));
    }
    return restores;
  });
}

void undo_last_change(const SysRoot& root, const std::vector<FileRestore>& restores) {
  with_our_errors([&] {
    for (const FileRestore& restore : restores) put_back(root, {restore.path, restore.after, restore.before});
    fs::remove_all(change_directory(root, kept_changes(root).back()));
  });
}

}  // namespace kdk
