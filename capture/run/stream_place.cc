#include "capture/run/stream_place.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <thread>

namespace kdk {

void StreamPlace::put(std::string_view file, Bytes content) {
  const std::lock_guard lock(mutex_);
  put_summed(file, content);
}

void StreamPlace::put_summed(std::string_view file, Bytes content) {
  put_file(file, content);
  sums[std::string(file)] = sha256_hex(content);
}

void StreamPlace::pump(const Fd& from) {
  std::vector<uint8_t> buffer(1 << 20);
  try {
    for (;;) {
      const ssize_t n = ::read(from.get(), buffer.data(), buffer.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) throw error_from_errno(errno, "the dump's pipe");
      if (n == 0) break;
      const Bytes data = Bytes(buffer).first(static_cast<size_t>(n));
      const std::lock_guard lock(mutex_);
      if (stream_bytes == 0) begin_stream();
      write(data);
      stream_sum.add(data);
      stream_bytes += data.size();
    }
    const std::lock_guard lock(mutex_);
    if (stream_bytes != 0) end_stream();
  } catch (const Error& e) {
    stream_error_ = e;
  } catch (const std::exception& e) {  // a thread must not let go of anything
    stream_error_ = Error(Errc::io, e.what());
  }
}

CaptureReport StreamPlace::save(SaveOptions& options, const std::atomic<bool>& stop) {
  if (options.encrypt_to) stream_file = "vmcore.sealed";
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw error_from_errno(errno, "pipe");
  Fd read_end(ends[0]), write_end(ends[1]);
  (void)::fcntl(write_end.get(), F_SETPIPE_SZ, 1 << 20);  // fewer switches; no matter if refused
  // Closing the read end is what tells save_dump() that the stream has broken.
  std::thread pumping([&] {
    pump(read_end);
    read_end.reset();
  });
  options.format = OutputFormat::flattened;
  options.output = fmt::format("/proc/self/fd/{}", write_end.get());
  std::optional<CaptureReport> report;
  std::optional<Error> failure;
  try {
    report = save_dump(options, stop);
  } catch (const Error& e) {
    failure = e;
  }
  write_end.reset();
  pumping.join();
  if (!stream_name().empty() && stream_bytes != 0) sums[std::string(stream_name())] = stream_sum.hex();
  if (failure) throw stream_error_ ? *stream_error_ : *failure;
  if (stream_error_) {
    if (!report->pipeline) throw *stream_error_;
    report->pipeline->failure = stream_error_;  // whatever save_dump() made of the broken pipe
    report->status = CaptureStatus::partial;
    report->reasons.push_back(stream_error_->message());
  }
  return std::move(*report);
}

}  // namespace kdk
