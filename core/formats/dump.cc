#include "core/formats/dump.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/formats/kdump_format.h"
#include "core/formats/readers.h"

namespace kdk {
namespace {

constexpr std::string_view elf_magic = "\177ELF";

std::string first_bytes(const ByteSource& source, size_t count) {
  std::string bytes(count, '\0');
  bytes.resize(source.read(0, {reinterpret_cast<uint8_t*>(bytes.data()), count}));
  return bytes;
}

// Names of files people give by mistake, so that the message can say what was seen.
std::string_view well_known(std::string_view start) {
  if (start.starts_with("\x1f\x8b")) return "gzip-compressed data";
  if (start.starts_with("\x28\xb5\x2f\xfd")) return "zstd-compressed data";
  if (start.starts_with("\xfd"
                        "7zXZ"))
    return "xz-compressed data";
  if (start.starts_with("BZh")) return "bzip2-compressed data";
  if (start.starts_with("PAGEDUMP") || start.starts_with("PAGEDU64")) return "a Windows memory dump";
  if (start.starts_with("QEVM")) return "a QEMU savevm or migration stream";
  if (start.starts_with("Qd QFI\xfb") || start.starts_with("QFI\xfb")) return "a QEMU disk image";
  if (start.starts_with("EMiL")) return "a LiME memory image";
  return {};
}

[[noreturn]] void throw_not_a_dump(const ByteSource& source) {
  if (source.size() == 0) throw Error(Errc::format, source.name() + ": the file is empty");
  std::string start = first_bytes(source, 16);
  std::string seen(well_known(start));
  if (seen.empty()) {
    for (unsigned char c : start) seen += fmt::format("{}{:02x}", seen.empty() ? "" : " ", c);
    seen = fmt::format("it starts with {}", seen);
  }
  Error error(Errc::format, fmt::format("{}: not a crash dump: {}", source.name(), seen));
  error.with_hint(
      "supported: ELF vmcores (/proc/vmcore), kdump-compressed files, makedumpfile's flattened streams");
  throw error;
}

// The file itself, or the file that it describes when it is a flattened stream.
DumpInput unwrap(std::unique_ptr<ByteSource> source) {
  DumpInput input{std::move(source), false, {}};
  if (sniff(*input.source) != FileKind::flattened) return input;
  input.source = open_flattened(std::move(input.source), input.incomplete_reason);
  input.flattened = true;
  FileKind kind = sniff(*input.source);
  if (kind != FileKind::elf && kind != FileKind::kdump) {
    throw Error(Errc::format,
                fmt::format("{}: a flattened stream that does not carry a dump{}{}", input.source->name(),
                            input.incomplete_reason.empty() ? "" : ": ", input.incomplete_reason));
  }
  return input;
}

std::unique_ptr<Dump> open_sources(std::vector<std::unique_ptr<ByteSource>> sources,
                                   const OpenOptions& options) {
  std::vector<DumpInput> inputs;
  for (std::unique_ptr<ByteSource>& source : sources) {
    DumpInput input = unwrap(std::move(source));
    FileKind kind = sniff(*input.source);
    if (kind == FileKind::elf && sources.size() == 1) return open_elf_core(std::move(input), options);
    if (kind == FileKind::elf) {
      throw Error(Errc::unsupported, input.source->name() + ": an ELF dump among several files")
          .with_hint("only the parts of one split kdump-compressed set are opened together");
    }
    if (kind != FileKind::kdump) throw_not_a_dump(*input.source);
    inputs.push_back(std::move(input));
  }
  return open_kdump(std::move(inputs), options);
}

}  // namespace

std::string_view to_string(PageState state) {
  switch (state) {
    case PageState::present:
      return "present";
    case PageState::excluded:
      return "excluded";
    case PageState::missing:
      return "missing";
    case PageState::unreadable:
      return "unreadable";
  }
  return "unknown";
}

std::string_view to_string(VmcoreinfoSource source) {
  switch (source) {
    case VmcoreinfoSource::absent:
      return "absent";
    case VmcoreinfoSource::dump:
      return "dump";
    case VmcoreinfoSource::given:
      return "given";
    case VmcoreinfoSource::memory:
      return "memory";
  }
  return "unknown";
}

FileKind sniff(const ByteSource& source) {
  std::string start = first_bytes(source, 16);
  if (start.starts_with(elf_magic)) return FileKind::elf;
  if (start.starts_with(kdump::signature) || start.starts_with(kdump::diskdump_signature))
    return FileKind::kdump;
  if (start.starts_with(flattened::signature)) return FileKind::flattened;
  return FileKind::other;
}

void Dump::set_notes(std::vector<uint8_t> raw, std::string_view vmcoreinfo_text, const OpenOptions& options) {
  std::string problem;
  raw_notes_ = std::move(raw);
  notes_ = parse_notes(raw_notes_, &problem);
  if (!problem.empty()) problems_.push_back(problem);
  const auto is_vmcoreinfo = [](const Note& n) { return n.name == "VMCOREINFO" && !n.desc.empty(); };
  const auto own = std::ranges::find_if(notes_, is_vmcoreinfo);
  const bool has_own = own != notes_.end();

  std::string text(has_own ? as_text(own->desc) : vmcoreinfo_text);
  if (!text.empty()) info_.vmcoreinfo_source = VmcoreinfoSource::dump;
  if (options.vmcoreinfo_text) {
    if (!text.empty()) problems_.push_back("the dump's own VMCOREINFO was replaced by the one given");
    text = *options.vmcoreinfo_text;
    info_.vmcoreinfo_source = options.vmcoreinfo_source;
  } else if (has_own || text.empty()) {
    vmcoreinfo_ = Vmcoreinfo::parse(text);
    return;
  }
  if (!text.ends_with('\n')) text += '\n';
  raw_notes_.clear();
  for (const Note& note : notes_) {
    if (!is_vmcoreinfo(note)) append_note(raw_notes_, note.name, note.type, note.desc);
  }
  append_note(raw_notes_, "VMCOREINFO", 0, as_bytes(text));
  notes_ = parse_notes(raw_notes_);
  vmcoreinfo_ = Vmcoreinfo::parse(text);
}

void Dump::mark_incomplete(const std::string& reason) {
  info_.incomplete = true;
  info_.incomplete_reason += (info_.incomplete_reason.empty() ? "" : "; ") + reason;
}

void Dump::describe_input(const DumpInput& input) {
  info_.file_bytes += input.source->stored_bytes();
  info_.flattened |= input.flattened;
  if (!input.incomplete_reason.empty()) mark_incomplete(input.incomplete_reason);
}

std::unique_ptr<Dump> open_dump(const std::vector<std::filesystem::path>& paths, const OpenOptions& options) {
  if (paths.empty()) throw Error(Errc::missing, "no dump file was given");
  std::vector<std::unique_ptr<ByteSource>> sources;
  sources.reserve(paths.size());
  for (const std::filesystem::path& path : paths) sources.push_back(open_file_source(path));
  return open_sources(std::move(sources), options);
}

std::unique_ptr<Dump> open_dump(const std::filesystem::path& path, const OpenOptions& options) {
  return open_dump(std::vector<std::filesystem::path>{path}, options);
}

std::unique_ptr<Dump> open_dump(std::unique_ptr<ByteSource> source, const OpenOptions& options) {
  std::vector<std::unique_ptr<ByteSource>> sources;
  sources.push_back(std::move(source));
  return open_sources(std::move(sources), options);
}

}  // namespace kdk
