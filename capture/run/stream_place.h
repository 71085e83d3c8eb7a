// Places that take the dump as a stream, in the flattened form that every reader and `reassemble` know: the
// dump goes through a pipe to a thread that sums it up and hands it on.
#pragma once

#include <mutex>
#include <optional>

#include "capture/run/place.h"
#include "core/base/sha256.h"

namespace kdk {

class StreamPlace : public Place {
 public:
  void put(std::string_view file, Bytes content) final;
  CaptureReport save(SaveOptions& options, const std::atomic<bool>& stop) final;

 protected:
  virtual void put_file(std::string_view file, Bytes content) = 0;
  // put_file(), and its sum to `sums`: for files that write() makes of the stream.
  void put_summed(std::string_view file, Bytes content);
  // The stream: begin, any number of writes of at most 1 MiB, end (also of a stream that was cut short).
  // Called from a thread of their own, never at the same time as put_file(). All throw Error.
  virtual void begin_stream() = 0;
  virtual void write(Bytes data) = 0;
  virtual void end_stream() = 0;
  // Name of the stream's file for sums(); empty: the place sums up what it makes of the stream itself.
  virtual std::string_view stream_name() const { return stream_file; }

  std::string stream_file =
      "vmcore.flat";  // of a dump that is sealed "vmcore.sealed"; known when save() begins

  // Of everything put and streamed so far.
  std::map<std::string, std::string, std::less<>> sums;
  Sha256 stream_sum;
  uint64_t stream_bytes = 0;

 private:
  void pump(const Fd& from);

  std::mutex mutex_;  // of the place: the last summary is put while the end of the stream is on its way
  std::optional<Error> stream_error_;
};

}  // namespace kdk
