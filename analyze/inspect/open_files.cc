#include "analyze/inspect/open_files.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/base/error.h"

namespace kdk {
namespace {

constexpr uint64_t most_places = uint64_t{1} << 20;  // fs.nr_open
// include/uapi/linux/stat.h, S_IFMT; fs.h, FMODE_READ and FMODE_WRITE.
constexpr uint64_t type_mask = 0170000, readable = 1, writable = 2;

std::string_view kind_of(uint64_t mode) {
  switch (mode & type_mask) {
    case 0140000:
      return "socket";
    case 0120000:
      return "link";
    case 0100000:
      return "file";
    case 0060000:
      return "block device";
    case 0040000:
      return "directory";
    case 0020000:
      return "character device";
    case 0010000:
      return "pipe";
    default:
      return "?";
  }
}

OpenFile read_file(Objects& objects, uint32_t fd, const Object& file) {
  OpenFile out;
  out.fd = fd;
  out.address = file.address();
  out.kind = "?";
  out.position = file.number("f_pos");
  out.flags = file.number("f_flags");
  if (const auto mode = file.number("f_mode")) {
    out.access = std::string((*mode & readable) != 0 ? "r" : "") + ((*mode & writable) != 0 ? "w" : "");
    if (out.access.empty()) out.access = "-";
  }
  if (const auto path = file.member("f_path")) {
    const FilePath found = path_of(objects, *path);
    out.path = found.text;
    out.deleted = found.deleted;
  }
  const auto inode = file.target("f_inode");
  if (!inode) return out;
  out.inode = inode->number("i_ino");
  if (const auto super = inode->target("i_sb")) out.type = file_system_type(*super);
  if (const auto mode = inode->number("i_mode")) out.kind = kind_of(*mode);
  if (out.type == "anon_inodefs") out.kind = "anonymous";
  if (out.kind == "socket" && out.type == "sockfs" && objects.has_type("socket_alloc")) {
    const auto socket = objects.container("socket_alloc", "vfs_inode", inode->at()).member("socket");
    const auto sock = socket ? socket->target("sk") : std::nullopt;
    if (sock) out.socket = read_socket(objects, *sock);
  }
  return out;
}

}  // namespace

ProcessFiles read_open_files(TypedMemory& types, VirtAddr at, std::vector<std::string>& problems) {
  Objects objects(types);
  Problems found;
  ProcessFiles out;
  const Object task = objects.at("task_struct", at);
  if (const auto place = task.target("fs")) {
    if (const auto directory = place->member("pwd")) out.directory = path_of(objects, *directory).text;
    if (const auto root = place->member("root")) out.root = path_of(objects, *root).text;
  }
  if (const auto memory = task.target("mm")) {
    if (const auto program = memory->target("exe_file")) {
      if (const auto path = program->member("f_path")) out.program = path_of(objects, *path).text;
    }
  }
  const auto files = task.target("files");
  const auto table = files ? files->target("fdt") : std::nullopt;
  if (!table) {
    out.error = "it has no files: it is a kernel thread that needs none, or has ended";
    return out;
  }
  out.places = table->number("max_fds");
  const auto open = table->pointer("open_fds"), array = table->pointer("fd");
  if (!out.places || !open || !array) {
    out.error = "its table of files cannot be read";
    return out;
  }
  const uint64_t places = std::min(*out.places, most_places);
  if (places < *out.places)
    found.add(
        fmt::format("the table of files of the task at {:#x} says it has {} places", at.value, *out.places));
  std::vector<uint8_t> bits((places + 7) / 8);
  const ReadResult read = objects.memory().read(*open, bits);
  if (!read) {
    found.add(fmt::format("which files the task at {:#x} has open cannot be read in whole", at.value));
    bits.resize(read.bytes);
  }
  for (uint64_t fd = 0; fd < std::min<uint64_t>(places, bits.size() * 8); ++fd) {
    if ((bits[fd / 8] >> (fd % 8) & 1) == 0) continue;
    const auto file = objects.memory().u64(*array + fd * 8);
    if (file == uint64_t{0}) continue;  // reserved: somebody was opening it
    const auto object = file ? std::optional(objects.at("file", {*file})) : std::nullopt;
    if (!object || !object->number("f_mode")) {
      found.add(fmt::format("file {} of the task at {:#x} cannot be read", fd, at.value));
      continue;
    }
    out.files.push_back(read_file(objects, static_cast<uint32_t>(fd), *object));
  }
  for (std::string& problem : found.take()) problems.push_back(std::move(problem));
  return out;
}

}  // namespace kdk
