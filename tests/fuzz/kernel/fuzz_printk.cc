// Kernel logs. Input: one byte, bit 0 of which chooses the lockless ring or the record buffer; the rest is
// memory from address 0x1000 on, with the pointers and variables of VMCOREINFO at its start.
#include <cstdlib>

#include "core/kernel/printk.h"

namespace {

constexpr uint64_t base = 0x1000;

const kdk::Vmcoreinfo ring = kdk::Vmcoreinfo::parse(
    "SYMBOL(prb)=1000\nOFFSET(printk_ringbuffer.desc_ring)=0\nOFFSET(printk_ringbuffer.text_data_ring)=48\n"
    "OFFSET(prb_desc_ring.count_bits)=0\nOFFSET(prb_desc_ring.descs)=8\nOFFSET(prb_desc_ring.infos)=16\n"
    "OFFSET(prb_desc_ring.head_id)=24\nOFFSET(prb_desc_ring.tail_id)=32\nSIZE(prb_desc)=24\n"
    "OFFSET(prb_desc.state_var)=0\nOFFSET(prb_desc.text_blk_lpos)=8\nOFFSET(prb_data_blk_lpos.begin)=0\n"
    "OFFSET(prb_data_blk_lpos.next)=8\nSIZE(printk_info)=88\nOFFSET(printk_info.seq)=0\n"
    "OFFSET(printk_info.ts_nsec)=8\nOFFSET(printk_info.text_len)=16\nOFFSET(printk_info.caller_id)=20\n"
    "OFFSET(printk_info.dev_info)=24\nOFFSET(dev_printk_info.subsystem)=0\nLENGTH(printk_info_subsystem)=16\n"
    "OFFSET(dev_printk_info.device)=16\nLENGTH(printk_info_device)=48\nOFFSET(prb_data_ring.size_bits)=0\n"
    "OFFSET(prb_data_ring.data)=8\nOFFSET(atomic_long_t.counter)=0\n");

const kdk::Vmcoreinfo records = kdk::Vmcoreinfo::parse(
    "SYMBOL(log_buf)=1000\nSYMBOL(log_buf_len)=1008\nSYMBOL(log_first_idx)=100c\nSYMBOL(log_next_idx)=1010\n"
    "SIZE(printk_log)=16\nOFFSET(printk_log.ts_nsec)=0\nOFFSET(printk_log.len)=8\nOFFSET(printk_log.text_len)"
    "=10\n");

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace kdk;
  if (size == 0) return 0;
  const Bytes memory{data + 1, size - 1};
  const ReadMemory read = [&](VirtAddr va, MutableBytes out) -> ReadResult {
    const uint64_t offset = va.value - base;
    const uint64_t there = va.value >= base && offset < memory.size() ? memory.size() - offset : 0;
    const size_t n = there < out.size() ? static_cast<size_t>(there) : out.size();
    if (n > 0) std::copy_n(memory.begin() + static_cast<std::ptrdiff_t>(offset), n, out.begin());
    if (n == out.size()) return {};
    return {ReadStatus::excluded, n, va.value + n};
  };
  const KernelLog log = read_log((data[0] & 1) != 0 ? records : ring, read);
  if (log.records.empty() && log.problems.empty()) abort();
  for (const LogRecord& r : log.records) {
    for (char c : format_record(r)) {
      if (c == '\x1b') abort();  // nothing that a terminal obeys
    }
  }
  return 0;
}
