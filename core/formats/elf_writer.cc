#include "core/formats/elf_writer.h"

#include <elf.h>
#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "core/base/error.h"

namespace kdk {
namespace {

// On disk, little-endian; the fields of <elf.h>'s Elf64_Ehdr, Elf64_Phdr and Elf64_Shdr.
struct FileHeader {
  std::array<uint8_t, EI_NIDENT> ident{};
  ul16 type, machine;
  ul32 version;
  ul64 entry, phoff, shoff;
  ul32 flags;
  ul16 ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};
static_assert(sizeof(FileHeader) == sizeof(Elf64_Ehdr));

struct ProgramHeader {
  ul32 type, flags;
  ul64 offset, vaddr, paddr, filesz, memsz;
  ul64 align;  // 0, as the kernel has it: crash tells a kdump file by that
};
static_assert(sizeof(ProgramHeader) == sizeof(Elf64_Phdr));

struct SectionHeader {
  ul32 name, type;
  ul64 flags, addr, offset, size;
  ul32 link, info;
  ul64 addralign, entsize;
};
static_assert(sizeof(SectionHeader) == sizeof(Elf64_Shdr));

constexpr uint32_t incomplete_flag = 0x1;  // in e_flags; makedumpfile elf_info.h DUMP_ELF_INCOMPLETE
// Runs beyond this are joined; our reader believes in a million segments.
constexpr size_t max_runs = size_t{1} << 19;
// Room for segments that are cut in two because a page in the middle could not be read or written.
constexpr size_t spare_segments = 1024;

}  // namespace

ElfWriter::ElfWriter(DumpOutput& output, std::string name, const ElfCoreHeader& header,
                     std::vector<PfnRange> ram, const PfnBitmap& dumped)
    : output_(output),
      name_(std::move(name)),
      header_(header),
      ram_(std::move(ram)),
      present_(dumped.size()) {
  if (!output_.rewritable())
    throw Error(Errc::unsupported, name_ + ": an ELF dump cannot be written to a stream");
  capacity_ = segments(dumped).size() + spare_segments;
  runs_ = dumped.ranges();
  limit_runs(runs_);
  notes_offset_ =
      align_up(sizeof(FileHeader) + (capacity_ + 1) * sizeof(ProgramHeader) + sizeof(SectionHeader), 8);
  data_end_ = align_up(notes_offset_ + header_.notes.size(), header_.page_size);
  offsets_.reserve(runs_.size());
  for (const PfnRange& run : runs_) {
    offsets_.push_back(data_end_);
    data_end_ += run.count() * header_.page_size;
  }
  output_.write(0, headers(segments(present_), false));
  output_.write(notes_offset_, header_.notes);
}

// Memory can be in more pieces than readers take as segments. Then the shortest gaps between them become part
// of the runs around them, as zeros; readers of ELF dumps show zeros for what was left out anyway.
void ElfWriter::limit_runs(std::vector<PfnRange>& runs) {
  if (runs.size() <= max_runs) return;
  std::vector<uint64_t> gaps;
  for (size_t i = 1; i < runs.size(); ++i) gaps.push_back(runs[i].begin.value - runs[i - 1].end.value);
  const auto widest = gaps.begin() + static_cast<std::ptrdiff_t>(runs.size() - max_runs);
  std::ranges::nth_element(gaps, widest);
  std::vector<PfnRange> joined{runs.front()};
  for (size_t i = 1; i < runs.size(); ++i) {
    const PfnRange gap{joined.back().end, runs[i].begin};
    if (gap.count() > *widest) {
      joined.push_back(runs[i]);
      continue;
    }
    joined.back().end = runs[i].end;
    present_.set_range(gap);
  }
  runs = std::move(joined);
}

std::vector<ElfWriter::Segment> ElfWriter::segments(const PfnBitmap& present) const {
  std::vector<Segment> result;
  const std::vector<PfnRange> runs = present.ranges();
  for (const ElfCoreHeader::Mapping& mapping : header_.mappings) {
    for (const PfnRange& run : runs) {
      const PfnRange part{std::max(run.begin, mapping.pfns.begin), std::min(run.end, mapping.pfns.end)};
      if (part.begin >= part.end) continue;
      const uint64_t into = part.begin.value - mapping.pfns.begin.value;
      result.push_back({mapping.vaddr + into * header_.page_size, part, part.count()});
    }
  }
  const auto add = [&](PfnRange run, Pfn end) {
    const uint64_t physical = run.begin.value * header_.page_size;
    const uint64_t vaddr = header_.linear_offset ? physical + *header_.linear_offset : 0;
    result.push_back({vaddr, run, end.value - run.begin.value});
  };
  auto run = runs.begin();
  for (const PfnRange& range : ram_) {
    if (run == runs.end() || run->begin > range.begin) {
      const Pfn next = run == runs.end() ? range.end : std::min(run->begin, range.end);
      add({range.begin, range.begin}, next);
    }
    while (run != runs.end() && run->begin < range.end) {
      const PfnRange part{std::max(run->begin, range.begin), std::min(run->end, range.end)};
      const bool goes_on = run->end > range.end;  // a joined run, over a gap between banks of RAM
      if (!goes_on) ++run;
      add(part, goes_on || run == runs.end() ? range.end : std::min(run->begin, range.end));
      if (goes_on) break;
    }
  }
  return result;
}

uint64_t ElfWriter::file_offset(Pfn pfn) const {
  const auto after = std::ranges::upper_bound(runs_, pfn, {}, &PfnRange::begin);
  const size_t run = static_cast<size_t>(after - runs_.begin()) - 1;
  return offsets_[run] + (pfn.value - runs_[run].begin.value) * header_.page_size;
}

std::vector<uint8_t> ElfWriter::headers(const std::vector<Segment>& segments, bool complete) const {
  std::vector<uint8_t> out(notes_offset_);
  const size_t count = segments.size() + 1;
  const uint64_t section_offset = sizeof(FileHeader) + (capacity_ + 1) * sizeof(ProgramHeader);
  FileHeader file;
  file.ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT};
  file.type = uint16_t{ET_CORE};
  file.machine = header_.machine;
  file.version = uint32_t{EV_CURRENT};
  file.phoff = uint64_t{sizeof(FileHeader)};
  file.flags = complete ? 0 : incomplete_flag;
  file.ehsize = uint16_t{sizeof(FileHeader)};
  file.phentsize = uint16_t{sizeof(ProgramHeader)};
  file.phnum = static_cast<uint16_t>(std::min<size_t>(count, PN_XNUM));
  if (count >= PN_XNUM) {  // the real number is in the only section header
    file.shoff = section_offset;
    file.shentsize = uint16_t{sizeof(SectionHeader)};
    file.shnum = uint16_t{1};
    SectionHeader section;
    section.size = uint64_t{1};
    section.info = static_cast<uint32_t>(count);
    store(out, section_offset, section);
  }
  store(out, 0, file);

  uint64_t at = sizeof(FileHeader);
  const auto put = [&](const ProgramHeader& header) {
    store(out, at, header);
    at += sizeof header;
  };
  ProgramHeader note;
  note.type = uint32_t{PT_NOTE};
  note.offset = notes_offset_;
  note.filesz = note.memsz = ul64(header_.notes.size());
  put(note);
  for (const Segment& s : segments) {
    ProgramHeader load;
    load.type = uint32_t{PT_LOAD};
    load.flags = uint32_t{PF_R | PF_W | PF_X};
    load.vaddr = s.vaddr;
    load.paddr = s.present.begin.value * header_.page_size;
    load.filesz = s.present.count() * header_.page_size;
    load.memsz = s.memory * header_.page_size;
    if (s.present.count() != 0) load.offset = file_offset(s.present.begin);
    put(load);
  }
  return out;
}

size_t ElfWriter::write(const PageBatch& batch) {
  uint64_t data = 0;
  const std::vector<uint8_t> zeros(output_.reads_as_zeros() ? 0 : header_.page_size);
  for (size_t i = 0; i < batch.pages.size();) {
    const PackedPage::Kind kind = batch.pages[i].kind;
    if (kind != PackedPage::Kind::data) {
      if (kind == PackedPage::Kind::zero && !zeros.empty()) output_.write(file_offset(batch.pfns[i]), zeros);
      ++i;
      continue;
    }
    // Successive page frames lie behind each other in the batch and in the file: one write.
    size_t end = i;
    uint64_t size = 0;
    for (; end < batch.pages.size() && batch.pages[end].kind == kind &&
           batch.pfns[end].value == batch.pfns[i].value + (end - i);
         ++end) {
      if (batch.pages[end].size != header_.page_size)
        throw Error(Errc::format, name_ + ": a compressed page for an ELF dump");
      size += batch.pages[end].size;
    }
    output_.write(file_offset(batch.pfns[i]), batch.data.subspan(data, size));
    data += size;
    i = end;
  }
  std::lock_guard lock(mutex_);
  for (size_t i = 0; i < batch.pages.size(); ++i) {
    if (batch.pages[i].kind != PackedPage::Kind::lost) present_.set(batch.pfns[i]);
  }
  return batch.pages.size();
}

void ElfWriter::leave_out(PfnRange range) {
  left_out_ += present_.count_below(range.end) - present_.count_below(range.begin);
  present_.clear_range(range);
}

// Too many pages are lost in too many places: the shortest runs between them go.
void ElfWriter::fit_capacity() {
  for (size_t count = segments(present_).size(); count > capacity_; count = segments(present_).size()) {
    std::vector<PfnRange> runs = present_.ranges();
    std::ranges::sort(runs, {}, &PfnRange::count);
    runs.resize(std::min(runs.size(), count - capacity_));
    for (const PfnRange& run : runs) leave_out(run);
  }
}

// A file system or a limit with smaller files: pages of zeros behind the end cannot be claimed.
void ElfWriter::fit_size(uint64_t size) {
  for (size_t i = 0; i < runs_.size(); ++i) {
    const uint64_t room = size > offsets_[i] ? (size - offsets_[i]) / header_.page_size : 0;
    if (room >= runs_[i].count()) continue;
    leave_out({runs_[i].begin + room, {present_.size()}});
    return;
  }
}

void ElfWriter::finish(bool complete) {
  const std::vector<PfnRange> written = present_.ranges();
  const Pfn last = written.empty() ? Pfn{0} : Pfn{written.back().end.value - 1};
  const uint64_t end = written.empty() ? notes_offset_ : file_offset(last) + header_.page_size;
  fit_size(output_.extend(end));  // pages of zeros at the end were never written
  fit_capacity();
  output_.sync(false);
  output_.write(0, headers(segments(present_), complete && left_out_ == 0));
  output_.sync(true);
}

}  // namespace kdk
