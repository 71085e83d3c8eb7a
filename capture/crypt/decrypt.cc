#include "capture/crypt/decrypt.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "capture/crypt/opener.h"
#include "capture/output/reassemble.h"
#include "capture/output/target.h"
#include "core/base/file.h"

namespace kdk {
namespace {

// What is not a dump is small: a log, a summary.
constexpr uint64_t largest_file = uint64_t{1} << 30;

Decrypted decrypt_file(Opener& opener, const DecryptOptions& options, const std::string& name) {
  std::vector<uint8_t> content, part(1 << 20);
  for (size_t n = opener.read(part); n != 0; n = opener.read(part)) {
    if (content.size() + n > largest_file)
      throw Error(Errc::unsupported, name + ": is too large for a log or a summary");
    content.insert(content.end(), part.begin(), part.begin() + static_cast<std::ptrdiff_t>(n));
  }
  Decrypted result;
  if (!opener.problem().empty()) result.reasons.push_back(opener.problem());
  if (content.empty() && !result.reasons.empty()) throw Error(Errc::format, result.reasons.front());
  const std::filesystem::path output =
      result.reasons.empty() ? options.output : incomplete_name(options.output);
  write_file_atomic(output, content, 0600);
  result.output = output.string();
  result.bytes = content.size();
  return result;
}

}  // namespace

Decrypted decrypt(const DecryptOptions& options, const std::atomic<bool>& stop) {
  const SecretKey key = read_secret_key(options.key);
  TargetOptions target;
  target.files = {options.output};
  check_target_names(target, {options.input}, options.force);
  const bool from_stdin = options.input == "-";
  const std::string name = from_stdin ? "standard input" : options.input.string();
  const Fd fd =
      from_stdin ? Fd(::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0)) : Fd::open(options.input, O_RDONLY);
  if (!fd) throw error_from_errno(errno, name);
  Opener opener([&](MutableBytes out) { return read_stream(fd, out, name, stop); }, name, key);
  if (opener.content() == sealed::content_file) return decrypt_file(opener, options, name);
  if (opener.content() != sealed::content_dump)
    throw Error(Errc::unsupported,
                fmt::format("{}: holds something of kind {}, which is not known", name, opener.content()));
  Decrypted result;
  try {
    Reassembled dump =
        reassemble_stream([&](MutableBytes out) { return opener.read(out); }, name, options.output, stop);
    // The reader of the stream stops at its end mark; the container may have more to say.
    std::vector<uint8_t> rest(64 << 10);
    while (!stop && opener.read(rest) != 0) continue;
    result.output = dump.output;
    result.bytes = dump.bytes;
    result.reasons = std::move(dump.reasons);
  } catch (const Error& e) {
    if (opener.problem().empty()) throw;
    throw Error(e.code(), fmt::format("{} ({})", e.message(), opener.problem()));
  }
  if (!opener.problem().empty()) result.reasons.insert(result.reasons.begin(), opener.problem());
  return result;
}

}  // namespace kdk
