#include "capture/initramfs/cpio.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <array>
#include <iterator>

#include "core/base/error.h"
#include "core/base/file.h"

namespace kdk {
namespace {

void append_entry(std::vector<uint8_t>& out, unsigned inode, uint32_t mode, std::string_view name,
                  Bytes content) {
  auto pad = [&out] { out.resize((out.size() + 3) & ~size_t{3}); };
  std::string header = "070701";
  // inode, mode, uid, gid, links, mtime, size, device major and minor, the same of a special file, name's
  // size, sum
  const std::array<uint64_t, 13> fields = {inode,           mode, 0, 0, 1, 0, content.size(), 0, 0, 0, 0,
                                           name.size() + 1, 0};
  for (const uint64_t field : fields) fmt::format_to(std::back_inserter(header), "{:08x}", field);
  out.insert(out.end(), header.begin(), header.end());
  out.insert(out.end(), name.begin(), name.end());
  out.push_back(0);
  pad();
  out.insert(out.end(), content.begin(), content.end());
  pad();
}

}  // namespace

void CpioArchive::add_parents(std::string_view path) {
  for (size_t slash = path.find('/'); slash != std::string_view::npos; slash = path.find('/', slash + 1)) {
    entries_.try_emplace(std::string(path.substr(0, slash)), Entry{S_IFDIR | 0755, {}});
  }
}

void CpioArchive::add_directory(std::string_view path) {
  add_parents(path);
  entries_.try_emplace(std::string(path), Entry{S_IFDIR | 0755, {}});
}

void CpioArchive::add_file(std::string_view path, Bytes content, uint32_t mode) {
  add_parents(path);
  entries_.insert_or_assign(std::string(path), Entry{S_IFREG | mode, {content.begin(), content.end()}});
}

std::vector<uint8_t> CpioArchive::bytes() const {
  std::vector<uint8_t> out;
  unsigned inode = 0;
  for (const auto& [name, entry] : entries_) append_entry(out, ++inode, entry.mode, name, entry.content);
  append_entry(out, 0, 0, "TRAILER!!!", {});
  return out;
}

void CpioArchive::write_below(const std::filesystem::path& directory) const {
  for (const auto& [name, entry] : entries_) {
    const std::filesystem::path path = directory / name;
    std::error_code error;
    if (S_ISDIR(entry.mode)) {
      std::filesystem::create_directories(path, error);  // not an error where one is, or a link to one
      if (error) throw error_from_errno(error.value(), path.string());
    } else {
      write_file_atomic(path, entry.content, entry.mode & 07777);
    }
  }
}

uint64_t CpioArchive::unpacked_bytes() const {
  constexpr uint64_t page = 4096;
  uint64_t total = 0;
  for (const auto& [name, entry] : entries_) total += (entry.content.size() + page - 1) / page * page;
  return total;
}

}  // namespace kdk
