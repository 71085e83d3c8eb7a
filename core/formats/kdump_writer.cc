#include "core/formats/kdump_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <limits>

#include "core/base/error.h"
#include "core/formats/eraseinfo.h"
#include "core/formats/kdump_format.h"
#include "core/formats/notes.h"

namespace kdk {

void PfnBitmap::set_range(PfnRange range) {
  uint64_t end = std::min(range.end.value, bits_);
  for (uint64_t bit = range.begin.value; bit < end;) {
    if (bit % 64 == 0 && end - bit >= 64) {
      words_[bit / 64] = ~uint64_t{0};
      bit += 64;
    } else {
      set(Pfn{bit++});
    }
  }
}

void PfnBitmap::clear_range(PfnRange range) {
  uint64_t end = std::min(range.end.value, bits_);
  for (uint64_t bit = range.begin.value; bit < end;) {
    if (bit % 64 == 0 && end - bit >= 64) {
      words_[bit / 64] = 0;
      bit += 64;
    } else {
      clear(Pfn{bit++});
    }
  }
}

uint64_t PfnBitmap::count() const {
  return count_below(Pfn{bits_});
}

uint64_t PfnBitmap::count_below(Pfn p) const {
  uint64_t end = std::min(p.value, bits_), n = 0;
  for (uint64_t w = 0; w < end / 64; ++w) n += static_cast<uint64_t>(std::popcount(words_[w]));
  if (end % 64 != 0)
    n += static_cast<uint64_t>(std::popcount(words_[end / 64] & ((uint64_t{1} << (end % 64)) - 1)));
  return n;
}

std::vector<PfnRange> PfnBitmap::ranges() const {
  std::vector<PfnRange> runs;
  for (size_t w = 0; w < words_.size(); ++w) {
    uint64_t rest = words_[w];
    while (rest != 0) {
      const uint64_t begin = static_cast<uint64_t>(std::countr_zero(rest));
      const uint64_t length = static_cast<uint64_t>(std::countr_one(rest >> begin));
      const PfnRange run{{w * 64 + begin}, {w * 64 + begin + length}};
      if (!runs.empty() && runs.back().end == run.begin) {
        runs.back().end = run.end;
      } else {
        runs.push_back(run);
      }
      rest = begin + length == 64 ? 0 : rest >> (begin + length) << (begin + length);
    }
  }
  return runs;
}

namespace {

constexpr uint64_t write_chunk = uint64_t{1} << 20;  // bytes per write of bitmaps and zeros

uint64_t blocks_for(uint64_t bytes, uint32_t block_size) {
  return (bytes + block_size - 1) / block_size;
}

kdump::DiskDumpHeader disk_header(const KdumpHeader& in, const std::vector<Note>& notes, uint64_t sub_blocks,
                                  uint64_t bitmap_blocks, uint32_t status) {
  kdump::DiskDumpHeader out{};
  std::copy(kdump::signature.begin(), kdump::signature.end(), out.signature);
  out.header_version = kdump::newest_version;
  const std::string* uts[kdump::uts_fields] = {&in.sysname, &in.nodename, &in.release,
                                               &in.version, &in.machine,  &in.domainname};
  for (int i = 0; i < kdump::uts_fields; ++i) uts[i]->copy(out.uts[i], kdump::uts_length - 1);
  out.crash_seconds = static_cast<int64_t>(in.crash_time);
  out.status = status;
  out.block_size = static_cast<int32_t>(in.page_size);
  out.sub_hdr_size = static_cast<int32_t>(sub_blocks);
  out.bitmap_blocks = static_cast<uint32_t>(bitmap_blocks);
  out.max_mapnr = static_cast<uint32_t>(std::min<uint64_t>(in.end_pfn, std::numeric_limits<uint32_t>::max()));
  out.nr_cpus = static_cast<int32_t>(std::count_if(
      notes.begin(), notes.end(), [](const Note& n) { return n.name == "CORE" && n.type == nt_prstatus; }));
  return out;
}

kdump::SubHeader sub_header(const KdumpHeader& in, const std::vector<Note>& notes) {
  kdump::SubHeader out{};
  out.phys_base = in.phys_base;
  out.dump_level = in.dump_level;
  out.max_mapnr_64 = in.end_pfn;
  if (in.part) {
    out.split = 1;
    out.start_pfn_64 = in.part->begin.value;
    out.end_pfn_64 = in.part->end.value;
    out.start_pfn = uint64_t{static_cast<uint32_t>(in.part->begin.value)};  // what readers of version 5 took
    out.end_pfn = uint64_t{static_cast<uint32_t>(in.part->end.value)};
  }
  if (in.notes.empty()) return out;
  // Right behind this header; VMCOREINFO is pointed to inside the copy of the notes, as readers expect. So is
  // the record of what was erased: its place is known before anything is written, also in a stream.
  out.offset_note = uint64_t{in.page_size} + sizeof(out);
  out.size_note = in.notes.size();
  const auto place = [&](std::string_view name, ul64& offset, ul64& size) {
    const auto note = std::ranges::find(notes, name, &Note::name);
    if (note == notes.end()) return;
    offset = out.offset_note + note->desc_offset;
    size = note->desc.size();
  };
  place("VMCOREINFO", out.offset_vmcoreinfo, out.size_vmcoreinfo);
  place(eraseinfo_note, out.offset_eraseinfo, out.size_eraseinfo);
  return out;
}

void write_bitmap(DumpOutput& output, uint64_t offset, uint64_t space, const PfnBitmap& bitmap) {
  std::vector<uint8_t> chunk;
  for (uint64_t at = 0; at < space; at += chunk.size()) {
    chunk.assign(std::min(write_chunk, space - at), 0);
    uint64_t first = at / 8, words = std::min(chunk.size() / 8,
                                              bitmap.words().size() - std::min(first, bitmap.words().size()));
    bool empty = true;
    for (uint64_t w = 0; w < words; ++w) {
      const uint64_t word = bitmap.words()[first + w];
      if (word == 0) continue;
      empty = false;
      store(chunk, w * 8, ul64(word));
    }
    if (empty && output.reads_as_zeros()) continue;  // banks of RAM may be terabytes apart
    output.write(offset + at, chunk);
  }
}

// The descriptor table must read as zeros until it is filled; a block device holds whatever was on it.
void clear_descriptors(DumpOutput& output, uint64_t offset, uint64_t end) {
  if (output.reads_as_zeros()) return;
  std::vector<uint8_t> zeros(write_chunk);
  for (uint64_t at = offset; at < end; at += write_chunk) {
    output.write(at, Bytes(zeros).first(std::min(write_chunk, end - at)));
  }
}

constexpr uint64_t status_offset = offsetof(kdump::DiskDumpHeader, status);
constexpr uint64_t status_size = sizeof(kdump::DiskDumpHeader::status);

}  // namespace

KdumpWriter::KdumpWriter(DumpOutput& output, std::string name, const KdumpHeader& header,
                         const PfnBitmap& ram, const PfnBitmap& dumped)
    : output_(output), name_(std::move(name)), max_bytes_(header.max_bytes) {
  uint32_t block = header.page_size;
  if (!is_power_of_two(block) || block < 4096) {
    throw Error(Errc::unsupported, fmt::format("{}: page size {} cannot be written", name_, block));
  }
  if (ram.size() != header.end_pfn || dumped.size() != header.end_pfn) {
    throw Error(Errc::format, fmt::format("{}: page bitmaps of {} and {} bits for {} page frames", name_,
                                          ram.size(), dumped.size(), header.end_pfn));
  }
  uint64_t sub_blocks = blocks_for(sizeof(kdump::SubHeader) + header.notes.size(), block);
  uint64_t one_bitmap = blocks_for((header.end_pfn + 7) / 8, block);
  if (one_bitmap == 0) throw Error(Errc::format, name_ + ": no page frames to write");
  if (one_bitmap > std::numeric_limits<uint32_t>::max() / 2 ||
      sub_blocks > std::numeric_limits<int32_t>::max()) {
    throw Error(Errc::unsupported,
                fmt::format("{}: {} page frames do not fit the format", name_, header.end_pfn));
  }
  uint64_t bitmap_space = one_bitmap * block;
  descriptor_offset_ = (1 + sub_blocks) * block + bitmap_space * 2;
  const PfnRange part = header.part.value_or(PfnRange{{0}, {header.end_pfn}});
  first_descriptor_ = dumped.count_below(part.begin);
  descriptor_count_ = dumped.count_below(part.end) - first_descriptor_;
  uint64_t data = align_up(descriptor_offset_ + descriptor_count_ * sizeof(kdump::PageDescriptor), block);
  if (data + block > max_bytes_) {
    throw error_from_errno(EFBIG,
                           fmt::format("{}: headers and descriptors of {} pages take {} bytes of the {} "
                                       "that are allowed",
                                       name_, descriptor_count_, data + block, max_bytes_))
        .with_hint("allow a larger file, or leave out more classes of pages");
  }
  std::vector<Note> notes = parse_notes(header.notes);
  status_ = header.codec_hint;
  kdump::DiskDumpHeader disk =
      disk_header(header, notes, sub_blocks, one_bitmap * 2, status_ | kdump::status_incomplete);

  std::vector<uint8_t> head((1 + sub_blocks) * block);
  store(head, 0, disk);
  store(head, block, sub_header(header, notes));
  std::copy(header.notes.begin(), header.notes.end(),
            head.begin() + static_cast<std::ptrdiff_t>(block + sizeof(kdump::SubHeader)));
  if (output_.rewritable()) {
    output_.write(0, head);
  } else {
    output_.write(0, Bytes(head).first(status_offset));
    output_.write(status_offset + status_size, Bytes(head).subspan(status_offset + status_size));
  }

  write_bitmap(output_, head.size(), bitmap_space, ram);
  write_bitmap(output_, head.size() + bitmap_space, bitmap_space, dumped);

  clear_descriptors(output_, descriptor_offset_, data);
  // Readers that map the bitmaps or the table want the file to reach to their end: this page sees to it.
  zero_page_ = {data, block, 0};
  output_.write(data, std::vector<uint8_t>(block));
  data_end_ = data + block;
}

KdumpWriter::Claim KdumpWriter::claim_for(std::span<const PackedPage> pages, uint64_t size) {
  Claim claimed{data_end_.load(std::memory_order_relaxed), size, pages.size()};
  do {
    const uint64_t room = max_bytes_ - claimed.offset;  // never negative: only this moves the end
    claimed.size = size;
    claimed.pages = pages.size();
    while (claimed.size > room && claimed.pages != 0) claimed.size -= pages[--claimed.pages].size;
  } while (!data_end_.compare_exchange_weak(claimed.offset, claimed.offset + claimed.size,
                                            std::memory_order_relaxed));
  return claimed;
}

void KdumpWriter::publish(uint64_t first, std::span<const PageLocation> locations) {
  if (!in_bounds(descriptor_count_, first, locations.size())) {
    throw Error(Errc::format, fmt::format("{}: descriptors {} to {} of {} published", name_, first,
                                          first + locations.size(), descriptor_count_));
  }
  std::vector<uint8_t> raw(locations.size() * sizeof(kdump::PageDescriptor));
  for (size_t i = 0; i < locations.size(); ++i) {
    store(raw, i * sizeof(kdump::PageDescriptor),
          kdump::PageDescriptor{locations[i].offset, locations[i].size, locations[i].flags, uint64_t{0}});
  }
  output_.write(descriptor_offset_ + first * sizeof(kdump::PageDescriptor), raw);
}

size_t KdumpWriter::write(const PageBatch& batch) {
  const Claim claimed = claim_for(batch.pages, batch.data.size());
  if (claimed.size != 0) output_.write(claimed.offset, batch.data.first(claimed.size));
  uint64_t offset = claimed.offset;
  std::vector<PageLocation> locations(claimed.pages);
  for (size_t i = 0; i < locations.size(); ++i) {
    const PackedPage& page = batch.pages[i];
    switch (page.kind) {
      case PackedPage::Kind::lost:
        break;  // its descriptor stays empty
      case PackedPage::Kind::zero:
        locations[i] = zero_page_;
        break;
      case PackedPage::Kind::data:
        locations[i] = {offset, page.size, page.flags};
        offset += page.size;
        break;
      case PackedPage::Kind::repeat:
        if (page.back == 0 || page.back > i)
          throw Error(Errc::format, fmt::format("{}: page {} of a batch repeats none of it", name_, i));
        locations[i] = locations[i - page.back];
        break;
      case PackedPage::Kind::stored:
        locations[i] = page.at;
        break;
    }
  }
  // Each run of successive descriptors is one write.
  for (size_t i = 0, end = 0; i < locations.size(); i = end) {
    for (end = i + 1; end < locations.size() && batch.indexes[end] == batch.indexes[end - 1] + 1;) ++end;
    publish(batch.indexes[i] - first_descriptor_, std::span(locations).subspan(i, end - i));
  }
  std::copy_n(locations.begin(), std::min(locations.size(), batch.placed.size()), batch.placed.begin());
  return claimed.pages;
}

uint64_t KdumpWriter::size() const {
  return data_end_.load(std::memory_order_relaxed);
}

void KdumpWriter::finish(bool complete) {
  // The mark is taken away only when everything it vouches for is on the medium.
  output_.sync(false);
  std::array<uint8_t, status_size> status{};
  store(status, 0, ul32(complete ? status_ : status_ | kdump::status_incomplete));
  output_.write(status_offset, status);
  output_.sync(true);
}

}  // namespace kdk
