// ELF vmcores: /proc/vmcore and copies of it, makedumpfile -E, QEMU's dump-guest-memory.
//
// A PT_LOAD says which physical range lies where in the file. The rules that are not in the ELF
// specification:
// - PT_LOADs overlap: arm64 and x86-64 kernels describe the kernel image twice, once by its own mapping and
// once as part
//   of RAM (kernel/kexec_file.c crash_prepare_elf64_headers). Page frames count once; either copy serves.
// - p_filesz < p_memsz: the rest of the segment was filtered out. Those pages are `excluded`.
// - Segments need not begin or end at a page boundary. A page that is only partly described is `present` when
// at least
//   one byte of it is in the file and none is lost; bytes outside all segments, or excluded, read as zero.
//   That is what the kernel does at the edges of RAM, and the alternative would lose data that is there.
// - Bit 0 of e_flags is makedumpfile's mark of a file that was not finished.
// - 65535 or more segments: e_phnum is PN_XNUM and the count is in sh_info of the first section header.
#include <libelf.h>

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "core/base/error.h"
#include "core/formats/extent_map.h"
#include "core/formats/readers.h"
#include "core/formats/source_reader.h"

namespace kdk {
namespace {

constexpr uint32_t incomplete_flag = 0x1;  // in e_flags; makedumpfile elf_info.h DUMP_ELF_INCOMPLETE
// arm64, x86-64 and riscv all end here; more is a corrupt header.
constexpr uint64_t max_physical = uint64_t{1} << 52;
constexpr uint64_t max_segments = uint64_t{1} << 20;

// What an extent of the physical address space holds, worst to best: the rank decides overlaps.
enum Content : uint64_t { content_excluded, content_lost, content_data };

struct Segment {
  uint64_t offset, paddr, file_size, memory_size;
};

// Translates `count` records of an ELF type from file to host form.
template <typename T>
std::vector<T> elf_records(const ByteSource& source, uint64_t offset, size_t count, Elf_Type type,
                           std::string_view what) {
  std::vector<uint8_t> raw(count * sizeof(T));
  read_exact(source, offset, raw, what);
  std::vector<T> records(count);
  Elf_Data from{};
  from.d_buf = raw.data();
  from.d_type = type;
  from.d_version = EV_CURRENT;
  from.d_size = raw.size();
  Elf_Data to = from;
  to.d_buf = records.data();
  if (elf64_xlatetom(&to, &from, ELFDATA2LSB) == nullptr) {
    throw Error(Errc::format, fmt::format("{}: {}: {}", source.name(), what, elf_errmsg(-1)));
  }
  return records;
}

Elf64_Ehdr read_header(const ByteSource& source) {
  std::array<uint8_t, EI_NIDENT> ident{};
  read_exact(source, 0, ident, "the ELF header");
  if (ident[EI_CLASS] == ELFCLASS32) {
    throw Error(Errc::unsupported,
                source.name() + ": a 32-bit ELF file: dumps of 32-bit kernels are not supported");
  }
  if (ident[EI_DATA] == ELFDATA2MSB) {
    throw Error(Errc::unsupported,
                source.name() + ": a big-endian ELF file: only little-endian dumps are supported");
  }
  if (ident[EI_CLASS] != ELFCLASS64 || ident[EI_DATA] != ELFDATA2LSB) {
    throw Error(Errc::format, fmt::format("{}: ELF header: class {} and data encoding {} do not exist",
                                          source.name(), ident[EI_CLASS], ident[EI_DATA]));
  }
  Elf64_Ehdr header = elf_records<Elf64_Ehdr>(source, 0, 1, ELF_T_EHDR, "the ELF header")[0];
  if (header.e_type == ET_EXEC || header.e_type == ET_DYN || header.e_type == ET_REL) {
    throw Error(Errc::unsupported,
                fmt::format("{}: an ELF program or object file (e_type {}), not a memory dump", source.name(),
                            header.e_type))
        .with_hint("a vmlinux is given with --vmlinux, next to the dump");
  }
  if (header.e_type != ET_CORE) {
    throw Error(Errc::format,
                fmt::format("{}: ELF header: e_type {} is not a core file", source.name(), header.e_type));
  }
  if (header.e_phentsize != sizeof(Elf64_Phdr)) {
    throw Error(Errc::format, fmt::format("{}: ELF header: e_phentsize {} instead of {}", source.name(),
                                          header.e_phentsize, sizeof(Elf64_Phdr)));
  }
  return header;
}

std::vector<Elf64_Phdr> read_program_headers(const ByteSource& source, const Elf64_Ehdr& header) {
  uint64_t count = header.e_phnum;
  if (count == PN_XNUM) {
    count = elf_records<Elf64_Shdr>(source, header.e_shoff, 1, ELF_T_SHDR,
                                    "the section header that counts segments")[0]
                .sh_info;
  }
  if (count == 0) throw Error(Errc::format, source.name() + ": no program headers: nothing was dumped");
  uint64_t room = source.stored_bytes() / sizeof(Elf64_Phdr);
  if (count > std::min(room, max_segments)) {
    throw Error(Errc::format,
                fmt::format("{}: truncated or corrupt: {} program headers at offset {:#x} in a file of {} "
                            "bytes",
                            source.name(), count, header.e_phoff, source.size()));
  }
  return elf_records<Elf64_Phdr>(source, header.e_phoff, count, ELF_T_PHDR, "the program header table");
}

class ElfCore : public Dump {
 public:
  ElfCore(DumpInput input, const OpenOptions& options);

  PageState state(Pfn pfn) const noexcept override;
  std::unique_ptr<PageReader> reader() const override;

 private:
  class Reader;

  void read_notes(const std::vector<Elf64_Phdr>& headers, const OpenOptions& options);
  void map_segments(const std::vector<Elf64_Phdr>& headers);
  std::optional<Segment> usable_segment(const Elf64_Phdr& header, size_t index);
  void collect_ram();

  std::unique_ptr<ByteSource> source_;
  ExtentMap memory_;  // physical address -> file offset, ranked by Content
};

ElfCore::ElfCore(DumpInput input, const OpenOptions& options) {
  describe_input(input);
  source_ = std::move(input.source);
  name_ = source_->name();
  elf_version(EV_CURRENT);
  Elf64_Ehdr header = read_header(*source_);
  std::vector<Elf64_Phdr> headers = read_program_headers(*source_, header);
  info_.format = DumpFormat::elf;
  info_.elf_machine = header.e_machine;
  if ((header.e_flags & incomplete_flag) != 0)
    mark_incomplete("the file says it was not finished (e_flags INCOMPLETE)");
  read_notes(headers, options);
  info_.page_size = 4096;
  info_.page_size_assumed = true;
  if (std::optional<uint64_t> size = vmcoreinfo_.decimal("PAGESIZE")) {
    if (plausible_page_size(*size)) {
      info_.page_size = static_cast<uint32_t>(*size);
      info_.page_size_assumed = false;
    } else {
      problems_.push_back(fmt::format("VMCOREINFO says PAGESIZE={}: not believed, 4096 assumed", *size));
    }
  }
  map_segments(headers);
  collect_ram();
}

void ElfCore::read_notes(const std::vector<Elf64_Phdr>& headers, const OpenOptions& options) {
  std::vector<uint8_t> all;
  for (const Elf64_Phdr& header : headers) {
    if (header.p_type != PT_NOTE || header.p_filesz == 0) continue;
    uint64_t size = header.p_filesz;
    uint64_t there = header.p_offset < source_->size() ? source_->size() - header.p_offset : 0;
    uint64_t believed = std::min({size, there, source_->stored_bytes(), max_note_bytes});
    if (believed != size) {
      problems_.push_back(
          fmt::format("notes: {} of {} bytes at offset {:#x} used: the rest is not in the file", believed,
                      size, header.p_offset));
    }
    std::vector<uint8_t> raw(believed);
    raw.resize(source_->read(header.p_offset, raw));
    // A further run goes where the last note of this one ended; padding in between would end the parsing.
    all.resize(std::min<uint64_t>(notes_end(parse_notes(all)), align_up(all.size(), 4)));
    all.insert(all.end(), raw.begin(), raw.end());
  }
  set_notes(std::move(all), {}, options);
}

// Checks one PT_LOAD; what is wrong with it goes to problems_.
std::optional<Segment> ElfCore::usable_segment(const Elf64_Phdr& header, size_t index) {
  Segment s{header.p_offset, header.p_paddr, header.p_filesz, header.p_memsz};
  if (s.file_size > s.memory_size) {
    problems_.push_back(fmt::format("segment {}: p_filesz {:#x} exceeds p_memsz {:#x}: p_filesz used", index,
                                    s.file_size, s.memory_size));
    s.memory_size = s.file_size;
  }
  if (s.memory_size == 0) return std::nullopt;
  if (!in_bounds(max_physical, s.paddr, s.memory_size)) {
    problems_.push_back(fmt::format("segment {}: physical range {:#x}+{:#x} is impossible: left out", index,
                                    s.paddr, s.memory_size));
    return std::nullopt;
  }
  if (!checked_add(s.offset, s.file_size)) {
    problems_.push_back(fmt::format("segment {}: file range {:#x}+{:#x} is impossible: left out", index,
                                    s.offset, s.file_size));
    return std::nullopt;
  }
  return s;
}

void ElfCore::map_segments(const std::vector<Elf64_Phdr>& headers) {
  std::vector<Extent> extents;
  size_t loads = 0, at_zero = 0;
  uint64_t wanted_end = 0;
  for (size_t i = 0; i < headers.size(); ++i) {
    if (headers[i].p_type != PT_LOAD) continue;
    std::optional<Segment> s = usable_segment(headers[i], i);
    if (!s) continue;
    ++loads;
    if (s->paddr == 0) ++at_zero;
    uint64_t there = s->offset < source_->size() ? source_->size() - s->offset : 0;
    uint64_t data = std::min(s->file_size, there);
    extents.push_back({s->paddr, s->paddr + data, s->offset, content_data});
    extents.push_back({s->paddr + data, s->paddr + s->file_size, s->offset + data, content_lost});
    extents.push_back({s->paddr + s->file_size, s->paddr + s->memory_size, 0, content_excluded});
    if (s->file_size != 0) wanted_end = std::max(wanted_end, s->offset + s->file_size);
  }
  if (loads > 1 && loads == at_zero && vmcoreinfo_.empty()) {
    throw Error(Errc::unsupported,
                name_ + ": no segment has a physical address: the core of a process, not of a kernel");
  }
  if (wanted_end > source_->size()) {
    mark_incomplete(
        fmt::format("truncated: the segments need {} bytes, the file has {}", wanted_end, source_->size()));
  }
  memory_ = ExtentMap(std::move(extents));
}

void ElfCore::collect_ram() {
  for (const Extent& e : memory_.extents()) {
    PfnRange range{{e.begin / info_.page_size}, {(e.end - 1) / info_.page_size + 1}};
    if (!ram_.empty() && range.begin <= ram_.back().end) {
      ram_.back().end = std::max(ram_.back().end, range.end);
    } else {
      ram_.push_back(range);
    }
  }
}

PageState ElfCore::state(Pfn pfn) const noexcept {
  if (pfn.value >= max_physical / info_.page_size) return PageState::missing;
  uint64_t begin = pfn.value * info_.page_size, end = begin + info_.page_size;
  PageState state = PageState::missing;
  const Extent* last = memory_.extents().data() + memory_.extents().size();
  for (const Extent* e = memory_.find(begin); e != nullptr && e != last && e->begin < end; ++e) {
    if (e->rank == content_lost) return PageState::unreadable;
    if (e->rank == content_data) state = PageState::present;
    if (e->rank == content_excluded && state == PageState::missing) state = PageState::excluded;
  }
  return state;
}

class ElfCore::Reader : public PageReader {
 public:
  explicit Reader(const ElfCore& core)
      : core_(core), source_(*core.source_, core.info().page_size), page_(core.info().page_size) {}

  PageView page(Pfn pfn) noexcept override {
    uint64_t size = core_.info().page_size;
    PageState state = core_.state(pfn);
    if (state != PageState::present) return {state, {}};
    uint64_t begin = pfn.value * size, end = begin + size;
    const Extent* e = core_.memory_.find(begin);
    if (e->begin <= begin && end <= e->end) {
      std::optional<Bytes> bytes = source_.bytes(e->target + (begin - e->begin), size);
      return bytes ? PageView{PageState::present, *bytes} : PageView{PageState::unreadable, {}};
    }
    return assemble(begin, end);
  }

 private:
  // A page at the edge of segments, from its parts.
  PageView assemble(uint64_t begin, uint64_t end) noexcept {
    std::fill(page_.begin(), page_.end(), uint8_t{0});
    const std::vector<Extent>& extents = core_.memory_.extents();
    const Extent* last = extents.data() + extents.size();
    for (const Extent* e = core_.memory_.find(begin); e != nullptr && e != last && e->begin < end; ++e) {
      if (e->rank != content_data) continue;
      uint64_t from = std::max(begin, e->begin), to = std::min(end, e->end);
      std::optional<Bytes> part = source_.bytes(e->target + (from - e->begin), to - from);
      if (!part || !copy_guarded(*part, page_.data() + (from - begin))) return {PageState::unreadable, {}};
    }
    return {PageState::present, page_};
  }

  const ElfCore& core_;
  SourceReader source_;
  std::vector<uint8_t> page_;
};

std::unique_ptr<PageReader> ElfCore::reader() const {
  return std::make_unique<Reader>(*this);
}

}  // namespace

std::unique_ptr<Dump> open_elf_core(DumpInput input, const OpenOptions& options) {
  return std::make_unique<ElfCore>(std::move(input), options);
}

}  // namespace kdk
