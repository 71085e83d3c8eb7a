// Debug files from the servers of $DEBUGINFOD_URLS, by build-id, through elfutils' client library, which
// keeps what it got in the user's cache. Asked only with --debuginfod: the question tells a server which
// kernel crashed.
#pragma once

#include <filesystem>
#include <string>

namespace kdk {

// The file with the debug information of `build_id` (lower-case hex). May take minutes, and says how far it
// is on a terminal. Throws Error: the library is not installed, no server is named, none has the file, or
// none could be reached.
std::filesystem::path fetch_debug_file(const std::string& build_id);

}  // namespace kdk
