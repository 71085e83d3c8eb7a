// A row is { s16 sp_offset; s16 bp_offset; u16 flags }. The flags by format, from bit 0 upwards:
//   v1  sp_reg:4 bp_reg:4 type:2 end:1            since v4.14; `end` since v4.18
//   v2  sp_reg:4 bp_reg:4 type:2 signal:1 end:1   Linux commit ffb1b4a41016 ("x86/unwind/orc: Add 'signal'
//                                                 field to ORC metadata") (in v6.3)
//   v3  sp_reg:4 bp_reg:4 type:3 signal:1         Linux commit fb799447ae29 ("x86,objtool: Split
//                                                 UNWIND_HINT_EMPTY in two") (in v6.4)
//   v4  as v3 with other register numbers         Linux commit 1735858caa4b ("objtool/x86: Reorder ORC
//                                                 register numbering") (in v7.1)
// v1 and v2 have the types call, regs and regs_partial only; a row without sp_reg is undefined or, with
// `end`, the end of the stack. The kernel does not number these formats: the names are ours (and drgn's).
#include "core/diagnose/orc.h"

#include <algorithm>
#include <array>
#include <numeric>

namespace kdk {
namespace {

struct OrcRow {
  ul16 sp_offset, bp_offset, flags;
};
static_assert(sizeof(OrcRow) == orc_row_size);

// A kernel has some 400,000 rows.
constexpr uint64_t max_rows = 16 << 20;

constexpr auto all_formats = {OrcFormat::v1, OrcFormat::v2, OrcFormat::v3, OrcFormat::v4};

// Stored number -> register. v1 to v3: arch/x86/include/asm/orc_types.h of v6.12; v4: of v7.1.
using Numbering = std::array<OrcReg, 11>;
constexpr Numbering old_numbers = {OrcReg::undefined,   OrcReg::prev_sp,     OrcReg::dx,       OrcReg::di,
                                   OrcReg::bp,          OrcReg::sp,          OrcReg::r10,      OrcReg::r13,
                                   OrcReg::bp_indirect, OrcReg::sp_indirect, OrcReg::undefined};
constexpr Numbering new_numbers = {OrcReg::undefined, OrcReg::ax,          OrcReg::dx,         OrcReg::sp,
                                   OrcReg::bp,        OrcReg::di,          OrcReg::r10,        OrcReg::r13,
                                   OrcReg::prev_sp,   OrcReg::sp_indirect, OrcReg::bp_indirect};

std::optional<OrcReg> register_of(unsigned number, OrcFormat format) {
  const Numbering& numbers = format == OrcFormat::v4 ? new_numbers : old_numbers;
  if (number == 0) return OrcReg::undefined;
  if (number >= numbers.size() || numbers[number] == OrcReg::undefined) return std::nullopt;
  return numbers[number];
}

// Type and signal of v1 and v2. nullopt: not valid.
bool decode_old_type(unsigned flags, OrcFormat format, OrcRule& rule) {
  const unsigned type = flags >> 8 & 3, bits = flags >> 10;
  const bool has_signal = format == OrcFormat::v2;
  const bool end = (has_signal ? bits >> 1 : bits) & 1;
  rule.signal = has_signal && (bits & 1) != 0;
  if (type > 2 || bits >> (has_signal ? 2 : 1) != 0) return false;
  if (rule.sp_reg == OrcReg::undefined) {
    rule.type = end ? OrcType::end_of_stack : OrcType::undefined;
    // What has no caller was not interrupted.
    return type == 0 && !rule.signal;
  }
  constexpr std::array<OrcType, 3> types = {OrcType::call, OrcType::regs, OrcType::regs_partial};
  rule.type = types[type];
  if (!has_signal) rule.signal = rule.type != OrcType::call;  // as unwind_next_frame() of v6.2 has it
  return !end;
}

bool decode_new_type(unsigned flags, OrcRule& rule) {
  const unsigned type = flags >> 8 & 7;
  if (type > static_cast<unsigned>(OrcType::regs_partial) || flags >> 12 != 0) return false;
  rule.type = static_cast<OrcType>(type);
  rule.signal = (flags >> 11 & 1) != 0;
  const bool leads_on = rule.type != OrcType::undefined && rule.type != OrcType::end_of_stack;
  return leads_on == (rule.sp_reg != OrcReg::undefined);
}

bool fail(std::string* why_not, std::string why) {
  if (why_not != nullptr) *why_not = std::move(why);
  return false;
}

}  // namespace

std::optional<OrcRule> decode_orc_row(Bytes bytes, OrcFormat format) {
  const std::optional<OrcRow> row = load<OrcRow>(bytes);
  if (!row) return std::nullopt;
  const unsigned flags = row->flags;
  const std::optional<OrcReg> sp = register_of(flags & 0xf, format),
                              bp = register_of(flags >> 4 & 0xf, format);
  if (!sp || !bp || *sp == OrcReg::prev_sp) return std::nullopt;
  if (*bp != OrcReg::undefined && *bp != OrcReg::prev_sp && *bp != OrcReg::bp) return std::nullopt;
  OrcRule rule;
  rule.sp_reg = *sp;
  rule.bp_reg = *bp;
  rule.sp_offset = static_cast<int16_t>(static_cast<uint16_t>(row->sp_offset));
  rule.bp_offset = static_cast<int16_t>(static_cast<uint16_t>(row->bp_offset));
  const bool old = format == OrcFormat::v1 || format == OrcFormat::v2;
  if (old ? !decode_old_type(flags, format, rule) : !decode_new_type(flags, rule)) return std::nullopt;
  return rule;
}

std::optional<OrcFormat> orc_format_of_header(Bytes header) {
  struct Known {
    std::array<uint8_t, orc_header_size> hash;
    OrcFormat format;
  };
  // SHA-1 of the format's declarations (scripts/orc_hash.sh over asm/orc_types.h). v1 has no header.
  static constexpr std::array<Known, 3> known = {
      {{{0xdb, 0x84, 0xae, 0xd4, 0x10, 0x3b, 0x31, 0xdd, 0x51, 0xe0,
         0x17, 0xf8, 0xf7, 0x97, 0x83, 0xca, 0x98, 0x5c, 0x2c, 0x51},
        OrcFormat::v2},
       {{0xfe, 0x5d, 0x32, 0xbf, 0x58, 0x1b, 0xd6, 0x3b, 0x2c, 0xa9,
         0xa5, 0xc6, 0x5b, 0xa5, 0xa6, 0x25, 0xea, 0xb3, 0xfe, 0x24},
        OrcFormat::v3},
       {{0x13, 0x7c, 0x36, 0xad, 0x76, 0x27, 0xc4, 0xdd, 0x55, 0x93,
         0x21, 0x76, 0xbb, 0x0e, 0xcd, 0xbd, 0x50, 0x41, 0xfc, 0x82},
        OrcFormat::v4}}};
  for (const Known& k : known) {
    if (std::equal(header.begin(), header.end(), k.hash.begin(), k.hash.end())) return k.format;
  }
  return std::nullopt;
}

// Formats differ in what most rows say: only in the right one are they calls. v1 and v2 alone agree on that;
// the first end-of-stack row (in the kernel's first function) or exception row tells them apart.
std::optional<OrcFormat> orc_format_of_rows(const OrcTable::Location& location, const OrcTable::Read& read) {
  constexpr uint64_t block_rows = 512, enough_rows = 1024;
  struct Candidate {
    OrcFormat format;
    uint64_t calls = 0;
  };
  std::vector<Candidate> candidates;
  for (OrcFormat format : all_formats) candidates.push_back({format});
  std::vector<uint8_t> block;
  const uint64_t count = std::min(location.count, max_rows);
  uint64_t done = 0;
  while (done < count && !candidates.empty()) {
    const uint64_t rows = std::min(block_rows, count - done);
    block.resize(rows * orc_row_size);
    if (!read(location.entries + done * orc_row_size, block)) break;
    std::erase_if(candidates, [&](Candidate& candidate) {
      for (uint64_t i = 0; i < rows; ++i) {
        const auto rule = decode_orc_row(Bytes(block).subspan(i * orc_row_size), candidate.format);
        if (!rule) return true;
        if (rule->type == OrcType::call) ++candidate.calls;
      }
      return false;
    });
    done += rows;
    if (done < std::min(count, enough_rows)) continue;
    std::erase_if(candidates, [&](const Candidate& candidate) { return candidate.calls < done / 2; });
    if (candidates.size() == 1) return candidates[0].format;
  }
  // Kernels before v4.18 marked no end of the stack: nothing but v1 has neither that nor signals.
  const bool read_all = done == count && candidates.size() == 2;
  return read_all && candidates[0].format == OrcFormat::v1 ? std::optional(OrcFormat::v1) : std::nullopt;
}

OrcTable::OrcTable(const Location& location, OrcFormat format, Read read)
    : location_(location), format_(format), read_(std::move(read)) {
  location_.count = std::min(location_.count, max_rows);
}

// A word counts from its own address.
std::optional<uint64_t> OrcTable::address(uint64_t index) const {
  const uint64_t place = location_.ips + index * sizeof(il32);
  std::array<uint8_t, sizeof(il32)> word;
  if (!read_(place, word)) return std::nullopt;
  return place + static_cast<uint64_t>(int64_t{*load<il32>(word)});
}

std::optional<OrcRule> OrcTable::find(uint64_t pc) const {
  if (!sorted_) sort();
  auto stored = [&](uint64_t position) { return order_.empty() ? position : order_[position]; };
  // The last row that begins at or below pc.
  uint64_t low = 0, high = location_.count;
  while (low < high) {
    const uint64_t middle = low + (high - low) / 2;
    const std::optional<uint64_t> begin = address(stored(middle));
    if (!begin) return std::nullopt;
    if (*begin <= pc) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  if (low == 0) return std::nullopt;
  std::array<uint8_t, orc_row_size> row;
  if (!read_(location_.entries + stored(low - 1) * orc_row_size, row)) return std::nullopt;
  return decode_orc_row(row, format_);
}

// Puts order_ in place when the rows are not in address order. Of rows for one address a terminator, which
// only closes the range before it, comes first. What cannot be read is left as stored, and find() fails
// there.
void OrcTable::sort() const {
  sorted_ = true;
  struct Key {
    uint64_t address;
    bool real;
    auto operator<=>(const Key&) const = default;
  };
  std::vector<Key> keys(location_.count);
  for (uint64_t i = 0; i < keys.size(); ++i) {
    const std::optional<uint64_t> begin = address(i);
    std::array<uint8_t, orc_row_size> row;
    if (!begin || !read_(location_.entries + i * orc_row_size, row)) return;
    const std::optional<OrcRule> rule = decode_orc_row(row, format_);
    keys[i] = {*begin, rule && rule->type != OrcType::undefined};
  }
  if (std::is_sorted(keys.begin(), keys.end())) return;
  order_.resize(keys.size());
  std::iota(order_.begin(), order_.end(), 0);
  std::sort(order_.begin(), order_.end(), [&](uint32_t a, uint32_t b) { return keys[a] < keys[b]; });
}

std::unique_ptr<OrcTable> OrcTable::from_sections(const OrcSections& sections, std::string* why_not) {
  const uint64_t count = sections.ips.size() / sizeof(il32);
  if (count == 0 || count > max_rows || sections.ips.size() % sizeof(il32) != 0 ||
      sections.entries.size() != count * orc_row_size) {
    fail(why_not, "the sections .orc_unwind_ip and .orc_unwind do not fit together");
    return nullptr;
  }
  // The rows have no run-time address of their own here: they are put behind the words.
  const Location location{sections.ip_address, sections.ip_address + sections.ips.size(), count};
  Read read = [sections](uint64_t address, MutableBytes out) {
    uint64_t offset = address - sections.ip_address;
    const bool is_entry = offset >= sections.ips.size();
    if (is_entry) offset -= sections.ips.size();
    const std::optional<Bytes> bytes =
        subspan(is_entry ? sections.entries : sections.ips, offset, out.size());
    if (bytes) std::copy(bytes->begin(), bytes->end(), out.begin());
    return bytes.has_value();
  };
  const std::optional<OrcFormat> format =
      sections.header.empty() ? orc_format_of_rows(location, read) : orc_format_of_header(sections.header);
  if (!format) {
    fail(why_not, sections.header.empty() ? "the rows of .orc_unwind fit no known format"
                                          : "the hash in .orc_header is of no known format");
    return nullptr;
  }
  auto table = std::make_unique<OrcTable>(location, *format, std::move(read));
  table->sorted_ = false;
  return table;
}

}  // namespace kdk
