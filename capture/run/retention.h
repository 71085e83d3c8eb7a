// Which old dumps may stay in a directory of dumps.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace kdk {

struct Retention {
  unsigned keep = 0;        // dumps; 0: any number
  uint64_t keep_bytes = 0;  // of all of them together; 0: any size
};

// Deletes the oldest dumps in `parent` until what stays fits; the newest always stays. Only directories that
// have the name of a dump (dump_name.h) and hold nothing but a dump's files are looked at; what else is there
// is neither counted nor touched. What cannot be deleted goes to `notes`. Returns what was deleted.
std::vector<std::filesystem::path> apply_retention(const std::filesystem::path& parent,
                                                   const Retention& retention,
                                                   std::vector<std::string>& notes);

}  // namespace kdk
