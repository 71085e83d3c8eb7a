// Reader of kdump-compressed files, versions 1 to 6, whole or split. Format: kdump_format.h.
//
// A page is found by counting: its descriptor's index is the number of pages dumped before it. Nothing but
// the bitmaps is read at open, and a survey of the descriptors that tells a whole file from one cut short.
#include <fmt/format.h>

#include <elf.h>
#include <algorithm>

#include "core/base/bus_error.h"
#include "core/base/error.h"
#include "core/formats/codec.h"
#include "core/formats/eraseinfo.h"
#include "core/formats/kdump_header.h"
#include "core/formats/ranked_bitmap.h"
#include "core/formats/readers.h"
#include "core/formats/source_reader.h"

namespace kdk {
namespace {

using kdump::Headers;
using kdump::PageDescriptor;

// Descriptors looked at to find out whether the file is whole: all of them up to 4 GiB of 4 KiB pages, else
// as many, evenly spread. Reading 24 MB costs a few milliseconds.
constexpr uint64_t surveyed_descriptors = uint64_t{1} << 20;

std::vector<uint64_t> read_bitmap(const ByteSource& source, uint64_t offset, uint64_t first_byte,
                                  uint64_t end_byte) {
  std::vector<uint8_t> raw(align_up(end_byte - first_byte, 8));
  read_exact(source, offset + first_byte, MutableBytes(raw).first(end_byte - first_byte), "a page bitmap");
  std::vector<uint64_t> words(raw.size() / 8);
  for (size_t w = 0; w < words.size(); ++w) words[w] = *load<ul64>(raw, w * 8);
  return words;
}

uint16_t machine_from_uts(std::string_view machine) {
  static constexpr std::pair<std::string_view, uint16_t> machines[] = {
      {"aarch64", EM_AARCH64}, {"x86_64", EM_X86_64},          {"ppc64le", EM_PPC64},
      {"riscv64", EM_RISCV},   {"loongarch64", uint16_t{258}},  // EM_LOONGARCH, not in every elf.h
  };
  for (const auto& [name, number] : machines) {
    if (machine == name) return number;
  }
  return 0;
}

// One file: the whole dump, or the part of a split set that holds pages().range().
class KdumpFile {
 public:
  KdumpFile(std::unique_ptr<ByteSource> source, std::vector<std::string>& problems)
      : source_(std::move(source)), headers_(kdump::read_headers(*source_, problems)) {}

  const ByteSource& source() const { return *source_; }
  const Headers& headers() const { return headers_; }
  const RankedBitmap& pages() const { return pages_; }
  bool lossy() const { return lossy_; }
  void set_lossy() { lossy_ = true; }

  void read_pages() {
    PfnRange range{{headers_.begin_pfn}, {headers_.end_pfn}};
    pages_ = RankedBitmap(read_bitmap(*source_, headers_.bitmap2_offset, range.begin.value / 64 * 8,
                                      std::max(range.begin.value / 64 * 8, (range.end.value + 7) / 8)),
                          range);
  }

  std::vector<uint64_t> existing_pages() const {
    return read_bitmap(*source_, headers_.bitmap1_offset, 0, headers_.bitmap_bytes);
  }

  uint64_t descriptor_offset(Pfn pfn) const {
    return headers_.descriptor_offset + pages_.rank(pfn) * sizeof(PageDescriptor);
  }

  // Whether there can be data where the descriptor says; what the data is worth shows when it is expanded.
  bool usable(const PageDescriptor& d) const {
    return d.offset != 0 && d.size != 0 && d.size <= headers_.block_size &&
           in_bounds(source_->size(), d.offset, d.size);
  }

  struct Survey {
    uint64_t seen = 0, empty = 0, outside = 0;
  };
  Survey survey() const;

 private:
  std::unique_ptr<ByteSource> source_;
  Headers headers_;
  RankedBitmap pages_;
  bool lossy_ = false;  // some pages have no data: state() has to look at the descriptors
};

KdumpFile::Survey KdumpFile::survey() const {
  constexpr uint64_t batch = 2048;
  std::vector<uint8_t> raw(batch * sizeof(PageDescriptor));
  Survey result;
  uint64_t batches = (pages_.count() + batch - 1) / batch;
  uint64_t step = std::max<uint64_t>(1, batches * batch / surveyed_descriptors);
  for (uint64_t b = 0; b < batches; b += step) {
    if (b + step >= batches) b = batches - 1;  // always the last one, too
    uint64_t count = std::min(batch, pages_.count() - b * batch);
    MutableBytes wanted = MutableBytes(raw).first(count * sizeof(PageDescriptor));
    uint64_t got = source_->read(headers_.descriptor_offset + b * batch * sizeof(PageDescriptor), wanted) /
                   sizeof(PageDescriptor);
    result.seen += count;
    result.outside += count - got;
    for (uint64_t i = 0; i < got; ++i) {
      PageDescriptor d = *load<PageDescriptor>(raw, i * sizeof(d));
      if (d.offset == 0 || d.size == 0) {
        ++result.empty;
      } else if (!usable(d)) {
        ++result.outside;
      }
    }
  }
  return result;
}

class KdumpDump : public Dump {
 public:
  KdumpDump(std::vector<DumpInput> inputs, const OpenOptions& options);

  PageState state(Pfn pfn) const noexcept override;
  std::unique_ptr<PageReader> reader() const override;

 private:
  class Reader;

  void order_parts();
  void describe(const OpenOptions& options);
  void read_notes_and_vmcoreinfo(const OpenOptions& options);
  void judge_completeness();
  // Index into files_, or nullopt when no file given covers the page.
  std::optional<size_t> file_of(Pfn pfn) const noexcept;
  bool exists(Pfn pfn) const noexcept {
    return pfn.value / 64 < existing_.size() && ((existing_[pfn.value / 64] >> (pfn.value % 64)) & 1) != 0;
  }

  std::vector<KdumpFile> files_;    // by page frames
  std::vector<uint64_t> existing_;  // first bitmap
};

KdumpDump::KdumpDump(std::vector<DumpInput> inputs, const OpenOptions& options) {
  for (DumpInput& input : inputs) {
    describe_input(input);
    files_.emplace_back(std::move(input.source), problems_);
  }
  order_parts();
  name_ = files_.front().source().name();
  if (files_.size() > 1) name_ += fmt::format(" and {} more", files_.size() - 1);
  for (KdumpFile& file : files_) file.read_pages();
  existing_ = files_.front().existing_pages();
  ram_ = bitmap_ranges(existing_);
  describe(options);
  judge_completeness();
}

void KdumpDump::order_parts() {
  if (files_.size() == 1 && !files_.front().headers().split) return;
  std::sort(files_.begin(), files_.end(), [](const KdumpFile& a, const KdumpFile& b) {
    return a.headers().begin_pfn < b.headers().begin_pfn;
  });
  // Everything but the status, which says how this one file was written.
  auto fingerprint = [](const KdumpFile& file) {
    kdump::DiskDumpHeader disk = file.headers().disk;
    disk.status = 0;
    std::array<uint8_t, sizeof(disk)> bytes{};
    store(bytes, 0, disk);
    return bytes;
  };
  uint64_t covered = 0;
  std::string gaps;
  auto add_gap = [&](uint64_t begin, uint64_t end) {
    if (begin < end) gaps += fmt::format("{}{:#x} to {:#x}", gaps.empty() ? "" : ", ", begin, end);
  };
  for (const KdumpFile& file : files_) {
    const Headers& h = file.headers();
    const std::string& name = file.source().name();
    if (!h.split) {
      throw Error(Errc::format, name + ": a whole dump, not a part of a split set")
          .with_hint("open it alone");
    }
    if (fingerprint(file) != fingerprint(files_.front())) {
      throw Error(Errc::format, fmt::format("{} and {} are not parts of the same dump: their headers differ",
                                            files_.front().source().name(), name));
    }
    if (h.begin_pfn < covered) {
      throw Error(Errc::format,
                  fmt::format("{}: page frames {:#x} to {:#x} are also in another file of the set", name,
                              h.begin_pfn, std::min(covered, h.end_pfn)))
          .with_hint("give every part once");
    }
    add_gap(covered, h.begin_pfn);
    covered = std::max(covered, h.end_pfn);
  }
  add_gap(covered, files_.front().headers().max_mapnr);
  if (gaps.empty()) return;
  mark_incomplete("parts of the split set are not here");
  problems_.push_back(
      fmt::format("part of a split set: page frames {} are in files that were not given; give all parts "
                  "together",
                  gaps));
}

void KdumpDump::describe(const OpenOptions& options) {
  const Headers& h = files_.front().headers();
  info_.format = DumpFormat::kdump_compressed;
  info_.split_parts = static_cast<unsigned>(files_.size());
  info_.page_size = h.block_size;
  info_.header_version = h.version();
  if (h.version() >= 1) info_.dump_level = h.sub.dump_level;
  info_.uts_release = h.uts(kdump::uts_release);
  info_.uts_version = h.uts(kdump::uts_version);
  info_.uts_machine = h.uts(kdump::uts_machine);
  info_.uts_nodename = h.uts(kdump::uts_nodename);
  info_.elf_machine = machine_from_uts(info_.uts_machine);
  read_notes_and_vmcoreinfo(options);
  if (std::optional<uint64_t> size = vmcoreinfo_.decimal("PAGESIZE"); size && *size != info_.page_size) {
    problems_.push_back(fmt::format("VMCOREINFO says PAGESIZE={}, the header {}: the header is used", *size,
                                    info_.page_size));
  }
}

void KdumpDump::read_notes_and_vmcoreinfo(const OpenOptions& options) {
  const ByteSource& source = files_.front().source();
  const Headers& h = files_.front().headers();
  auto read = [&](std::string_view what, uint64_t offset, uint64_t size) {
    std::vector<uint8_t> bytes;
    if (size == 0) return bytes;
    if (size > std::min(max_note_bytes, source.stored_bytes()) || !in_bounds(source.size(), offset, size)) {
      problems_.push_back(
          fmt::format("{}: {} bytes at offset {:#x} are not in the file: ignored", what, size, offset));
      return bytes;
    }
    bytes.resize(size);
    read_exact(source, offset, bytes, what);
    return bytes;
  };
  std::vector<uint8_t> text = read("VMCOREINFO", h.sub.offset_vmcoreinfo, h.sub.size_vmcoreinfo);
  std::vector<uint8_t> notes = read("ELF notes", h.sub.offset_note, h.sub.size_note);
  const std::vector<uint8_t> erased = read("eraseinfo", h.sub.offset_eraseinfo, h.sub.size_eraseinfo);
  if (!erased.empty()) notes = notes_with_eraseinfo(notes, as_text(erased));
  set_notes(std::move(notes), as_text(text), options);
}

void KdumpDump::judge_completeness() {
  for (KdumpFile& file : files_) {
    bool flagged = (file.headers().disk.status & kdump::status_incomplete) != 0;
    KdumpFile::Survey survey = file.survey();
    std::string prefix = files_.size() > 1 ? file.source().name() + ": " : "";
    uint64_t lost = survey.empty + survey.outside;
    if (!flagged && lost == 0) continue;
    std::string_view reason = flagged              ? "the file says it was not finished (INCOMPLETE)"
                              : survey.outside > 0 ? "truncated or corrupt"
                                                   : "not finished";
    mark_incomplete(fmt::format("{}{}: {} of {} pages looked at have no data in the file", prefix, reason,
                                lost, survey.seen));
    file.set_lossy();
  }
}

std::optional<size_t> KdumpDump::file_of(Pfn pfn) const noexcept {
  auto after = std::partition_point(files_.begin(), files_.end(),
                                    [&](const KdumpFile& f) { return f.pages().range().end <= pfn; });
  if (after == files_.end() || !after->pages().range().contains(pfn)) return std::nullopt;
  return static_cast<size_t>(after - files_.begin());
}

PageState KdumpDump::state(Pfn pfn) const noexcept {
  std::optional<size_t> index = file_of(pfn);
  if (!index)
    return exists(pfn) ? PageState::unreadable : PageState::missing;  // in a part that was not given
  const KdumpFile& file = files_[*index];
  if (!file.pages().test(pfn)) return exists(pfn) ? PageState::excluded : PageState::missing;
  if (!file.lossy()) return PageState::present;
  std::array<uint8_t, sizeof(PageDescriptor)> raw{};
  try {
    if (file.source().read(file.descriptor_offset(pfn), raw) != raw.size()) return PageState::unreadable;
  } catch (const std::exception&) {
    return PageState::unreadable;
  }
  return file.usable(*load<PageDescriptor>(raw)) ? PageState::present : PageState::unreadable;
}

class KdumpDump::Reader : public PageReader {
 public:
  explicit Reader(const KdumpDump& dump) : dump_(dump), page_(dump.info().page_size) {
    for (const KdumpFile& file : dump.files_) sources_.emplace_back(file.source(), dump.info().page_size);
  }

  PageView page(Pfn pfn) noexcept override {
    constexpr PageView unreadable{PageState::unreadable, {}};
    std::optional<size_t> index = dump_.file_of(pfn);
    if (!index || !dump_.files_[*index].pages().test(pfn)) return {dump_.state(pfn), {}};
    const KdumpFile& file = dump_.files_[*index];
    Sources& source = sources_[*index];

    std::array<uint8_t, sizeof(PageDescriptor)> raw{};
    std::optional<Bytes> stored = source.descriptors.bytes(file.descriptor_offset(pfn), raw.size());
    if (!stored || !copy_guarded(*stored, raw.data())) return unreadable;
    PageDescriptor d = *load<PageDescriptor>(raw);
    std::optional<Codec> codec = codec_from_flags(d.flags);
    if (!codec || !file.usable(d)) return unreadable;
    std::optional<Bytes> data = source.data.bytes(d.offset, d.size);
    if (!data) return unreadable;
    if (*codec == Codec::none)
      return data->size() == page_.size() ? PageView{PageState::present, *data} : unreadable;

    bool expanded = false;
    if (!touch_guarded([&] { expanded = decompressor_.decompress(*codec, *data, page_); })) return unreadable;
    return expanded ? PageView{PageState::present, page_, *codec, *data} : unreadable;
  }

 private:
  struct Sources {
    Sources(const ByteSource& source, size_t page_size)
        : descriptors(source, sizeof(PageDescriptor)), data(source, page_size) {}
    SourceReader descriptors, data;
  };

  const KdumpDump& dump_;
  std::vector<uint8_t> page_;
  std::vector<Sources> sources_;  // beside files_
  Decompressor decompressor_;
};

std::unique_ptr<PageReader> KdumpDump::reader() const {
  return std::make_unique<Reader>(*this);
}

}  // namespace

std::unique_ptr<Dump> open_kdump(std::vector<DumpInput> parts, const OpenOptions& options) {
  return std::make_unique<KdumpDump>(std::move(parts), options);
}

}  // namespace kdk
