// The lockless ring buffer of v5.10 and later, read as the kernel's own reader does
// (kernel/printk/printk_ringbuffer.c: desc_read, get_data, copy_data), but without believing anything.
//
// Descriptor n of the ring holds record id n, n + count, ...; its state variable says which id and whether
// the writer had finished. The text is a block in the data ring: the id again (8 bytes), then the text, at
// logical positions begin..next that only ever grow; position modulo ring size is the place.
#include <fmt/format.h>

#include <algorithm>

#include "core/kernel/printk_reader.h"

namespace kdk {
namespace {

constexpr uint32_t max_count_bits = 20, max_size_bits = 30;
constexpr uint64_t id_mask = ~(uint64_t{3} << 62);
constexpr uint64_t block_id_bytes = 8;
// Odd positions have no data block: 1 where there was no room (the text is lost), 3 where there was no text.
constexpr uint64_t lpos_empty_line = 3;
constexpr uint8_t flag_cont = 8;         // LOG_CONT, include/linux/printk.h's enum printk_info_flags
constexpr size_t max_info_bytes = 4096;  // struct printk_info is 88

enum class DescState : uint8_t { reserved = 0, committed = 1, finalized = 2, reusable = 3 };

struct Desc {
  uint64_t id = 0;
  DescState state = DescState::reusable;
  uint64_t begin = 0, next = 0;
};

class Ring {
 public:
  explicit Ring(LogReader& reader) : reader_(reader) { find(); }
  void read();

 private:
  enum class Outcome : uint8_t { shown, nothing, lost, unreadable };

  void find();
  std::optional<Desc> desc(uint64_t index) const;
  Outcome add_record(const Desc& desc);
  std::optional<std::string> text(const Desc& desc, std::optional<uint64_t> length, bool& truncated);
  void count(Outcome outcome);
  void salvage(const std::string& why);
  void report();

  LogReader& reader_;
  uint64_t descs_ = 0, infos_ = 0, data_ = 0;  // addresses
  uint64_t count_ = 0, data_size_ = 0;         // descriptors; bytes of the data ring. Powers of two.
  uint64_t head_id_ = 0, tail_id_ = 0;
  // struct layouts, bytes
  uint64_t desc_size_ = 0, state_var_ = 0, lpos_begin_ = 0, lpos_next_ = 0;
  uint64_t info_size_ = 0, seq_ = 0, ts_nsec_ = 0, text_len_ = 0, caller_id_ = 0;
  bool level_known_ = false;
  struct Text {
    uint64_t offset = 0, length = 0;
  };
  Text subsystem_, device_;  // inside struct printk_info
  uint64_t lost_ = 0, unreadable_ = 0;
};

void Ring::find() {
  const LogReader& r = reader_;
  const uint64_t counter = r.offset("atomic_long_t.counter");
  const std::optional<uint64_t> prb = r.pointer(*r.info.symbol("prb"));
  if (!prb) throw Error(Errc::fault, "the pointer prb is not in the dump", *r.info.symbol("prb"));
  const uint64_t desc_ring = *prb + r.offset("printk_ringbuffer.desc_ring");
  const uint64_t data_ring = *prb + r.offset("printk_ringbuffer.text_data_ring");

  auto number = [&](auto value, std::string_view what) -> uint64_t {
    if (!value) throw Error(Errc::fault, fmt::format("{} is not in the dump", what), desc_ring);
    return *value;
  };
  const uint64_t count_bits =
      number(r.load<ul32>(desc_ring + r.offset("prb_desc_ring.count_bits")), "count_bits");
  const uint64_t size_bits =
      number(r.load<ul32>(data_ring + r.offset("prb_data_ring.size_bits")), "size_bits");
  if (count_bits == 0 || count_bits > max_count_bits || size_bits < 4 || size_bits > max_size_bits) {
    throw Error(Errc::format,
                fmt::format("impossible ring sizes: count_bits {}, size_bits {}", count_bits, size_bits));
  }
  count_ = uint64_t{1} << count_bits;
  data_size_ = uint64_t{1} << size_bits;
  descs_ = number(r.pointer(desc_ring + r.offset("prb_desc_ring.descs")), "descs");
  infos_ = number(r.pointer(desc_ring + r.offset("prb_desc_ring.infos")), "infos");
  data_ = number(r.pointer(data_ring + r.offset("prb_data_ring.data")), "data");
  head_id_ = number(r.pointer(desc_ring + r.offset("prb_desc_ring.head_id") + counter), "head_id") & id_mask;
  tail_id_ = number(r.pointer(desc_ring + r.offset("prb_desc_ring.tail_id") + counter), "tail_id") & id_mask;

  desc_size_ = r.size("prb_desc");
  state_var_ = r.offset("prb_desc.state_var") + counter;
  lpos_begin_ = r.offset("prb_desc.text_blk_lpos") + r.offset("prb_data_blk_lpos.begin");
  lpos_next_ = r.offset("prb_desc.text_blk_lpos") + r.offset("prb_data_blk_lpos.next");

  info_size_ = r.size("printk_info");
  if (info_size_ > max_info_bytes)
    throw Error(Errc::format, fmt::format("SIZE(printk_info) is {}", info_size_));
  seq_ = r.offset("printk_info.seq");
  ts_nsec_ = r.offset("printk_info.ts_nsec");
  text_len_ = r.offset("printk_info.text_len");
  caller_id_ = r.offset("printk_info.caller_id");
  // facility and flags:5 level:3 have no keys: they are the two bytes between text_len and caller_id.
  level_known_ = caller_id_ == text_len_ + 4;
  if (!level_known_) reader_.problem("struct printk_info has an unknown form: log levels are not known");
  if (const auto dev_info = r.info.offset("printk_info.dev_info")) {
    auto part = [&](std::string_view member, std::string_view length) {
      const auto at = r.info.offset(member), bytes = r.info.length(length);
      return at && bytes ? Text{*dev_info + *at, *bytes} : Text{};
    };
    subsystem_ = part("dev_printk_info.subsystem", "printk_info_subsystem");
    device_ = part("dev_printk_info.device", "printk_info_device");
  }
}

std::optional<Desc> Ring::desc(uint64_t index) const {
  const uint64_t at = descs_ + index * desc_size_;
  const auto state = reader_.pointer(at + state_var_);
  const auto begin = reader_.pointer(at + lpos_begin_), next = reader_.pointer(at + lpos_next_);
  if (!state || !begin || !next) return std::nullopt;
  return Desc{*state & id_mask, static_cast<DescState>(*state >> 62), *begin, *next};
}

// The text of a record; nullopt when it is lost. `length` nullopt: the writer had not said yet, so up to the
// first NUL.
std::optional<std::string> Ring::text(const Desc& d, std::optional<uint64_t> length, bool& truncated) {
  const bool dataless = (d.begin & 1) != 0 && (d.next & 1) != 0;
  if (dataless) {
    if (d.begin == lpos_empty_line && d.next == lpos_empty_line && length.value_or(0) == 0)
      return std::string();
    return std::nullopt;
  }
  if (d.begin % block_id_bytes != 0 || d.next % block_id_bytes != 0) return std::nullopt;
  // A block that would cross the end of the ring is placed at its start instead. `next - 1`, because since
  // Linux commit 67e1b0052f6b ("printk_ringbuffer: don't needlessly wrap data blocks around") a block may end
  // exactly at the end; in older kernels that never happens, so one rule serves all.
  const uint64_t begin_lap = d.begin / data_size_, end_lap = (d.next - 1) / data_size_;
  uint64_t place = 0, size = 0;
  // Positions start just below 2^64 and pass through 0: only differences count.
  const uint64_t distance = d.next - d.begin;
  if (begin_lap == end_lap && distance != 0 && distance <= data_size_) {
    place = d.begin % data_size_;
    size = distance;
  } else if ((d.begin + data_size_) / data_size_ == end_lap) {
    size = (d.next - 1) % data_size_ + 1;
  } else {
    return std::nullopt;
  }
  if (size < block_id_bytes) return std::nullopt;
  const auto block_id = reader_.pointer(data_ + place);
  if (!block_id || *block_id != d.id) return std::nullopt;

  const uint64_t room = size - block_id_bytes;
  constexpr uint64_t max_text = UINT16_MAX;  // text_len is 16 bits wide
  uint64_t bytes = std::min(length.value_or(max_text), std::min(room, max_text));
  truncated = length && *length > bytes;
  std::string out(bytes, '\0');
  const ReadResult r = reader_.read(VirtAddr{data_ + place + block_id_bytes},
                                    {reinterpret_cast<uint8_t*>(out.data()), out.size()});
  if (!r) {
    truncated = true;
    out.resize(std::min<size_t>(r.bytes, out.size()));
    if (out.empty()) return std::nullopt;
  }
  if (!length) out.resize(std::min(out.find('\0'), out.size()));
  return out;
}

Ring::Outcome Ring::add_record(const Desc& d) {
  if (d.state == DescState::reusable) return Outcome::nothing;
  const bool incomplete = d.state == DescState::reserved;
  std::vector<uint8_t> raw(info_size_);
  if (!reader_.read(VirtAddr{infos_ + d.id % count_ * info_size_}, raw)) {
    return Outcome::unreadable;
  }
  LogRecord record;
  record.incomplete = incomplete;
  record.seq = load<ul64>(raw, seq_).value_or(0);
  record.time_ns = load<ul64>(raw, ts_nsec_).value_or(0);
  record.caller_id = load<ul32>(raw, caller_id_).value_or(0);
  if (level_known_) {
    const uint8_t flags = load<uint8_t>(raw, text_len_ + 3).value_or(0);
    record.facility = load<uint8_t>(raw, text_len_ + 2).value_or(0);
    record.level = flags >> 5;
    record.continuation = (flags & flag_cont) != 0;
  }
  auto fixed_text = [&](const Text& t) {
    const auto bytes = subspan(raw, t.offset, t.length);
    const std::string_view view = bytes ? as_text(*bytes) : std::string_view();
    return std::string(view.substr(0, view.find('\0')));
  };
  record.subsystem = fixed_text(subsystem_);
  record.device = fixed_text(device_);

  std::optional<uint64_t> length;
  if (const uint16_t said = load<ul16>(raw, text_len_).value_or(0); said != 0 || !incomplete) length = said;
  std::optional<std::string> body = text(d, length, record.truncated);
  if (!body) return Outcome::lost;
  // A writer that stopped before its first character left nothing to show.
  if (incomplete && body->empty()) return Outcome::nothing;
  reader_.text_bytes += body->size();
  record.text = std::move(*body);
  reader_.log.records.push_back(std::move(record));
  return Outcome::shown;
}

void Ring::count(Outcome outcome) {
  if (outcome == Outcome::lost) ++lost_;
  if (outcome == Outcome::unreadable) ++unreadable_;
}

void Ring::read() {
  const uint64_t span = (head_id_ - tail_id_) & id_mask;
  if (span >= count_) {
    salvage(fmt::format("head_id {:#x} and tail_id {:#x} do not belong together", head_id_, tail_id_));
    return;
  }
  uint64_t strangers = 0;
  for (uint64_t i = 0; i <= span && reader_.text_bytes < max_log_text_bytes; ++i) {
    const uint64_t id = (tail_id_ + i) & id_mask;
    const std::optional<Desc> d = desc(id % count_);
    if (d && d->id != id) {
      ++strangers;
    } else {
      count(d ? add_record(*d) : Outcome::unreadable);
    }
  }
  if (reader_.log.records.empty() && strangers > 0) {
    salvage(
        fmt::format("no descriptor between tail_id {:#x} and head_id {:#x} is in use", tail_id_, head_id_));
    return;
  }
  report();
}

// The ring's own account of itself is damaged: every descriptor that is consistent in itself counts, in order
// of seq.
void Ring::salvage(const std::string& why) {
  reader_.problem(fmt::format("the log's ring is damaged ({}): records were searched one by one", why));
  lost_ = unreadable_ = 0;
  for (uint64_t index = 0; index < count_ && reader_.text_bytes < max_log_text_bytes; ++index) {
    const std::optional<Desc> d = desc(index);
    const bool blank = d && d->id == 0 && d->state == DescState::reserved;  // memory full of zeros
    if (!d) {
      count(Outcome::unreadable);
    } else if (d->id % count_ == index && !blank) {
      count(add_record(*d));
    }
  }
  std::stable_sort(reader_.log.records.begin(), reader_.log.records.end(),
                   [](const LogRecord& a, const LogRecord& b) { return a.seq < b.seq; });
  report();
}

void Ring::report() {
  const std::vector<LogRecord>& records = reader_.log.records;
  constexpr int max_gaps = 8;
  int gaps = 0;
  for (size_t i = 1; i < records.size(); ++i) {
    const uint64_t expected = records[i - 1].seq + 1, found = records[i].seq;
    if (found == expected) continue;
    if (++gaps > max_gaps) continue;
    if (found > expected) {
      reader_.problem(found == expected + 1
                          ? fmt::format("log record {} is missing", expected)
                          : fmt::format("log records {} to {} are missing", expected, found - 1));
    } else {
      reader_.problem(fmt::format("log record {} follows record {}", found, expected - 1));
    }
  }
  if (gaps > max_gaps) reader_.problem(fmt::format("{} more gaps in the log", gaps - max_gaps));
  if (unreadable_ > 0)
    reader_.problem(fmt::format("{} log records are in memory that cannot be read", unreadable_));
  if (lost_ > 0) reader_.problem(fmt::format("the text of {} log records is lost or overwritten", lost_));
  if (reader_.text_bytes >= max_log_text_bytes) reader_.problem("the log is larger than any real one: cut");
}

}  // namespace

void read_printk_ring(LogReader& reader) {
  Ring(reader).read();
}

}  // namespace kdk
