#include "loader/state/kept_files.h"

#include <fcntl.h>
#include <sys/xattr.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <set>

#include "core/base/sha256.h"

namespace kdk {
namespace {

namespace fs = std::filesystem;

// A signature of any kind is smaller than this.
constexpr size_t max_ima_xattr = 4096;

fs::path kept_path(const SysRoot& root, std::string_view what, const InputIdentity& identity) {
  return root.path(kept_files_path) / (std::string(what) + "-" + identity.sha256);
}

// Without it an IMA policy would refuse the copy. Only a file that has one needs it.
void copy_ima_xattr(const Fd& from, const fs::path& to) {
  std::array<char, max_ima_xattr> value;
  ssize_t size = ::fgetxattr(from.get(), "security.ima", value.data(), value.size());
  if (size < 0) {
    if (errno == ENODATA || errno == ENOTSUP) return;
    throw error_from_errno(errno, "reading security.ima");
  }
  if (::setxattr(to.c_str(), "security.ima", value.data(), static_cast<size_t>(size), 0) != 0) {
    throw error_from_errno(errno, to.string() + ": writing security.ima");
  }
}

void keep_file(const fs::path& to, const Fd& from, const InputIdentity& identity) {
  if (has_content(to, identity)) return;
  std::vector<uint8_t> content(identity.size);
  content.resize(read_at(from, 0, content, identity.path));
  if (sha256_hex(content) != identity.sha256) {
    throw Error(Errc::format, identity.path + ": the file was changed while it was loaded");
  }
  write_file_atomic(to, content, 0600);
  copy_ima_xattr(from, to);
}

std::string find_content(const SysRoot& root, std::string_view what, const std::string& path,
                         const InputIdentity& identity) {
  for (const std::string& candidate : {path, kept_path(root, what, identity).string()}) {
    if (has_content(candidate, identity)) return candidate;
  }
  throw Error(Errc::missing, path + ": was changed since, and there is no copy of what was loaded");
}

}  // namespace

bool has_content(const std::string& path, const InputIdentity& identity) {
  std::error_code error;
  uint64_t size = fs::file_size(path, error);
  if (error == std::errc::no_such_file_or_directory || error == std::errc::not_a_directory) return false;
  if (error) throw error_from_errno(error.value(), path);
  return size == identity.size && sha256_hex(read_file(path, identity.size)) == identity.sha256;
}

void keep_files(const SysRoot& root, const PreparedLoad& load) {
  fs::path directory = root.path(kept_files_path);
  fs::create_directories(directory);
  fs::permissions(directory, fs::perms::owner_all);
  std::set<fs::path> wanted = {kept_path(root, "kernel", load.plan.kernel)};
  keep_file(*wanted.begin(), load.files.kernel, load.plan.kernel);
  if (load.plan.initrd && load.plan.initrd->is_whole_file()) {
    fs::path path = kept_path(root, "initrd", *load.plan.initrd);
    keep_file(path, load.files.initrd, *load.plan.initrd);
    wanted.insert(path);
  }
  for (const fs::directory_entry& entry : fs::directory_iterator(directory)) {
    if (!wanted.contains(entry.path())) fs::remove(entry.path());
  }
}

void remove_kept_files(const SysRoot& root) {
  std::error_code error;
  fs::remove_all(root.path(kept_files_path), error);
  if (error) throw error_from_errno(error.value(), root.path(kept_files_path).string());
}

LoadRequest find_recorded_files(const SysRoot& root, const LoadRecord& record) {
  if (!record.request) throw Error(Errc::missing, "the record of the load does not say with what options");
  LoadRequest request = *record.request;
  request.kernel = find_content(root, "kernel", request.kernel, record.kernel);
  if (record.initrd && record.initrd->is_whole_file())
    request.initrd = find_content(root, "initrd", request.initrd, *record.initrd);
  if (record.dtb) request.dtb = find_content(root, "dtb", request.dtb, *record.dtb);
  return request;
}

}  // namespace kdk
