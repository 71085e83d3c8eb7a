#include "capture/output/target.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>

#include "core/base/error.h"
#include "core/formats/split_writer.h"

namespace kdk {
namespace {

bool is_stream(const std::filesystem::path& path) {
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::status(path, error);
  return path == "-" || std::filesystem::is_fifo(status) || std::filesystem::is_character_file(status) ||
         std::filesystem::is_socket(status);
}

}  // namespace

std::string_view to_string(OutputFormat format) {
  switch (format) {
    case OutputFormat::kdump:
      return "kdump";
    case OutputFormat::flattened:
      return "flat";
    case OutputFormat::elf:
      return "elf";
  }
  return "kdump";
}

bool says_full(const Error& error) {
  if (error.code() != Errc::io) return false;
  // error_from_errno() puts what errno means at the end.
  return std::ranges::any_of(std::array{ENOSPC, EDQUOT, EFBIG}, [&](int number) {
    return error.message().ends_with(std::generic_category().message(number));
  });
}

std::filesystem::path incomplete_name(const std::filesystem::path& output) {
  std::filesystem::path name = output;
  name += ".incomplete";
  std::error_code error;
  if (std::filesystem::exists(name, error))
    name += fmt::format("-{}", ::getpid());  // an earlier one may be the better
  return name;
}

void check_target_names(const TargetOptions& options, const std::vector<std::filesystem::path>& inputs,
                        bool force) {
  for (const std::filesystem::path& file : options.files) {
    const std::string name = file.string();
    std::error_code error;
    if (std::ranges::count(options.files, file) > 1) {
      throw Error(Errc::unsupported, name + ": is named twice")
          .with_hint("each part needs a name of its own");
    }
    if (options.format == OutputFormat::flattened && is_stream(file)) continue;
    if (file == "-") {
      throw Error(Errc::unsupported, "only a flattened stream can go to standard output")
          .with_hint("-F (--format flat) makes one");
    }
    const std::filesystem::file_status status = std::filesystem::status(file, error);
    if (!std::filesystem::exists(status)) continue;
    if (!std::filesystem::is_regular_file(status)) {
      throw Error(Errc::unsupported, name + ": is not a regular file")
          .with_hint(is_stream(file) ? "--format flat writes to pipes and devices"
                                     : "give the name of a new file");
    }
    for (const std::filesystem::path& input : inputs) {
      if (std::filesystem::equivalent(input, file, error)) {
        throw Error(Errc::unsupported, name + ": is the input").with_hint("give another name for the output");
      }
    }
    if (!force) {
      throw Error(Errc::denied, name + ": already exists").with_hint("-f (--force) replaces it");
    }
  }
}

Target::Target(const TargetOptions& options, const TargetContent& content) : options_(options) {
  std::vector<std::string> names;
  std::vector<DumpOutput*> outputs;
  for (const std::filesystem::path& path : options_.files) {
    names.push_back(path.string());
    if (options_.format == OutputFormat::flattened) {
      open_stream(path);
    } else if (options_.dry_run) {
      outputs_.push_back(std::make_unique<NullOutput>());
    } else {
      files_.push_back(std::make_unique<AtomicFile>(path));
      names.back() = files_.back()->temporary_path().string();
      outputs_.push_back(
          std::make_unique<FileOutput>(files_.back()->fd(), names.back(), options_.drop_page_cache));
    }
    outputs.push_back(outputs_.back().get());
  }
  if (options_.format == OutputFormat::elf) {
    sink_ = std::make_unique<ElfWriter>(*outputs.front(), names.front(), content.elf, content.ram,
                                        content.dumped);
    return;
  }
  PfnBitmap ram(content.header.end_pfn);
  for (const PfnRange& range : content.ram) ram.set_range(range);
  KdumpHeader header = content.header;
  if (options_.max_bytes != 0) header.max_bytes = options_.max_bytes;
  if (outputs.size() == 1) {
    sink_ = std::make_unique<KdumpWriter>(*outputs.front(), names.front(), header, ram, content.dumped);
  } else {
    sink_ = std::make_unique<SplitWriter>(outputs, names, header, ram, content.dumped);
  }
}

void Target::open_stream(const std::filesystem::path& path) {
  std::string name = path == "-" ? "standard output" : path.string();
  if (options_.dry_run) {
    stream_ = Fd::open("/dev/null", O_WRONLY);
  } else if (path == "-") {
    if (::isatty(STDOUT_FILENO) == 1) {
      throw Error(Errc::unsupported, "standard output is a terminal")
          .with_hint("send it to a pipe or a file");
    }
    stream_ = Fd(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 0));
    if (!stream_) throw error_from_errno(errno, name);
  } else if (is_stream(path)) {
    stream_ = Fd::open(path, O_WRONLY);
  } else {
    files_.push_back(std::make_unique<AtomicFile>(path));
    name = files_.back()->temporary_path().string();
  }
  const Fd& fd = stream_ ? stream_ : files_.back()->fd();
  std::unique_ptr<FlattenedOutput> output;
  if (options_.filter) {
    filter_ = options_.filter([&fd, name](Bytes bytes) { write_all(fd, bytes, name); });
    output = std::make_unique<FlattenedOutput>(fd, name, [this](Bytes bytes) { filter_->write(bytes); });
  } else {
    output = std::make_unique<FlattenedOutput>(fd, name);
  }
  flattened_ = output.get();
  outputs_.push_back(std::move(output));
}

uint64_t Target::size() const {
  if (filter_) return filter_->bytes();
  return flattened_ != nullptr ? flattened_->stream_bytes() : sink_->size();
}

void Target::end_stream() {
  if (flattened_ != nullptr) flattened_->end();
  if (filter_) filter_->finish();
}

void Target::commit(bool complete) {
  sink_->finish(complete);
  finished_ = true;
  end_stream();
  if (stream_) names_ = {options_.files.front().string()};
  for (size_t i = 0; i < files_.size(); ++i) {
    try {
      files_[i]->commit();
    } catch (const Error& e) {
      if (files_[i]->fd()) throw;
      doubt_ = e.message();
    }
    names_.push_back(options_.files[i].string());
  }
}

void Target::keep_incomplete(std::string& problem) {
  try {
    const bool sound = flattened_ == nullptr || flattened_->recover();
    // A stream takes its status only once; without an end mark it says enough.
    if (sound && (flattened_ == nullptr || !finished_)) {
      sink_->finish(false);
      end_stream();
    }
  } catch (const Error& e) {
    problem = e.message();
  }
  if (stream_) names_ = {options_.files.front().string()};
  for (size_t i = names_.size(); i < files_.size(); ++i) {
    const std::filesystem::path name = incomplete_name(options_.files[i]);
    try {
      files_[i]->keep_as(name);
    } catch (const Error& e) {
      if (files_[i]->fd()) throw;
      if (problem.empty()) problem = e.message();
    }
    names_.push_back(name.string());
  }
}

}  // namespace kdk
