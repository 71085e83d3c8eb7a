#include "analyze/symbols/debuginfod.h"

#include <dlfcn.h>
#include <elfutils/debuginfod.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "core/base/error.h"
#include "core/base/log.h"

namespace kdk {
namespace {

// Loaded when it is needed: it brings a web client and TLS with it, which nobody else here wants.
struct Library {
  decltype(&debuginfod_begin) begin;
  decltype(&debuginfod_end) end;
  decltype(&debuginfod_find_debuginfo) find;
  decltype(&debuginfod_set_progressfn) on_progress;

  static Library load() {
    void* handle = dlopen(DEBUGINFOD_SONAME, RTLD_NOW);
    if (handle == nullptr) {
      const char* why = dlerror();
      throw Error(Errc::missing, fmt::format("debuginfod: {}", why != nullptr ? why : DEBUGINFOD_SONAME))
          .with_hint("install elfutils' client library (libdebuginfod1, elfutils-debuginfod-client)");
    }
    auto symbol = [&](const char* name) {
      void* address = dlsym(handle, name);
      if (address == nullptr)
        throw Error(Errc::unsupported, fmt::format("debuginfod: {} has no {}", DEBUGINFOD_SONAME, name));
      return address;
    };
    return {reinterpret_cast<decltype(begin)>(symbol("debuginfod_begin")),
            reinterpret_cast<decltype(end)>(symbol("debuginfod_end")),
            reinterpret_cast<decltype(find)>(symbol("debuginfod_find_debuginfo")),
            reinterpret_cast<decltype(on_progress)>(symbol("debuginfod_set_progressfn"))};
  }
};

// The client calls it often. `total`: 0 while it is not known.
int show_progress(debuginfod_client*, long done, long total) {
  constexpr long megabyte = 1'000'000;
  if (total > 0) std::fprintf(stderr, "\rdebuginfod: %ld of %ld MB", done / megabyte, total / megabyte);
  return 0;
}

}  // namespace

std::filesystem::path fetch_debug_file(const std::string& build_id) {
  const char* urls = std::getenv(DEBUGINFOD_URLS_ENV_VAR);
  if (urls == nullptr || *urls == '\0')
    throw Error(Errc::missing, "debuginfod: no server is named: " DEBUGINFOD_URLS_ENV_VAR " is not set");
  const Library library = Library::load();
  const std::unique_ptr<debuginfod_client, decltype(library.end)> client(library.begin(), library.end);
  if (client == nullptr) throw Error(Errc::io, "debuginfod: the client library does not start");
  log_info("debuginfod: asking {} for build-id {}", urls, build_id);
  const bool on_terminal = isatty(STDERR_FILENO) == 1;
  if (on_terminal) library.on_progress(client.get(), show_progress);
  char* name = nullptr;
  const int fd =
      library.find(client.get(), reinterpret_cast<const unsigned char*>(build_id.c_str()), 0, &name);
  if (on_terminal) std::fprintf(stderr, "\r\033[K");
  const std::unique_ptr<char, decltype(&std::free)> owned(name, std::free);
  if (fd < 0) {
    // It answers ENOENT, too, when a server has no such file.
    throw Error(Errc::missing, fmt::format("debuginfod: no debug information of build-id {} from {}: {}",
                                           build_id, urls, std::strerror(-fd)));
  }
  close(fd);
  return name;
}

}  // namespace kdk
