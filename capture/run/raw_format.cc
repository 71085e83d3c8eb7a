#include "capture/run/raw_format.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/base/error.h"

namespace kdk {
namespace {

constexpr std::string_view magic("kdumpkit-raw-1\0\0", 16);
constexpr size_t name_bytes = 136, file_name_bytes = 24, most_files = 8;
constexpr size_t sum_offset = raw_header_bytes - Sha256::digest_bytes;

std::string padded_text(Bytes bytes) {
  const std::string_view text = as_text(bytes);
  return std::string(text.substr(0, text.find('\0')));
}

// A name becomes a file's: nothing but what dump_name() and our own files have.
bool is_plain(const std::string& name) {
  return !name.empty() && name.front() != '.' && name.front() != '-' &&
         std::ranges::all_of(
             name, [](unsigned char c) { return std::isalnum(c) != 0 || c == '-' || c == '.' || c == '_'; });
}

}  // namespace

RawFile* RawHeader::find(std::string_view file) {
  const auto found = std::ranges::find(files, file, &RawFile::name);
  return found == files.end() ? nullptr : &*found;
}

std::array<uint8_t, raw_header_bytes> encode(const RawHeader& header) {
  std::array<uint8_t, raw_header_bytes> block{};
  const auto put_text = [&](std::string_view text, uint64_t offset, size_t room) {
    std::copy_n(text.begin(), std::min(text.size(), room),
                block.begin() + static_cast<std::ptrdiff_t>(offset));
  };
  if (header.files.size() > most_files) throw Error(Errc::unsupported, "too many files for a raw partition");
  put_text(magic, 0, magic.size());
  store(block, 16, ul32(static_cast<uint32_t>(header.state)));
  store(block, 20, ul32(static_cast<uint32_t>(header.files.size())));
  put_text(header.name, 24, name_bytes - 1);
  uint64_t at = 24 + name_bytes;
  for (const RawFile& file : header.files) {
    put_text(file.name, at, file_name_bytes - 1);
    store(block, at + 24, ul64(file.offset));
    store(block, at + 32, ul64(file.size));
    store(block, at + 40, file.sum);
    store(block, at + 72, ul64(file.room));
    at += 80;
  }
  Sha256 sum;
  sum.add(Bytes(block).first(sum_offset));
  store(block, sum_offset, sum.digest());
  return block;
}

std::optional<RawHeader> decode_raw_header(Bytes block) {
  if (block.size() < raw_header_bytes || as_text(block.first(magic.size())) != magic) return std::nullopt;
  Sha256 sum;
  sum.add(block.first(sum_offset));
  if (*load<Sha256::Digest>(block, sum_offset) != sum.digest()) {
    throw Error(Errc::format, "its header is damaged (wrong checksum)");
  }
  RawHeader header;
  Cursor cursor(block, "raw partition header");
  cursor.seek(16);
  const uint32_t state = cursor.u32le(), count = cursor.u32le();
  if (state > static_cast<uint32_t>(RawState::whole) || count > most_files) {
    throw Error(Errc::format, fmt::format("its header makes no sense (state {}, {} files)", state, count));
  }
  header.state = static_cast<RawState>(state);
  header.name = padded_text(cursor.take(name_bytes));
  if (header.state != RawState::empty && !is_plain(header.name)) {
    throw Error(Errc::format, "its header has no proper name for the dump");
  }
  for (uint32_t i = 0; i < count; ++i) {
    RawFile file;
    file.name = padded_text(cursor.take(file_name_bytes));
    file.offset = cursor.u64le();
    file.size = cursor.u64le();
    file.sum = cursor.read<Sha256::Digest>();
    file.room = cursor.u64le();
    if (!is_plain(file.name) || file.offset < raw_header_bytes || file.offset > INT64_MAX ||
        file.size > INT64_MAX - file.offset) {
      throw Error(Errc::format, fmt::format("its header makes no sense (file {})", i));
    }
    header.files.push_back(std::move(file));
  }
  return header;
}

}  // namespace kdk
