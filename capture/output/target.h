// The files of a dump that is being written: made under temporary names, given their own when all of them are
// whole, kept under another when they are not. Or a stream, or nothing at all (a dry run).
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "capture/output/stream_filter.h"
#include "core/base/file.h"
#include "core/formats/dump_output.h"
#include "core/formats/elf_writer.h"
#include "core/formats/kdump_writer.h"
#include "core/formats/page_sink.h"

namespace kdk {

enum class OutputFormat : uint8_t { kdump, flattened, elf };
std::string_view to_string(OutputFormat format);  // as --format has them

struct TargetOptions {
  std::vector<std::filesystem::path> files;  // "-": standard output; several: a split set
  OutputFormat format = OutputFormat::kdump;
  bool dry_run = false;
  bool drop_page_cache = false;  // see FileOutput
  uint64_t max_bytes = 0;        // of each file; 0: no limit
  MakeStreamFilter filter = {};  // for a flattened stream
};

// What is to be written.
struct TargetContent {
  const KdumpHeader& header;
  const ElfCoreHeader& elf;
  const std::vector<PfnRange>& ram;
  const PfnBitmap& dumped;
};

class Target {
 public:
  // Creates the files and writes everything but pages. Throws Error{io,denied,missing,unsupported}.
  Target(const TargetOptions& options, const TargetContent& content);
  Target(const Target&) = delete;
  Target& operator=(const Target&) = delete;

  PageSink& sink() { return *sink_; }
  // What was written to it cannot be taken back.
  bool streams() const { return static_cast<bool>(stream_); }
  uint64_t size() const;

  // All pages are written: ends the files and gives them their names. `complete`: as PageSink::finish().
  // Throws Error{io}; then keep_incomplete() saves what there is.
  void commit(bool complete);
  // Ends the files as far as that goes, marked as incomplete, and gives them the names of incomplete_name().
  // An Error goes to `problem`; what was written before stands.
  void keep_incomplete(std::string& problem);
  // Where the dump is now, after one of the two.
  const std::vector<std::string>& names() const { return names_; }
  // After commit(): why what is whole may not survive a power failure, or empty.
  const std::string& doubt() const { return doubt_; }

 private:
  void open_stream(const std::filesystem::path& path);
  void end_stream();

  const TargetOptions options_;
  std::vector<std::unique_ptr<AtomicFile>> files_;
  Fd stream_;                             // instead of files_
  std::unique_ptr<StreamFilter> filter_;  // of the stream; outlives the output that writes into it
  std::vector<std::unique_ptr<DumpOutput>> outputs_;
  FlattenedOutput* flattened_ = nullptr;  // the only output, in flattened form
  std::unique_ptr<PageSink> sink_;
  bool finished_ = false;  // the sink wrote its last status
  std::vector<std::string> names_;
  std::string doubt_;
};

// Throws Error{denied,unsupported} when one of the files must not be written: it exists (without `force`), it
// is an input, it is no regular file (streams may be pipes and devices).
void check_target_names(const TargetOptions& options, const std::vector<std::filesystem::path>& inputs,
                        bool force);

// True when the output has no room for more: disk, quota, largest size of a file.
bool says_full(const Error& error);

// Name under which an incomplete dump for `output` is kept: never the asked-for name.
std::filesystem::path incomplete_name(const std::filesystem::path& output);

}  // namespace kdk
