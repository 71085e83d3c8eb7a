#include "loader/image/initrd.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/base/log.h"
#include "loader/image/rootfs_paths.h"
#include "loader/machine/parse.h"

namespace kdk {
namespace {

constexpr uint64_t header_size = 110;     // "070701" and 13 fields of 8 hex digits
constexpr uint64_t max_name_size = 4096;  // PATH_MAX; also of a link's target
constexpr uint32_t mode_type_mask = 0170000;
constexpr uint32_t mode_directory = 0040000;
constexpr uint32_t mode_regular = 0100000;
constexpr uint32_t mode_symlink = 0120000;

// Counts the files of a newc cpio stream fed in pieces of any size, and notes their names. Source:
// init/initramfs.c and Documentation/driver-api/early-userspace/buffer-format.rst.
class CpioCounter {
 public:
  CpioCounter(InitrdEstimate& result, RootfsPaths& paths, uint64_t page_size, uint64_t limit)
      : result_(result), paths_(paths), page_size_(page_size), limit_(limit) {}

  // Returns the bytes taken: all of them, or fewer when the next one, after a complete entry, begins no cpio
  // header (all cpio headers begin with '0') or the memory limit is passed (result.over_limit).
  uint64_t feed(Bytes data) {
    uint64_t at = 0;
    while (at < data.size() && !result_.over_limit) {
      if (at_boundary() && data[at] == 0) {  // padding
        ++at;
        ++position_;
        continue;
      }
      if (at_boundary() && data[at] != '0') break;
      uint64_t taken = std::min<uint64_t>(need_ - got_, data.size() - at);
      if (state_ != State::body || link_) text_.append(as_text(data.subspan(at, taken)));
      got_ += taken;
      at += taken;
      position_ += taken;
      if (got_ == need_) finish_part();
      result_.over_limit = result_.memory > limit_;
    }
    return at;
  }

  // True when no entry is half read: the archive may end here.
  bool at_boundary() const { return state_ == State::header && got_ == 0; }

 private:
  enum class State { header, name, body };

  void expect(State state, uint64_t need) {
    state_ = state;
    need_ = need;
    got_ = 0;
    text_.clear();
  }

  void finish_part() {
    if (state_ == State::header) {
      parse_header();
    } else if (state_ == State::name) {
      parse_name();
    } else {
      if (link_)
        paths_.add(*link_, RootfsPaths::Kind::symlink, std::string_view(text_).substr(0, body_size_));
      link_.reset();
      expect(State::header, header_size);
    }
  }

  [[noreturn]] void bad_entry(std::string_view why) const {
    throw Error(Errc::format,
                fmt::format("cpio entry at offset {:#x} of the unpacked archive: {}", entry_at_, why));
  }

  void parse_header() {
    entry_at_ = position_ - header_size;
    if (!text_.starts_with("070701") && !text_.starts_with("070702")) bad_entry("not in the newc format");
    auto field = [&](unsigned index) {
      std::optional<uint64_t> value = parse_number(std::string_view(text_).substr(6 + 8 * index, 8), 16);
      if (!value) bad_entry(fmt::format("header field {} is not hexadecimal", index));
      return *value;
    };
    mode_ = static_cast<uint32_t>(field(1));
    body_size_ = field(6);
    name_size_ = field(11);
    if (name_size_ == 0 || name_size_ > max_name_size)
      bad_entry(fmt::format("a name of {} bytes", name_size_));
    // Header and name together are padded to 4 bytes; so is the body.
    expect(State::name, align_up(header_size + name_size_, 4) - header_size);
  }

  void parse_name() {
    std::string_view name = std::string_view(text_).substr(0, name_size_);
    if (name.back() != '\0') bad_entry("its name has no NUL at the end");
    name.remove_suffix(1);
    const uint32_t type = mode_ & mode_type_mask;
    if (type == mode_symlink) {
      // Its target is the body. The kernel passes over one that is too long.
      if (body_size_ != 0 && body_size_ <= max_name_size) link_ = std::string(name);
    } else if (name != "TRAILER!!!") {
      paths_.add(name, type == mode_regular     ? RootfsPaths::Kind::regular
                       : type == mode_directory ? RootfsPaths::Kind::directory
                                                : RootfsPaths::Kind::other);
    }
    if (type == mode_regular && body_size_ != 0) {
      ++result_.files;
      result_.memory +=
          align_up(body_size_, page_size_);  // 32-bit sizes: the limit stops us before an overflow
    }
    if (body_size_ == 0) {
      expect(State::header, header_size);
    } else {
      expect(State::body, align_up(body_size_, 4));
    }
  }

  InitrdEstimate& result_;
  RootfsPaths& paths_;
  uint64_t page_size_;
  uint64_t limit_;
  State state_ = State::header;
  uint64_t need_ = header_size;
  uint64_t got_ = 0;
  uint64_t position_ = 0;
  uint64_t entry_at_ = 0;
  std::string text_;                 // the header, name or target being collected
  std::optional<std::string> link_;  // the symbolic link whose target comes
  uint32_t mode_ = 0;
  uint64_t body_size_ = 0;
  uint64_t name_size_ = 0;
};

// The unpacked size an .xz file declares in the index at its end; nullopt when the end is not an xz footer.
// Only the last stream of the file can be found this way. Source: "The .xz File Format", sections 2.1.2
// (footer) and 4 (index).
std::optional<uint64_t> xz_declared_size(Bytes file) {
  while (!file.empty() && file.back() == 0) file = file.first(file.size() - 1);
  std::optional<Bytes> footer = file.size() < 12 ? std::nullopt : subspan(file, file.size() - 12, 12);
  if (!footer || (*footer)[10] != 'Y' || (*footer)[11] != 'Z') return std::nullopt;
  uint64_t index_size = (uint64_t{*load<ul32>(*footer, 4)} + 1) * 4;
  if (index_size > file.size() - 12) return std::nullopt;
  Cursor index(file.subspan(file.size() - 12 - index_size, index_size), "xz index");
  auto number = [&] {  // 7 bits per byte, least significant first
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 63; shift += 7) {
      uint8_t byte = index.u8();
      value |= uint64_t{byte & 0x7fu} << shift;
      if ((byte & 0x80) == 0) return value;
    }
    throw Error(Errc::format, "xz index: a number of more than 63 bits");
  };
  if (index.u8() != 0) return std::nullopt;
  uint64_t records = number();
  if (records > index_size) return std::nullopt;
  uint64_t total = 0;
  for (uint64_t i = 0; i < records; ++i) {
    number();  // packed size
    std::optional<uint64_t> sum = checked_add(total, number());
    if (!sum) return std::nullopt;
    total = *sum;
  }
  return total;
}

// Unpacked bytes of a member that cannot be unpacked here, from what its format declares; nullopt when
// unknown.
std::optional<uint64_t> declared_size(Bytes member, PackFormat format) {
  if (format == PackFormat::xz) return xz_declared_size(member);
  // .lzma header: properties byte, dictionary size (4 bytes), unpacked size (8 bytes, all ones when not
  // stored).
  std::optional<ul64> stored = format == PackFormat::lzma ? load<ul64>(member, 5) : std::nullopt;
  if (stored && *stored != ~uint64_t{0}) return *stored;
  return std::nullopt;
}

// Whether the kernel will find its program. An archive with more names than are looked at is not judged.
void look_for_init(InitrdEstimate& result, RootfsPaths& paths, std::string_view init) {
  const RootfsPaths::Walk walk = paths.find_program(init);
  if (walk.outcome == RootfsPaths::Outcome::loop && result.exact) {
    throw Error(
        Errc::format,
        fmt::format("/{} (rdinit=, default /init) leads through too many symbolic links, the last is /{}",
                    init, escape_untrusted(walk.path)));
  }
  result.has_init = walk.outcome == RootfsPaths::Outcome::found;
  if (walk.outcome == RootfsPaths::Outcome::unknown) result.exact = false;
}

}  // namespace

InitrdEstimate estimate_initrd(Bytes initrd, uint64_t page_size, std::string_view init, uint64_t limit) {
  InitrdEstimate result;
  RootfsPaths paths;  // all members unpack into one root
  uint64_t at = 0;
  while (at < initrd.size() && !result.over_limit) {
    Bytes rest = initrd.subspan(at);
    if (rest[0] == 0) {
      ++at;
      continue;
    }
    InitrdMember member;
    member.offset = at;
    member.format = detect_pack_format(rest);
    std::string_view kind = member.format == PackFormat::none ? "cpio" : to_string(member.format);
    with_context(fmt::format("member at offset {:#x} ({})", at, kind), [&] {
      CpioCounter counter(result, paths, page_size, limit);
      if (rest[0] == '0') {
        member.packed_size = counter.feed(rest);
        member.unpacked_size = member.packed_size;
        if (!counter.at_boundary() && !result.over_limit)
          throw Error(Errc::format, "the cpio archive is cut off");
      } else if (member.format == PackFormat::lz4_frame) {
        throw Error(Errc::format, "the kernel unpacks only what lz4 -l makes");
      } else if (member.format == PackFormat::gzip || member.format == PackFormat::zstd) {
        UnpackResult unpacked = unpack_member(rest, member.format, [&](Bytes part) {
          uint64_t taken = counter.feed(part);
          member.unpacked_size += part.size();
          if (taken != part.size() && !result.over_limit) {
            throw Error(Errc::format,
                        fmt::format("byte {:#04x} where a cpio header should begin", part[taken]));
          }
          return !result.over_limit;
        });
        member.packed_size = unpacked.consumed;
        if (!counter.at_boundary() && !unpacked.stopped)
          throw Error(Errc::format, "the cpio archive is cut off");
      } else if (member.format != PackFormat::none) {
        // Where this member ends is not known: it is taken to be the last one.
        member.packed_size = rest.size();
        std::optional<uint64_t> size = declared_size(rest, member.format);
        member.unpacked_size = size.value_or(0);
        result.exact = false;
        result.bounded = result.bounded && size.has_value();
        result.over_limit = member.unpacked_size > limit || result.memory + member.unpacked_size > limit;
        result.memory += std::min(member.unpacked_size, limit);
      } else {
        throw Error(Errc::format,
                    fmt::format("starts with {:#04x}: neither a cpio archive nor a packed one", rest[0]));
      }
    });
    at += member.packed_size;
    result.members.push_back(member);
  }
  look_for_init(result, paths, init);
  return result;
}

}  // namespace kdk
