// What the two log readers share: the memory they read and the log they fill. Private to core/kernel.
#pragma once

#include <optional>

#include "core/kernel/printk.h"

namespace kdk {

// No real log is larger; a hostile one must not fill our memory.
constexpr uint64_t max_log_text_bytes = uint64_t{256} << 20;

struct LogReader {
  const Vmcoreinfo& info;
  const ReadMemory& read;
  KernelLog& log;
  uint64_t text_bytes = 0;  // collected so far, against max_log_text_bytes

  // One alignment-1 value at `address`.
  template <typename T>
  std::optional<T> load(uint64_t address) const {
    T v;
    if (!read(VirtAddr{address}, {reinterpret_cast<uint8_t*>(&v), sizeof v})) return std::nullopt;
    return v;
  }
  std::optional<uint64_t> pointer(uint64_t address) const {
    const auto v = load<ul64>(address);
    return v ? std::optional<uint64_t>(*v) : std::nullopt;
  }
  void problem(std::string sentence) { log.problems.push_back(std::move(sentence)); }
  // A VMCOREINFO value the format cannot be read without. Throws Error{missing} naming the key.
  uint64_t offset(std::string_view type_member) const;
  uint64_t size(std::string_view type) const;
};

// Lockless ring buffer (printk_ring.cc) and older record buffer (printk_records.cc). Throw Error when the log
// as a whole cannot be read.
void read_printk_ring(LogReader& reader);
void read_printk_records(LogReader& reader);

}  // namespace kdk
