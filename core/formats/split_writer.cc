#include "core/formats/split_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "core/base/error.h"

namespace kdk {

std::vector<PfnRange> split_ranges(const PfnBitmap& dumped, size_t parts) {
  const PfnBitmap::Words& words = dumped.words();
  if (parts == 0 || words.size() < parts) {
    throw Error(Errc::unsupported,
                fmt::format("{} page frames cannot be split into {} files", dumped.size(), parts));
  }
  const uint64_t total = dumped.count();
  std::vector<PfnRange> ranges;
  size_t word = 0;
  uint64_t counted = 0;
  for (size_t part = 1; part <= parts; ++part) {
    const uint64_t begin = word * 64, enough = total / parts * part;
    // At least one word, and at least one is left for each part to come.
    const size_t last = words.size() - (parts - part);
    do {
      counted += static_cast<uint64_t>(std::popcount(words[word++]));
    } while (word < last && (counted < enough || part == parts));
    ranges.push_back({{begin}, {part == parts ? dumped.size() : word * 64}});
  }
  return ranges;
}

SplitWriter::SplitWriter(const std::vector<DumpOutput*>& outputs, const std::vector<std::string>& names,
                         KdumpHeader header, const PfnBitmap& ram, const PfnBitmap& dumped)
    : ranges_(split_ranges(dumped, outputs.size())) {
  for (size_t i = 0; i < outputs.size(); ++i) {
    header.part = ranges_[i];
    parts_.push_back(std::make_unique<KdumpWriter>(*outputs[i], names[i], header, ram, dumped));
  }
}

size_t SplitWriter::write(const PageBatch& batch) {
  size_t page = 0;
  uint64_t data = 0;
  for (size_t part = 0; part < parts_.size() && page < batch.pfns.size(); ++part) {
    size_t end = page;
    uint64_t size = 0;
    for (; end < batch.pfns.size() && batch.pfns[end] < ranges_[part].end; ++end)
      size += batch.pages[end].size;
    if (end == page) continue;
    const size_t count = end - page;
    const size_t written =
        parts_[part]->write({batch.pfns.subspan(page, count), batch.indexes.subspan(page, count),
                             batch.pages.subspan(page, count), batch.data.subspan(data, size),
                             batch.placed.empty() ? batch.placed : batch.placed.subspan(page, count)});
    page += written;
    if (written != count) break;
    data += size;
  }
  return page;
}

bool SplitWriter::shares(Pfn page, Pfn other) const {
  return std::ranges::any_of(
      ranges_, [&](const PfnRange& range) { return range.contains(page) && range.contains(other); });
}

void SplitWriter::finish(bool complete) {
  for (std::unique_ptr<KdumpWriter>& part : parts_) part->finish(complete);
}

uint64_t SplitWriter::size() const {
  uint64_t bytes = 0;
  for (const std::unique_ptr<KdumpWriter>& part : parts_) bytes += part->size();
  return bytes;
}

}  // namespace kdk
