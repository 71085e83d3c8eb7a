// Dump: the one view of a crash dump that everything above core/formats works with. Readers for ELF vmcores,
// kdump-compressed, flattened streams and split sets fill it; nobody else knows a file format.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/bytes.h"
#include "core/base/types.h"
#include "core/formats/byte_source.h"
#include "core/formats/codec.h"
#include "core/formats/notes.h"
#include "core/formats/vmcoreinfo.h"

namespace kdk {

enum class PageState : uint8_t {
  present,     // the bytes are in the dump
  excluded,    // the page existed but the dump leaves it out on purpose (filter level, p_filesz < p_memsz)
  missing,     // not RAM of the dumped machine, as far as the dump knows
  unreadable,  // should be here but is not: truncated file, incomplete dump, bad compressed data, I/O error
};
std::string_view to_string(PageState state);

struct PageView {
  PageState state = PageState::missing;
  Bytes bytes;  // exactly one page when present, else empty
  // The form the dump has it in, when that is compressed; valid as long as `bytes`.
  Codec codec = Codec::none;
  Bytes stored = {};
};

// Reads pages for one thread. Not thread-safe: one per thread.
class PageReader {
 public:
  virtual ~PageReader() = default;
  // One page; the bytes stay valid until the next call. Never throws. A view into a mapping can still deliver
  // SIGBUS when touched (see core/base/bus_error.h).
  virtual PageView page(Pfn pfn) noexcept = 0;
};

enum class DumpFormat { elf, kdump_compressed };

// Where a dump's VMCOREINFO is from.
enum class VmcoreinfoSource : uint8_t {
  absent,
  dump,    // the dump's own note or header
  given,   // OpenOptions, from the user
  memory,  // OpenOptions, found in the dumped memory (core/kernel/vmcoreinfo_search.h)
};
std::string_view to_string(VmcoreinfoSource source);

struct DumpInfo {
  DumpFormat format = DumpFormat::elf;
  bool flattened = false;          // makedumpfile's stream form
  unsigned split_parts = 1;        // files of a split set that were opened together
  uint16_t elf_machine = 0;        // EM_AARCH64, EM_X86_64, ... ; 0 when the dump does not say
  uint32_t page_size = 0;          // bytes, a power of two
  bool page_size_assumed = false;  // nothing in the dump said so
  int header_version = 0;          // kdump-compressed only
  std::optional<int> dump_level;   // kdump-compressed sub header
  bool incomplete = false;         // INCOMPLETE flag, truncated file or stream
  std::string incomplete_reason;   // empty when complete
  uint64_t file_bytes = 0;         // all parts
  VmcoreinfoSource vmcoreinfo_source = VmcoreinfoSource::absent;
  // struct new_utsname from a kdump-compressed header; empty strings otherwise
  std::string uts_release, uts_version, uts_machine, uts_nodename;
};

// Implementations are immutable after construction; all const methods are thread-safe.
class Dump {
 public:
  virtual ~Dump() = default;

  const DumpInfo& info() const { return info_; }
  const std::string& name() const { return name_; }
  const std::vector<Note>& notes() const { return notes_; }
  // The PT_NOTE bytes as they stand in the dump (what a kdump-compressed writer copies).
  Bytes raw_notes() const { return raw_notes_; }
  const Vmcoreinfo& vmcoreinfo() const { return vmcoreinfo_; }
  // Page frames of RAM the dump knows of (present or excluded), sorted, disjoint, merged.
  const std::vector<PfnRange>& ram() const { return ram_; }
  // One past the highest page frame.
  Pfn end_pfn() const { return ram_.empty() ? Pfn{0} : ram_.back().end; }
  // Oddities that did not stop the open: clamped segments, bad notes. For "limits" and --verbose.
  const std::vector<std::string>& problems() const { return problems_; }
  // For who finds one right after opening; not thread-safe.
  void add_problem(std::string problem) { problems_.push_back(std::move(problem)); }

  virtual PageState state(Pfn pfn) const noexcept = 0;
  virtual std::unique_ptr<PageReader> reader() const = 0;

 protected:
  // Fills notes, raw notes and VMCOREINFO: the options' text, else that in the notes, else `vmcoreinfo_text`
  // (what the format keeps outside of the notes). What is used is a note afterwards, so that a copy of the
  // raw notes is always enough.
  void set_notes(std::vector<uint8_t> raw, std::string_view vmcoreinfo_text,
                 const struct OpenOptions& options);
  // Sets info().incomplete; several reasons are joined.
  void mark_incomplete(const std::string& reason);
  // What the container around the format tells: flattened, cut short, size.
  void describe_input(const struct DumpInput& input);

  DumpInfo info_;
  std::string name_;
  std::vector<Note> notes_;
  std::vector<uint8_t> raw_notes_;
  Vmcoreinfo vmcoreinfo_;
  std::vector<PfnRange> ram_;
  std::vector<std::string> problems_;
};

struct OpenOptions {
  // VMCOREINFO text to use: for dumps that have none (hypervisors'), and instead of a wrong one; then the
  // dump's own is dropped and problems() says so.
  std::optional<std::string> vmcoreinfo_text;
  VmcoreinfoSource vmcoreinfo_source = VmcoreinfoSource::given;
};

// Opens one dump (or all parts of a split set), recognising the format by content. A truncated file opens
// with info().incomplete set as long as its headers are whole. Throws
// Error{io,missing,denied,format,unsupported} naming file, offset and cause.
std::unique_ptr<Dump> open_dump(const std::vector<std::filesystem::path>& paths,
                                const OpenOptions& options = {});
std::unique_ptr<Dump> open_dump(const std::filesystem::path& path, const OpenOptions& options = {});
// The same from a source; for tests and fuzz targets.
std::unique_ptr<Dump> open_dump(std::unique_ptr<ByteSource> source, const OpenOptions& options = {});

}  // namespace kdk
