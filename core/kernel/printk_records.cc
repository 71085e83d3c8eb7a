// The record buffer of v3.5 to v5.9 (kernel/printk/printk.c of those kernels): records of varying length one
// after the other in log_buf, the oldest at log_first_idx, the next to be written at log_next_idx. A record
// is
//   struct printk_log { u64 ts_nsec; u16 len, text_len, dict_len; u8 facility; u8 flags:5, level:3; [u32
//   caller_id;] }
// (struct log before v3.11), the text, and a dictionary of NUL-separated KEY=value. len 0: go on at the
// start.
#include <fmt/format.h>

#include <algorithm>

#include "core/kernel/printk_reader.h"

namespace kdk {
namespace {

constexpr uint64_t max_buffer_bytes = uint64_t{1} << 31;  // log_buf_len=
constexpr uint64_t max_header_bytes = 64;                 // struct printk_log is 16 to 24
constexpr uint8_t flag_cont = 8;                          // LOG_CONT

class Records {
 public:
  explicit Records(LogReader& reader) : reader_(reader) { find(); }
  void read();

 private:
  void find();
  uint32_t variable(std::string_view symbol) const;
  // Appends the record at `index`; the distance to the next, 0 for "go on at the start". Throws Error when it
  // is not one.
  uint64_t read_one(uint64_t index);

  LogReader& reader_;
  uint64_t buffer_ = 0, length_ = 0;  // address, bytes
  uint64_t first_ = 0, next_ = 0;     // offsets into it
  uint64_t header_ = 0, ts_nsec_ = 0, len_ = 0, text_len_ = 0, dict_len_ = 0;
  std::optional<uint64_t> caller_id_;
  uint64_t seq_ = 0;  // the kernel's own number is not in VMCOREINFO: counted from the oldest record
};

uint32_t Records::variable(std::string_view symbol) const {
  const std::optional<uint64_t> address = reader_.info.symbol(symbol);
  if (!address) throw Error(Errc::missing, fmt::format("VMCOREINFO has no SYMBOL({})", symbol));
  const auto value = reader_.load<ul32>(*address);
  if (!value) throw Error(Errc::fault, fmt::format("the variable {} is not in the dump", symbol), *address);
  return *value;
}

void Records::find() {
  const LogReader& r = reader_;
  const std::optional<uint64_t> buffer = r.pointer(*r.info.symbol("log_buf"));
  if (!buffer) throw Error(Errc::fault, "the pointer log_buf is not in the dump", *r.info.symbol("log_buf"));
  buffer_ = *buffer;
  length_ = variable("log_buf_len");
  first_ = variable("log_first_idx");
  next_ = variable("log_next_idx");

  const std::string name = r.info.size("printk_log") ? "printk_log" : "log";
  header_ = r.size(name);
  ts_nsec_ = r.offset(name + ".ts_nsec");
  len_ = r.offset(name + ".len");
  text_len_ = r.offset(name + ".text_len");
  // Not every kernel has the key; the member always follows text_len.
  dict_len_ = r.info.offset(name + ".dict_len").value_or(text_len_ + 2);
  caller_id_ = r.info.offset(name + ".caller_id");
  if (header_ < 16 || header_ > max_header_bytes)
    throw Error(Errc::format, fmt::format("SIZE({}) is {}", name, header_));
  if (length_ < header_ || length_ > max_buffer_bytes) {
    throw Error(Errc::format, fmt::format("log_buf_len is {}", length_));
  }
  if (first_ >= length_ || next_ > length_) {
    throw Error(Errc::format, fmt::format("log_first_idx {} and log_next_idx {} with log_buf_len {}", first_,
                                          next_, length_));
  }
}

uint64_t Records::read_one(uint64_t index) {
  const uint64_t address = buffer_ + index;
  std::vector<uint8_t> header(header_);
  if (header_ > length_ - index) return 0;  // no room for a header: the kernel went on at the start
  if (!reader_.read(VirtAddr{address}, header)) throw Error(Errc::fault, "not in the dump", address);
  const uint64_t len = load<ul16>(header, len_).value_or(0);
  const uint64_t text_len = load<ul16>(header, text_len_).value_or(0);
  const uint64_t dict_len = load<ul16>(header, dict_len_).value_or(0);
  if (len == 0) return 0;
  if (len < header_ || len > length_ - index) {
    throw Error(Errc::format, fmt::format("a record of {} bytes", len), address);
  }
  LogRecord record;
  record.seq = seq_++;
  record.time_ns = load<ul64>(header, ts_nsec_).value_or(0);
  record.facility = load<uint8_t>(header, dict_len_ + 2).value_or(0);
  const uint8_t flags = load<uint8_t>(header, dict_len_ + 3).value_or(0);
  record.level = flags >> 5;
  record.continuation = (flags & flag_cont) != 0;
  if (caller_id_) record.caller_id = load<ul32>(header, *caller_id_).value_or(0);

  std::string body(len - header_, '\0');
  const ReadResult r =
      reader_.read(VirtAddr{address + header_}, {reinterpret_cast<uint8_t*>(body.data()), body.size()});
  if (!r) body.resize(std::min<size_t>(r.bytes, body.size()));
  record.truncated = text_len > body.size();
  record.text = body.substr(0, text_len);
  std::string_view dict = std::string_view(body).substr(record.text.size()).substr(0, dict_len);
  while (!dict.empty()) {
    const size_t end = std::min(dict.find('\0'), dict.size());
    const std::string_view entry = dict.substr(0, end);
    if (entry.starts_with("SUBSYSTEM=")) record.subsystem = entry.substr(10);
    if (entry.starts_with("DEVICE=")) record.device = entry.substr(7);
    dict.remove_prefix(std::min(end + 1, dict.size()));
  }
  reader_.text_bytes += record.text.size();
  reader_.log.records.push_back(std::move(record));
  return len;
}

void Records::read() {
  bool wrapped = first_ < next_;  // then everything is on this side of the end
  uint64_t index = first_;
  // Records are at least a header long and the walk passes the buffer's end once: it ends.
  while (!(wrapped && index >= next_) && reader_.text_bytes < max_log_text_bytes) {
    uint64_t step = 0;
    bool broken = false;
    try {
      step = index < length_ ? read_one(index) : 0;
    } catch (const Error& e) {
      broken = true;
      // The chain is broken. Of two halves, the newer one begins at the start of the buffer.
      reader_.problem(
          fmt::format("log record at log_buf+{}: {}{}", index, e.message(),
                      wrapped ? ": the records after it are lost" : ": records are missing after it"));
    }
    if (step != 0) {
      index += step;
    } else if (!wrapped) {
      wrapped = true;
      index = 0;
    } else {
      if (!broken)
        reader_.problem(fmt::format("the log ends at log_buf+{}, before log_next_idx {}", index, next_));
      break;
    }
  }
  if (wrapped && index > next_) reader_.problem("the log's last record reaches beyond log_next_idx");
}

}  // namespace

void read_printk_records(LogReader& reader) {
  Records(reader).read();
}

}  // namespace kdk
