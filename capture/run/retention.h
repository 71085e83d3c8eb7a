// Which old dumps may stay in a directory of dumps.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/file.h"

namespace kdk {

struct Retention {
  unsigned keep = 0;        // dumps; 0: any number
  uint64_t keep_bytes = 0;  // of all of them together; 0: any size
};

// Deletes the oldest dumps in `parent` until what stays fits; the newest always stays. `current` is the
// directory's name of the dump that is being saved, or was just now. Only directories that have the name of a
// dump (dump_name.h) and hold nothing but a dump's files are looked at; what else is there is neither counted
// nor touched. A dump whose writer died goes before all others, if it is of the same host and of another
// crash; one that is being written is left alone. What cannot be deleted goes to `notes`. Returns what was
// deleted.
std::vector<std::filesystem::path> apply_retention(const std::filesystem::path& parent,
                                                   const Retention& retention, std::string_view current,
                                                   std::vector<std::string>& notes);

// Deletes what tries that died have left of the crash whose dump is now whole, in `current`.
std::vector<std::filesystem::path> delete_dead_tries(const std::filesystem::path& parent,
                                                     std::string_view current,
                                                     std::vector<std::string>& notes);

// Marks `directory` as one that is being written, as long as the result lives. Where the file system has no
// locks it is empty; nobody can tell there, and such directories of others are left alone.
Fd mark_as_being_written(const std::filesystem::path& directory);

}  // namespace kdk
