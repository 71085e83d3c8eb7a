// The names in the root file system that an initramfs unpacks to, as the kernel makes and follows them: an
// entry "bin/kdump-init" lands in usr/bin when "bin" is a symbolic link to there, and a program asked for as
// /bin/kdump-init is found through it.
//
// Source: init/initramfs.c (do_name, do_symlink, clean_path), fs/namei.c (link_path_walk, pick_link).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

namespace kdk {

class RootfsPaths {
 public:
  enum class Kind : uint8_t { directory, regular, symlink, other };
  enum class Outcome : uint8_t { found, missing, loop, unknown };

  // `path` has no '/' in front: of what was found, of the first part that is missing, or of the link that was
  // one too many.
  struct Walk {
    Outcome outcome = Outcome::missing;
    std::string path;
  };

  RootfsPaths();

  // The next entry of the archives. As in the kernel, one whose directory is not there is lost, and one of
  // another kind replaces what has its name, but for a directory that is not empty.
  void add(std::string_view name, Kind kind, std::string_view target = {});

  // The regular file that the kernel would start as `path`. unknown: the archives hold more names than are
  // looked at here.
  Walk find_program(std::string_view path);

 private:
  struct Entry {
    Kind kind = Kind::directory;
    uint32_t children = 0;
    std::string target;
  };

  // To the last part of `path`, which need not be there; followed if it is a link and `follow_last`.
  Walk walk(std::string_view path, bool follow_last);
  bool spend(uint64_t bytes);

  std::unordered_map<std::string, Entry> entries_;  // by the name without links; "" is the root
  uint64_t budget_;  // bytes of names that are kept or looked up: a few bytes of archive unpack to any number
};

}  // namespace kdk
