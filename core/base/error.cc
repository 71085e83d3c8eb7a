#include "core/base/error.h"

#include <fmt/format.h>

#include <cerrno>
#include <system_error>

#include "core/base/bytes.h"

namespace kdk {

std::string_view to_string(Errc code) {
  switch (code) {
    case Errc::io: return "io";
    case Errc::format: return "format";
    case Errc::unsupported: return "unsupported";
    case Errc::missing: return "missing";
    case Errc::fault: return "fault";
    case Errc::denied: return "denied";
  }
  return "unknown";
}

Error error_from_errno(int errno_value, std::string_view context) {
  Errc code = Errc::io;
  if (errno_value == EPERM || errno_value == EACCES) code = Errc::denied;
  if (errno_value == ENOENT) code = Errc::missing;
  Error error(code, fmt::format("{}: {}", context, std::generic_category().message(errno_value)));
  if (errno_value == ENOSPC) error.with_hint("free space on the target or choose another target");
  if (code == Errc::denied) error.with_hint("run as root");
  return error;
}

void Cursor::throw_short(uint64_t offset, uint64_t wanted) const {
  throw Error(Errc::format, fmt::format("{}: {} bytes wanted at offset {:#x}, but the data ends at {:#x}", what_, wanted,
                                        offset, bytes_.size()));
}

}  // namespace kdk
