#include "loader/purgatory/purgatory.h"

#include <fmt/format.h>

#include <algorithm>

#include "loader/purgatory/identity_map.h"

namespace kdk::purgatory {
namespace {

constexpr uint64_t page = 4096;
constexpr size_t name_size = sizeof(CheckedRange::name);

uint64_t parameters_at(const Code& code) {
  return code.size_bytes();
}

// Of the tables, from the segment's start.
uint64_t tables_at(const Code& code, uint64_t page_size) {
  return align_up(parameters_at(code) + sizeof(Parameters) + stacks_size, page_size);
}

uint64_t range_at(const Code& code, size_t index) {
  return parameters_at(code) + offsetof(Parameters, ranges) + index * sizeof(CheckedRange);
}

void store_range(MutableBytes segment, uint64_t at, const Checked& checked) {
  if (checked.name.size() >= name_size || checked.data.start % 64 != 0)
    throw Error(Errc::unsupported,
                fmt::format("no digest can be checked of {} at {}", checked.name, to_string(checked.data)));
  store(segment, at + offsetof(CheckedRange, address), ul64(checked.data.start));
  store(segment, at + offsetof(CheckedRange, size), ul64(checked.data.size));
  store(segment, at + offsetof(CheckedRange, sha256), checked.sha256);
  std::copy(checked.name.begin(), checked.name.end(),
            segment.begin() + static_cast<ptrdiff_t>(at + offsetof(CheckedRange, name)));
}

}  // namespace

uint64_t segment_size(const Code& code, const std::optional<MapRequest>& map) {
  if (!map) return align_up(parameters_at(code) + sizeof(Parameters) + stacks_size, page);
  // Where the tables lie does not change how many there are.
  return tables_at(code, map->page_size) + make_identity_map(map->memory, map->page_size, 0).size();
}

std::vector<uint8_t> make_segment(const Request& request, uint64_t at) {
  if (request.checked.size() > max_ranges)
    throw Error(Errc::unsupported, fmt::format("{} segments to check; the purgatory takes {}",
                                               request.checked.size(), max_ranges));
  const Code& code = request.code;
  std::vector<uint8_t> segment(parameters_at(code) + sizeof(Parameters));
  for (size_t i = 0; i < code.size(); ++i) store(segment, 4 * i, ul32(code[i]));
  auto set = [&](size_t offset, uint64_t value) {
    store(segment, parameters_at(code) + offset, ul64(value));
  };
  set(offsetof(Parameters, next), request.next);
  set(offsetof(Parameters, range_count), request.checked.size());
  if (request.console) {
    set(offsetof(Parameters, console), static_cast<uint64_t>(request.console->kind));
    set(offsetof(Parameters, console_address), request.console->address);
    set(offsetof(Parameters, console_shift), request.console->shift);
  }
  set(offsetof(Parameters, reset), static_cast<uint64_t>(request.reset));
  for (size_t i = 0; i < request.checked.size(); ++i)
    store_range(segment, range_at(code, i), request.checked[i]);
  if (!request.map) return segment;
  uint64_t page_size = request.map->page_size;
  uint64_t tables = tables_at(code, page_size);
  std::vector<uint8_t> map = make_identity_map(request.map->memory, page_size, at + tables);
  set(offsetof(Parameters, translation_table), at + tables);
  set(offsetof(Parameters, translation_granule), translation_granule(page_size).value());
  segment.resize(tables);
  segment.insert(segment.end(), map.begin(), map.end());
  return segment;
}

Finished read_segment(const Code& code, Bytes segment) {
  Cursor cursor(segment, "purgatory");
  for (uint32_t word : code) {
    if (cursor.u32le() != word) throw Error(Errc::format, "the purgatory's code is not what it should be");
  }
  Finished finished;
  uint64_t parameters = cursor.offset();
  finished.next = cursor.u64le();
  uint64_t count = cursor.u64le();
  if (count > max_ranges) throw Error(Errc::format, fmt::format("the purgatory checks {} segments", count));
  for (uint64_t i = 0; i < count; ++i) {
    cursor.seek(parameters + offsetof(Parameters, ranges) + i * sizeof(CheckedRange));
    Checked checked;
    checked.data.start = cursor.u64le();
    checked.data.size = cursor.u64le();
    std::ranges::copy(cursor.take(checked.sha256.size()), checked.sha256.begin());
    std::string_view name = as_text(cursor.take(name_size));
    checked.name = name.substr(0, name.find('\0'));
    finished.checked.push_back(std::move(checked));
  }
  return finished;
}

std::vector<uint8_t> without_digests(const Code& code, std::vector<uint8_t> segment) {
  size_t count = read_segment(code, segment).checked.size();
  for (size_t i = 0; i < count; ++i)
    store(segment, range_at(code, i) + offsetof(CheckedRange, sha256), Sha256::Digest{});
  return segment;
}

}  // namespace kdk::purgatory
