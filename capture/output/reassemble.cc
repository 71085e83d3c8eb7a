#include "capture/output/reassemble.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <elf.h>
#include <cerrno>
#include <thread>

#include "capture/filter/choose.h"
#include "capture/filter/kernel_facts.h"
#include "capture/output/pipeline.h"
#include "capture/output/target.h"
#include "core/base/error.h"
#include "core/base/file.h"
#include "core/formats/flattened_replay.h"
#include "core/formats/kdump_format.h"

namespace kdk {
namespace {

bool is_flattened(const std::filesystem::path& path) {
  if (path == "-") return true;  // replay_flattened() will look
  std::array<uint8_t, flattened::signature.size()> start{};
  const Fd fd = Fd::open(path, O_RDONLY);
  return read_at(fd, 0, start, path.string()) == start.size() && as_text(start) == flattened::signature;
}

// Sets the mark of an unfinished file in place.
void mark_incomplete(const Fd& fd, DumpFormat format, const std::string& name) {
  const bool elf = format == DumpFormat::elf;
  const uint64_t offset = elf ? offsetof(Elf64_Ehdr, e_flags) : offsetof(kdump::DiskDumpHeader, status);
  std::array<uint8_t, sizeof(ul32)> bytes{};
  if (read_at(fd, offset, bytes, name) != bytes.size()) return;  // cannot be: it was opened as a dump
  store(bytes, 0, ul32(*load<ul32>(bytes) | (elf ? 0x1u : kdump::status_incomplete)));  // DUMP_ELF_INCOMPLETE
  write_at(fd, offset, bytes, name);
}

Reassembled replay(const ReassembleOptions& options, const std::atomic<bool>& stop) {
  const bool from_stdin = options.inputs.front() == "-";
  const std::string name = from_stdin ? "standard input" : options.inputs.front().string();
  Fd opened;
  if (!from_stdin) opened = Fd::open(options.inputs.front(), O_RDONLY);
  const Fd input = from_stdin ? Fd(::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0)) : std::move(opened);
  return reassemble_stream([&](MutableBytes out) { return read_stream(input, out, name, stop); }, name,
                           options.output, stop);
}

// The codec of most pages, for the header: a hint to readers.
uint32_t codec_hint(const Dump& dump, const PfnBitmap& pages) {
  const std::unique_ptr<PageReader> reader = dump.reader();
  for (const PfnRange& run : pages.ranges()) {
    const PageView view = reader->page(run.begin);
    if (view.codec != Codec::none) return codec_flag(view.codec);
  }
  return 0;
}

// So that the joined file has the most useful pages first, as the dump had. nullopt when the kernel cannot be
// read: then pages go by their numbers.
std::optional<PageOrder> page_order(const Dump& dump, const std::atomic<bool>& stop) {
  ChooseRequest request;
  request.level = 0;
  request.stop = &stop;
  try {
    Kernel kernel(dump);
    return std::move(choose_pages(dump, &kernel, request).order);
  } catch (const Error&) {
    return std::nullopt;
  }
}

Reassembled join(const ReassembleOptions& options, const std::atomic<bool>& stop) {
  const std::unique_ptr<Dump> dump = open_dump(options.inputs);
  if (options.inputs.size() == 1) {
    const bool part = dump->info().format == DumpFormat::kdump_compressed && dump->info().split_parts == 1 &&
                      dump->info().incomplete;
    throw Error(Errc::unsupported, dump->name() + ": is one file already, neither flattened nor a split set")
        .with_hint(part ? "if it is a part of a split set, give all parts"
                        : "save copies, filters and compresses");
  }
  Reassembled result;
  if (dump->info().incomplete)
    result.reasons.push_back("the input is incomplete: " + dump->info().incomplete_reason);
  PfnBitmap pages(dump->end_pfn().value);
  for (const PfnRange& range : dump->ram()) {
    for (Pfn pfn = range.begin; pfn < range.end; pfn = pfn + 1) {
      const PageState state = dump->state(pfn);
      if (state == PageState::present || state == PageState::unreadable) pages.set(pfn);
    }
  }
  KdumpHeader header = dump_header(*dump, read_kernel_names(*dump, nullptr));
  header.dump_level = dump->info().dump_level.value_or(0);
  header.codec_hint = codec_hint(*dump, pages);
  TargetOptions target_is;
  target_is.files = {options.output};
  const ElfCoreHeader no_elf;
  Target target(target_is, {header, no_elf, dump->ram(), pages});
  PipelineOptions pipeline;
  pipeline.codec = Codec::none;
  pipeline.reuse = PipelineOptions::Reuse::any_codec;
  pipeline.threads =
      plan_budget(options.threads, std::thread::hardware_concurrency(), available_memory()).threads;
  const std::optional<PageOrder> order = page_order(*dump, stop);
  if (order) pipeline.order = &*order;
  pipeline.stop = &stop;
  const PipelineResult done = run_pipeline(*dump, pages, target.sink(), pipeline, {});
  std::string why = done.failure ? done.failure->message() : done.stopped ? "interrupted" : "";
  if (why.empty()) {
    try {
      target.commit(done.read_errors == 0);
    } catch (const Error& e) {
      why = e.message();
    }
  }
  if (!why.empty()) {
    if (done.pages_written == 0) throw Error(Errc::io, "nothing was saved: " + why);
    std::string problem;
    target.keep_incomplete(problem);
    result.reasons.push_back(why);
    if (!problem.empty()) result.reasons.push_back(problem);
  }
  if (done.read_errors != 0) {
    result.reasons.push_back(fmt::format("{} pages could not be read and are missing", done.read_errors));
  }
  result.output = target.names().front();
  result.bytes = target.size();
  return result;
}

}  // namespace

size_t read_stream(const Fd& fd, MutableBytes out, const std::string& name, const std::atomic<bool>& stop) {
  size_t done = 0;
  while (done < out.size() && !stop) {
    const ssize_t n = ::read(fd.get(), out.data() + done, out.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw error_from_errno(errno, name);
    if (n == 0) break;
    done += static_cast<size_t>(n);
  }
  return done;
}

Reassembled reassemble_stream(const std::function<size_t(MutableBytes)>& read, const std::string& name,
                              const std::filesystem::path& output_path, const std::atomic<bool>& stop) {
  AtomicFile file(output_path);
  const std::string temporary = file.temporary_path().string();
  FileOutput output(file.fd(), temporary);
  Reassembled result;
  bool cut_here = false;  // not the stream ended, we did
  try {
    const Replayed replayed = replay_flattened(read, name, output);
    cut_here = stop && !replayed.incomplete_reason.empty();
    if (cut_here) {
      result.reasons.emplace_back("interrupted");
    } else if (!replayed.incomplete_reason.empty()) {
      result.reasons.push_back(name + ": " + replayed.incomplete_reason);
    }
  } catch (const Error& e) {
    // A stream does not come twice: what is written may be a dump already.
    if (file_size(file.fd()).value_or(0) == 0) throw;
    cut_here = true;
    result.reasons.push_back(e.message());
  }
  std::unique_ptr<Dump> dump;
  try {
    dump = open_dump(file.temporary_path());
  } catch (const Error& e) {
    throw Error(e.code(), fmt::format("{}: holds no dump: {}", name,
                                      result.reasons.empty() ? e.message() : result.reasons.front()));
  }
  result.bytes = file_size(file.fd()).value_or(0);
  if (result.reasons.empty() && dump->info().incomplete)
    result.reasons.push_back(dump->info().incomplete_reason);
  if (!result.reasons.empty()) mark_incomplete(file.fd(), dump->info().format, temporary);
  const std::filesystem::path final_name = cut_here ? incomplete_name(output_path) : output_path;
  try {
    if (cut_here) {
      file.keep_as(final_name);
    } else {
      file.commit();
    }
  } catch (const Error& e) {
    if (file.fd()) throw;
    result.reasons.push_back(e.message());
  }
  result.output = final_name.string();
  return result;
}

Reassembled reassemble(const ReassembleOptions& options, const std::atomic<bool>& stop) {
  if (options.inputs.empty()) throw Error(Errc::missing, "no input was given");
  TargetOptions target;
  target.files = {options.output};
  check_target_names(target, options.inputs, options.force);
  return options.inputs.size() == 1 && is_flattened(options.inputs.front()) ? replay(options, stop)
                                                                            : join(options, stop);
}

}  // namespace kdk
