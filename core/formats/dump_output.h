// Where the writers of dump formats put their bytes: a file that can be written anywhere, a flattened stream,
// or nowhere (to learn how large a dump would be).
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>

#include "core/base/bytes.h"
#include "core/base/error.h"
#include "core/base/file.h"

namespace kdk {

class DumpOutput {
 public:
  virtual ~DumpOutput() = default;
  // Puts `data` at `offset` of the file. Thread-safe for disjoint ranges. Throws Error{io}.
  virtual void write(uint64_t offset, Bytes data) = 0;
  // True when what is never written reads as zeros.
  virtual bool reads_as_zeros() const { return true; }
  // False for a stream: what has been written cannot be written again, so nothing must go out before it is
  // final.
  virtual bool rewritable() const { return true; }
  // Makes the file at least `size` bytes long. Returns how long it is instead where files cannot be that
  // large. Throws Error{io}.
  virtual uint64_t extend(uint64_t size) = 0;
  // Waits until the data is on the medium, where there is one; `all`: the file's size and times as well.
  // Throws Error{io}.
  virtual void sync(bool all) = 0;
};

// A regular file or a block device.
class FileOutput : public DumpOutput {
 public:
  // `fd` is not owned. write() also throws what the disk refused of earlier writes. `drop_page_cache` keeps
  // what was written out of the page cache: in a crash kernel that is memory which nothing else can have.
  FileOutput(const Fd& fd, std::string name, bool drop_page_cache = false);
  void write(uint64_t offset, Bytes data) override;
  bool reads_as_zeros() const override { return regular_; }
  uint64_t extend(uint64_t size) override;
  void sync(bool all) override;

 private:
  void push_out(uint64_t end);
  // Throws Error{io}.
  void write_back(uint64_t begin, uint64_t size, unsigned how);

  const Fd& fd_;
  const std::string name_;
  const bool drop_page_cache_;
  bool regular_ = false;
  std::atomic<uint64_t> begun_ = 0;  // writeback was started up to here
};

// makedumpfile's stream form (kdump_format.h): each write becomes a record, in the order of the calls. For
// pipes, sockets, terminals of ssh and plain files.
class FlattenedOutput : public DumpOutput {
 public:
  // Writes the stream's header at the current position of `fd`, which is not owned.
  FlattenedOutput(const Fd& fd, std::string name);
  // The bytes of the stream go through `put`, which may throw Error; nothing that it took can be taken back.
  FlattenedOutput(const Fd& fd, std::string name, std::function<void(Bytes)> put);
  void write(uint64_t offset, Bytes data) override;
  bool rewritable() const override { return false; }
  uint64_t extend(uint64_t size) override { return size; }
  void sync(bool all) override;

  // After a failed write: takes a half record back, so that the stream can still be ended. False where
  // nothing can be taken back (a pipe); then the stream stays cut, which every reader notices.
  bool recover() noexcept;
  // The end mark. Throws Error{io}.
  void end();
  // Bytes of the stream so far.
  uint64_t stream_bytes() const { return written_; }

 private:
  void begin();
  void put_record(uint64_t offset, uint64_t size, Bytes data);
  void put(Bytes bytes);

  const Fd& fd_;
  const std::string name_;
  const std::function<void(Bytes)> through_;  // empty: straight to fd_
  std::mutex mutex_;
  uint64_t written_ = 0;         // whole records and the header
  std::optional<Error> broken_;  // why a record was cut
  int64_t start_ = -1;           // of the stream in the file, when that can be cut; else negative
};

// Takes everything and keeps nothing.
class NullOutput : public DumpOutput {
 public:
  void write(uint64_t, Bytes) override {}
  uint64_t extend(uint64_t size) override { return size; }
  void sync(bool) override {}
};

}  // namespace kdk
