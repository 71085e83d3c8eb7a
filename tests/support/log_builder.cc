// Kernel logs as the kernel leaves them in memory.
// Source: kernel/printk/printk_ringbuffer.{h,c} of v6.12; kernel/printk/printk.c of v4.19 (struct
// printk_log).
#include "tests/support/log_builder.h"

#include <algorithm>
#include <stdexcept>

namespace kdk::test {
namespace {

// struct layouts of a 64-bit v6.12 kernel
constexpr uint64_t desc_size = 24, info_size = 88, ring_size = 88, data_ring_at = 48;
constexpr uint64_t no_text_lpos = 3;  // EMPTY_LINE_LPOS
enum State : uint64_t { reserved = 0, finalized = 2, reusable = 3 };

struct Block {
  uint64_t begin = no_text_lpos, next = no_text_lpos;
};

void put_ring_keys(DumpBuilder& machine) {
  machine.size("printk_ringbuffer", ring_size);
  machine.offset("printk_ringbuffer.desc_ring", 0);
  machine.offset("printk_ringbuffer.text_data_ring", data_ring_at);
  machine.offset("printk_ringbuffer.fail", 80);
  machine.size("prb_desc_ring", 48);
  machine.offset("prb_desc_ring.count_bits", 0);
  machine.offset("prb_desc_ring.descs", 8);
  machine.offset("prb_desc_ring.infos", 16);
  machine.offset("prb_desc_ring.head_id", 24);
  machine.offset("prb_desc_ring.tail_id", 32);
  machine.size("prb_desc", desc_size);
  machine.offset("prb_desc.state_var", 0);
  machine.offset("prb_desc.text_blk_lpos", 8);
  machine.size("prb_data_blk_lpos", 16);
  machine.offset("prb_data_blk_lpos.begin", 0);
  machine.offset("prb_data_blk_lpos.next", 8);
  machine.size("printk_info", info_size);
  machine.offset("printk_info.seq", 0);
  machine.offset("printk_info.ts_nsec", 8);
  machine.offset("printk_info.text_len", 16);
  machine.offset("printk_info.caller_id", 20);
  machine.offset("printk_info.dev_info", 24);
  machine.size("dev_printk_info", 64);
  machine.offset("dev_printk_info.subsystem", 0);
  machine.length("printk_info_subsystem", 16);
  machine.offset("dev_printk_info.device", 16);
  machine.length("printk_info_device", 48);
  machine.size("prb_data_ring", 32);
  machine.offset("prb_data_ring.size_bits", 0);
  machine.offset("prb_data_ring.data", 8);
  machine.offset("prb_data_ring.head_lpos", 16);
  machine.offset("prb_data_ring.tail_lpos", 24);
  machine.size("atomic_long_t", 8);
  machine.offset("atomic_long_t.counter", 0);
}

// data_alloc(): where the next block of `text_size` bytes goes. A block that does not fit before the ring's
// end leaves that end unused and has its data at the ring's start.
Block next_block(uint64_t head, uint64_t text_size, uint64_t ring_bytes) {
  if (text_size == 0) return {};
  const uint64_t size = align_up(8 + text_size, 8);
  if (size > ring_bytes / 2) throw std::logic_error("log line too long for the ring");
  Block block{head, head + size};
  if (block.begin / ring_bytes != block.next / ring_bytes)
    block.next = align_down(block.next, ring_bytes) + size;
  return block;
}

void put_info(DumpBuilder& machine, VirtAddr info, const LogLine& line, uint64_t seq) {
  machine.put_u64(info, seq);
  machine.put_u64(info + 8, line.time_ns);
  machine.put_u16(info + 16, static_cast<uint16_t>(line.text.size()));
  machine.put_u8(info + 18, line.facility);
  machine.put_u8(info + 19, static_cast<uint8_t>(line.level << 5 | line.flags));
  machine.put_u32(info + 20, line.caller_id);
  machine.put_text(info + 24, line.subsystem.substr(0, 15));
  machine.put_text(info + 40, line.device.substr(0, 47));
}

}  // namespace

PlacedRing put_printk_ring(DumpBuilder& machine, const std::vector<LogLine>& lines,
                           const RingOptions& options) {
  if (lines.empty()) throw std::logic_error("a ring without lines is not what a kernel leaves");
  const uint64_t count = uint64_t{1} << options.count_bits, bytes = uint64_t{1} << options.size_bits;
  PlacedRing placed;
  placed.ring = machine.image_alloc(ring_size, 8);
  placed.prb_pointer = machine.image_alloc(8, 8);
  placed.descs = machine.alloc(count * desc_size, 64);
  placed.infos = machine.alloc(count * info_size, 64);
  placed.text = machine.alloc(bytes, 64);
  machine.put_u64(placed.prb_pointer, placed.ring.value);
  machine.symbol("prb", placed.prb_pointer);
  put_ring_keys(machine);

  uint64_t head_lpos = options.first_lpos;
  std::vector<Block> blocks;
  for (const LogLine& line : lines) {
    blocks.push_back(next_block(head_lpos, line.text.size(), bytes));
    if (blocks.back().begin != no_text_lpos) head_lpos = blocks.back().next;
  }
  // What is left: the newest `count` records whose text was not overwritten.
  size_t oldest = lines.size() > count ? lines.size() - count : 0;
  for (size_t i = lines.size(); i-- > oldest;) {
    if (blocks[i].begin != no_text_lpos && head_lpos - blocks[i].begin > bytes) oldest = i + 1;
  }
  uint64_t tail_lpos = head_lpos;
  for (size_t i = lines.size() > count ? lines.size() - count : 0; i < lines.size(); ++i) {
    const uint64_t id = options.first_id + i;
    const VirtAddr desc = placed.descs + id % count * desc_size;
    const bool last_open = options.last_uncommitted && i + 1 == lines.size();
    const State state = i < oldest ? reusable : last_open ? reserved : finalized;
    machine.put_u64(desc, (id & ~(uint64_t{3} << 62)) | uint64_t{state} << 62);
    machine.put_u64(desc + 8, blocks[i].begin);
    machine.put_u64(desc + 16, blocks[i].next);
    put_info(machine, placed.infos + id % count * info_size, lines[i], options.first_seq + i);
    if (i < oldest || blocks[i].begin == no_text_lpos) continue;
    tail_lpos = std::min(tail_lpos, blocks[i].begin);
    const bool wraps = blocks[i].begin / bytes != blocks[i].next / bytes;
    machine.put_u64(placed.text + blocks[i].begin % bytes, id);
    if (wraps) machine.put_u64(placed.text, id);
    machine.put_text(placed.text + (wraps ? 8 : blocks[i].begin % bytes + 8), lines[i].text);
  }
  machine.put_u32(placed.ring, options.count_bits);
  machine.put_u64(placed.ring + 8, placed.descs.value);
  machine.put_u64(placed.ring + 16, placed.infos.value);
  machine.put_u64(placed.ring + 24, options.first_id + lines.size() - 1);
  machine.put_u64(placed.ring + 32, options.first_id + std::min(oldest, lines.size() - 1));
  machine.put_u32(placed.ring + data_ring_at, options.size_bits);
  machine.put_u64(placed.ring + data_ring_at + 8, placed.text.value);
  machine.put_u64(placed.ring + data_ring_at + 16, head_lpos);
  machine.put_u64(placed.ring + data_ring_at + 24, tail_lpos);
  return placed;
}

void put_printk_log(DumpBuilder& machine, const std::vector<LogLine>& lines, uint32_t buffer_size,
                    uint32_t first_offset) {
  constexpr uint32_t header = 16;
  const VirtAddr buffer = machine.alloc(buffer_size, 64);
  uint32_t at = first_offset;
  bool wrapped = false;
  for (const LogLine& line : lines) {
    std::string dict;
    if (!line.subsystem.empty()) dict = "SUBSYSTEM=" + line.subsystem;
    if (!line.device.empty()) dict += std::string(dict.empty() ? 0 : 1, '\0') + "DEVICE=" + line.device;
    const auto length = static_cast<uint32_t>(align_up(header + line.text.size() + dict.size(), 8));
    // log_store(): a zero length at the end says that the rest is at the start.
    if (at + length + header > buffer_size) {
      machine.put_u64(buffer + at, 0);
      machine.put_u64(buffer + at + 8, 0);
      at = 0;
      wrapped = true;
    }
    if (at + length > (wrapped ? first_offset : buffer_size))
      throw std::logic_error("printk_log: buffer full");
    const VirtAddr record = buffer + at;
    machine.put_u64(record, line.time_ns);
    machine.put_u16(record + 8, static_cast<uint16_t>(length));
    machine.put_u16(record + 10, static_cast<uint16_t>(line.text.size()));
    machine.put_u16(record + 12, static_cast<uint16_t>(dict.size()));
    machine.put_u8(record + 14, line.facility);
    machine.put_u8(record + 15, static_cast<uint8_t>(line.level << 5 | line.flags));
    machine.put_text(record + header, line.text);
    machine.put_text(record + header + line.text.size(), dict);
    at += length;
  }
  const auto variable = [&](const char* name, uint64_t value, bool wide) {
    const VirtAddr va = machine.image_alloc(8, 8);
    if (wide) {
      machine.put_u64(va, value);
    } else {
      machine.put_u32(va, static_cast<uint32_t>(value));
    }
    machine.symbol(name, va);
  };
  variable("log_buf", buffer.value, true);
  variable("log_buf_len", buffer_size, false);
  variable("log_first_idx", first_offset, false);
  variable("log_next_idx", at, false);
  variable("clear_idx", 0, false);
  machine.size("printk_log", header);
  machine.offset("printk_log.ts_nsec", 0);
  machine.offset("printk_log.len", 8);
  machine.offset("printk_log.text_len", 10);
  machine.offset("printk_log.dict_len", 12);
}

}  // namespace kdk::test
