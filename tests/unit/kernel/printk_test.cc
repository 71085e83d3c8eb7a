// Both log formats, laid out by hand in a flat memory so that every field can be wrong on purpose.
#include "core/kernel/printk.h"

#include <gtest/gtest.h>

#include <map>

namespace kdk {
namespace {

// Blocks of memory; what is in no block cannot be read.
class FakeMemory {
 public:
  void put(uint64_t address, std::vector<uint8_t> bytes) { blocks_[address] = std::move(bytes); }
  std::vector<uint8_t>& block(uint64_t address) { return blocks_.at(address); }
  ReadMemory reader() const {
    return [this](VirtAddr va, MutableBytes out) -> ReadResult {
      auto it = blocks_.upper_bound(va.value);
      if (it == blocks_.begin()) return {ReadStatus::excluded, 0, va.value};
      --it;
      const uint64_t offset = va.value - it->first;
      const uint64_t there = offset < it->second.size() ? it->second.size() - offset : 0;
      const size_t n = std::min<uint64_t>(there, out.size());
      std::copy_n(it->second.begin() + static_cast<std::ptrdiff_t>(n != 0 ? offset : 0), n, out.begin());
      if (n == out.size()) return {};
      return {ReadStatus::excluded, n, va.value + n};
    };
  }

 private:
  std::map<uint64_t, std::vector<uint8_t>> blocks_;
};

std::vector<std::string> texts(const KernelLog& log) {
  std::vector<std::string> out;
  for (const LogRecord& r : log.records) out.push_back(r.text);
  return out;
}
using Texts = std::vector<std::string>;

// A lockless ring with v6.12's layout: 8 descriptors, 128 bytes of text.
class Ring {
 public:
  static constexpr uint64_t prb = 0x1000, ring = 0x2000, descs = 0x3000, infos = 0x4000, data = 0x5000;
  static constexpr uint64_t count = 8, size = 128, info_size = 88;
  static constexpr uint64_t committed = 1, finalized = 2, reserved = 0, reusable = 3;

  Ring() {
    memory.put(prb, std::vector<uint8_t>(8));
    memory.put(ring, std::vector<uint8_t>(88));
    memory.put(descs, std::vector<uint8_t>(count * 24));
    memory.put(infos, std::vector<uint8_t>(count * info_size));
    memory.put(data, std::vector<uint8_t>(size));
    u64(prb, 0, ring);
    u32(ring, 0, 3);
    u64(ring, 8, descs);
    u64(ring, 16, infos);
    u32(ring, 48, 7);
    u64(ring, 56, data);
    for (uint64_t id = count; id < 2 * count; ++id) desc(id, reusable, 0, 0);
    set_ends(count, count);
  }
  void u64(uint64_t block, uint64_t at, uint64_t v) { store<ul64>(memory.block(block), at, v); }
  void u32(uint64_t block, uint64_t at, uint32_t v) { store<ul32>(memory.block(block), at, v); }
  void set_ends(uint64_t tail, uint64_t head) {
    u64(ring, 24, head);
    u64(ring, 32, tail);
  }
  void desc(uint64_t id, uint64_t state, uint64_t begin, uint64_t next) {
    u64(descs, id % count * 24, state << 62 | id);
    u64(descs, id % count * 24 + 8, begin);
    u64(descs, id % count * 24 + 16, next);
  }
  void info(uint64_t id, uint64_t seq, uint16_t text_len, uint8_t level = 6, uint8_t flags = 2) {
    const uint64_t at = id % count * info_size;
    u64(infos, at, seq);
    u64(infos, at + 8, seq * 1'000'000'000);
    store<ul16>(memory.block(infos), at + 16, text_len);
    memory.block(infos)[at + 18] = 3;  // facility
    memory.block(infos)[at + 19] = static_cast<uint8_t>(level << 5 | flags);
    u32(infos, at + 20, 0x80000001);
  }
  void text(uint64_t offset, uint64_t id, std::string_view s) {
    u64(data, offset, id);
    std::copy(s.begin(), s.end(), memory.block(data).begin() + static_cast<std::ptrdiff_t>(offset + 8));
  }
  // A whole record whose block does not wrap.
  void record(uint64_t id, std::string_view s, uint64_t begin, uint64_t state = finalized) {
    desc(id, state, begin, begin + 8 + align_up(s.size(), 8));
    info(id, id - count, static_cast<uint16_t>(s.size()));
    text(begin % size, id, s);
  }
  KernelLog read() const { return read_log(Vmcoreinfo::parse(keys), memory.reader()); }

  FakeMemory memory;
  std::string keys =
      "SYMBOL(prb)=1000\nOFFSET(printk_ringbuffer.desc_ring)=0\nOFFSET(printk_ringbuffer.text_data_ring)=48\n"
      "OFFSET(prb_desc_ring.count_bits)=0\nOFFSET(prb_desc_ring.descs)=8\nOFFSET(prb_desc_ring.infos)=16\n"
      "OFFSET(prb_desc_ring.head_id)=24\nOFFSET(prb_desc_ring.tail_id)=32\nSIZE(prb_desc)=24\n"
      "OFFSET(prb_desc.state_var)=0\nOFFSET(prb_desc.text_blk_lpos)=8\nOFFSET(prb_data_blk_lpos.begin)=0\n"
      "OFFSET(prb_data_blk_lpos.next)=8\nSIZE(printk_info)=88\nOFFSET(printk_info.seq)=0\n"
      "OFFSET(printk_info.ts_nsec)=8\nOFFSET(printk_info.text_len)=16\nOFFSET(printk_info.caller_id)=20\n"
      "OFFSET(printk_info.dev_info)=24\nOFFSET(dev_printk_info.subsystem)=0\nLENGTH(printk_info_subsystem)="
      "16\n"
      "OFFSET(dev_printk_info.device)=16\nLENGTH(printk_info_device)=48\nOFFSET(prb_data_ring.size_bits)=0\n"
      "OFFSET(prb_data_ring.data)=8\nOFFSET(atomic_long_t.counter)=0\n";
};

TEST(PrintkRing, ReadsRecordsWithTheirFacts) {
  Ring r;
  r.record(8, "Booting Linux", 0);
  r.record(9, "two\nlines", 24);
  r.record(10, "", 56, Ring::committed);
  r.desc(10, Ring::committed, 3, 3);  // an empty line has no block
  r.info(9, 1, 9, 0, 8);
  auto dev = r.memory.block(Ring::infos).begin() + 1 * 88 + 24;
  std::copy_n("pci", 4, dev);
  std::copy_n("+pci:0000:00:01.0", 18, dev + 16);
  r.set_ends(8, 10);
  const KernelLog log = r.read();
  EXPECT_EQ(log.source, "printk_ringbuffer");
  EXPECT_EQ(log.problems, Texts{});
  ASSERT_EQ(texts(log), (Texts{"Booting Linux", "two\nlines", ""}));
  EXPECT_EQ(log.records[0].level, 6);
  EXPECT_EQ(log.records[0].facility, 3);
  EXPECT_EQ(log.records[0].caller_id, 0x80000001u);
  EXPECT_FALSE(log.records[0].continuation);
  EXPECT_EQ(log.records[1].seq, 1u);
  EXPECT_EQ(log.records[1].time_ns, 1'000'000'000u);
  EXPECT_EQ(log.records[1].level, 0);
  EXPECT_TRUE(log.records[1].continuation);
  EXPECT_EQ(log.records[1].subsystem, "pci");
  EXPECT_EQ(log.records[1].device, "+pci:0000:00:01.0");
}

TEST(PrintkRing, ReadsBlocksThatWrap) {
  Ring r;
  // begin at 104 of 128, 8 + 24 bytes do not fit: the block is at the start of the next lap.
  r.desc(8, Ring::finalized, 104, 128 + 32);
  r.info(8, 0, 20);
  r.text(0, 8, "twenty characters ab");
  r.record(9, "after", 128 + 32);
  r.set_ends(8, 9);
  const KernelLog log = r.read();
  EXPECT_EQ(texts(log), (Texts{"twenty characters ab", "after"}));
  EXPECT_EQ(log.problems, Texts{});
}

TEST(PrintkRing, ReadsABlockThatEndsExactlyAtTheEnd) {
  Ring r;
  r.record(8, "0123456789abcdef", 104);  // 104 + 8 + 16 == 128
  r.set_ends(8, 8);
  const KernelLog log = r.read();
  EXPECT_EQ(texts(log), (Texts{"0123456789abcdef"}));
  EXPECT_EQ(log.problems, Texts{});
}

TEST(PrintkRing, PositionsMayCountThroughZero) {
  Ring r;
  r.record(8, "before zero", 0 - uint64_t{24});
  r.record(9, "after zero", 0);
  r.set_ends(8, 9);
  EXPECT_EQ(texts(r.read()), (Texts{"before zero", "after zero"}));
}

TEST(PrintkRing, ShowsAnUncommittedRecordAsIncomplete) {
  Ring r;
  r.record(8, "whole", 0);
  r.record(9, "Unable to handle", 16, Ring::reserved);
  r.info(9, 1, 0);                              // the length comes after the text
  r.memory.block(Ring::data)[16 + 8 + 14] = 0;  // vsnprintf's NUL
  r.desc(10, Ring::reserved, 40, 56);           // reserved, and nothing written
  r.text(40, 10, std::string_view("\0old", 4));
  r.info(10, 2, 0);
  r.set_ends(8, 10);
  const KernelLog log = r.read();
  EXPECT_EQ(texts(log), (Texts{"whole", "Unable to hand"}));
  EXPECT_FALSE(log.records[0].incomplete);
  EXPECT_TRUE(log.records[1].incomplete);
}

TEST(PrintkRing, ReportsGapsAndLostText) {
  Ring r;
  r.record(8, "a", 0);
  r.record(9, "b", 16);
  r.record(10, "c", 32);
  r.record(11, "d", 48);
  r.record(12, "e", 64);
  r.text(16, 77, "b");                                   // the block belongs to another id
  r.desc(10, Ring::finalized, 1, 1);                     // FAILED_LPOS: no room for the text
  r.desc(11, Ring::finalized, 48, 48 + 4 * Ring::size);  // spans laps
  r.set_ends(8, 12);
  const KernelLog log = r.read();
  EXPECT_EQ(texts(log), (Texts{"a", "e"}));
  EXPECT_EQ(log.problems,
            (Texts{"log records 1 to 3 are missing", "the text of 3 log records is lost or overwritten"}));
}

TEST(PrintkRing, RefusesBlocksThatAreNotOnes) {
  const std::pair<uint64_t, uint64_t> bad[] = {{4, 24}, {0, 20}, {16, 16}, {32, 16}, {0, 0}, {1, 16}, {0, 3}};
  for (auto [begin, next] : bad) {
    Ring r;
    r.record(8, "a", 0);
    r.desc(8, Ring::finalized, begin, next);
    r.set_ends(8, 8);
    const KernelLog log = r.read();
    EXPECT_EQ(texts(log), Texts{}) << begin << ".." << next;
    EXPECT_EQ(log.problems.size(), 1u) << begin << ".." << next;
  }
}

TEST(PrintkRing, ClampsALengthLargerThanItsBlock) {
  Ring r;
  r.record(8, "abc", 0);
  r.info(8, 0, 500);
  r.set_ends(8, 8);
  const KernelLog log = r.read();
  ASSERT_EQ(log.records.size(), 1u);
  EXPECT_TRUE(log.records[0].truncated);
  EXPECT_EQ(log.records[0].text, std::string("abc\0\0\0\0\0", 8));
}

TEST(PrintkRing, SalvagesWhenTheEndsMakeNoSense) {
  for (auto [tail, head] : {std::pair<uint64_t, uint64_t>{0x123456, 8}, {0, 0x7777}, {800, 803}}) {
    Ring r;
    r.record(14, "newest", 72);
    r.record(12, "older", 24);
    r.record(13, "newer", 48);
    r.set_ends(tail, head);
    const KernelLog log = r.read();
    EXPECT_EQ(texts(log), (Texts{"older", "newer", "newest"}));
    ASSERT_EQ(log.problems.size(), 1u);
    EXPECT_NE(log.problems[0].find("damaged"), std::string::npos);
  }
}

TEST(PrintkRing, GoesOnWithoutPagesThatAreNotThere) {
  Ring r;
  for (uint64_t id = 8; id < 12; ++id)
    r.record(id, std::string(1, static_cast<char>('a' + id - 8)), (id - 8) * 16);
  r.set_ends(8, 11);
  Ring no_infos = r;
  no_infos.memory.block(Ring::infos).resize(2 * Ring::info_size);
  KernelLog log = no_infos.read();
  EXPECT_EQ(texts(log), (Texts{"a", "b"}));
  EXPECT_EQ(log.problems, (Texts{"2 log records are in memory that cannot be read"}));
  Ring no_descs = r;
  no_descs.memory.block(Ring::descs).resize(3 * 24);
  EXPECT_EQ(texts(no_descs.read()), (Texts{"a", "b", "c"}));
  Ring no_text = r;
  no_text.memory.block(Ring::data).resize(16 + 8);
  EXPECT_EQ(texts(no_text.read()), (Texts{"a"}));
}

TEST(PrintkRing, SaysWhyNothingCanBeRead) {
  Ring r;
  EXPECT_EQ(r.read().problems, (Texts{"the kernel log holds no record"}));
  Ring wide;
  wide.u32(Ring::ring, 0, 40);
  EXPECT_EQ(wide.read().problems,
            (Texts{"the kernel log cannot be read: impossible ring sizes: count_bits 40, size_bits 7"}));
  Ring cut;
  cut.keys.erase(cut.keys.find("SIZE(printk_info)"), 21);
  EXPECT_EQ(cut.read().problems,
            (Texts{"the kernel log cannot be read: VMCOREINFO has no SIZE(printk_info)"}));
  Ring lost;
  lost.keys.replace(lost.keys.find("=1000"), 5, "=9000");
  EXPECT_EQ(lost.read().problems,
            (Texts{"the kernel log cannot be read: the pointer prb is not in the dump"}));
  const KernelLog none = read_log(Vmcoreinfo(), FakeMemory().reader());
  EXPECT_TRUE(none.records.empty());
  EXPECT_EQ(none.source, "");
  EXPECT_EQ(none.problems.size(), 1u);
}

TEST(PrintkRing, UnknownInfoLayoutLeavesLevelsOut) {
  Ring r;
  r.record(8, "a", 0);
  r.set_ends(8, 8);
  r.keys.replace(r.keys.find("caller_id)=20"), 13, "caller_id)=24");
  const KernelLog log = r.read();
  EXPECT_EQ(log.records.at(0).level, 0);
  EXPECT_EQ(log.problems, (Texts{"struct printk_info has an unknown form: log levels are not known"}));
}

// struct printk_log records.
class Records {
 public:
  static constexpr uint64_t buffer = 0x8000;
  explicit Records(uint32_t size) {
    memory.put(0x1000, std::vector<uint8_t>(8));
    memory.put(0x1010, std::vector<uint8_t>(4));
    memory.put(0x1020, std::vector<uint8_t>(4));
    memory.put(0x1030, std::vector<uint8_t>(4));
    memory.put(buffer, std::vector<uint8_t>(size));
    store<ul64>(memory.block(0x1000), 0, buffer);
    store<ul32>(memory.block(0x1010), 0, size);
  }
  void ends(uint32_t first, uint32_t next) {
    store<ul32>(memory.block(0x1020), 0, first);
    store<ul32>(memory.block(0x1030), 0, next);
  }
  // Returns where the next one goes.
  uint32_t put(uint32_t at, std::string_view text, std::string_view dict = {}, uint8_t level = 6) {
    const auto len = static_cast<uint16_t>(align_up(16 + text.size() + dict.size(), 8));
    auto& b = memory.block(buffer);
    store<ul64>(b, at, uint64_t{at} * 1000);
    store<ul16>(b, at + 8, len);
    store<ul16>(b, at + 10, static_cast<uint16_t>(text.size()));
    store<ul16>(b, at + 12, static_cast<uint16_t>(dict.size()));
    b[at + 14] = 1;
    b[at + 15] = static_cast<uint8_t>(level << 5 | 2);
    std::copy(text.begin(), text.end(), b.begin() + at + 16);
    std::copy(dict.begin(), dict.end(), b.begin() + at + 16 + static_cast<std::ptrdiff_t>(text.size()));
    return at + len;
  }
  KernelLog read(std::string_view type = "printk_log") const {
    std::string keys =
        "SYMBOL(log_buf)=1000\nSYMBOL(log_buf_len)=1010\nSYMBOL(log_first_idx)=1020\n"
        "SYMBOL(log_next_idx)=1030\n";
    for (std::string_view member : {".ts_nsec)=0", ".len)=8", ".text_len)=10"}) {
      keys += "OFFSET(" + std::string(type) + std::string(member) + "\n";
    }
    keys += "SIZE(" + std::string(type) + ")=16\n";
    return read_log(Vmcoreinfo::parse(keys), memory.reader());
  }
  FakeMemory memory;
};

TEST(PrintkRecords, ReadsThemInOrder) {
  Records r(256);
  uint32_t at = r.put(0, "Booting Linux");
  at = r.put(at, "e1000: link up", std::string_view("SUBSYSTEM=net\0DEVICE=+pci:1\0", 27), 4);
  r.ends(0, at);
  for (std::string_view type : {"printk_log", "log"}) {
    const KernelLog log = r.read(type);
    EXPECT_EQ(log.source, "printk_log");
    EXPECT_EQ(log.problems, Texts{});
    ASSERT_EQ(texts(log), (Texts{"Booting Linux", "e1000: link up"}));
    EXPECT_EQ(log.records[1].level, 4);
    EXPECT_EQ(log.records[1].facility, 1);
    EXPECT_EQ(log.records[1].time_ns, 32'000u);
    EXPECT_EQ(log.records[1].subsystem, "net");
    EXPECT_EQ(log.records[1].device, "+pci:1");
    EXPECT_EQ(log.records[1].seq, 1u);
  }
}

TEST(PrintkRecords, FollowsTheWrap) {
  Records r(128);
  uint32_t at = r.put(64, "old");  // then 40 bytes up to the end, a zero header at 88
  EXPECT_EQ(at, 88u);
  r.ends(64, r.put(0, "new"));
  const KernelLog log = r.read();
  EXPECT_EQ(texts(log), (Texts{"old", "new"}));
  EXPECT_EQ(log.problems, Texts{});
}

TEST(PrintkRecords, ABrokenChainKeepsTheNewerHalf) {
  Records r(256);
  uint32_t broken = r.put(64, "old");
  store<ul16>(r.memory.block(Records::buffer), broken + 8, 5);  // shorter than a header
  r.ends(64, r.put(r.put(0, "new"), "newest"));
  const KernelLog log = r.read();
  EXPECT_EQ(texts(log), (Texts{"old", "new", "newest"}));
  ASSERT_EQ(log.problems.size(), 1u);
  EXPECT_NE(log.problems[0].find("a record of 5 bytes"), std::string::npos) << log.problems[0];
}

TEST(PrintkRecords, DamageIsReported) {
  Records early(256);
  early.ends(0, early.put(0, "only") + 64);
  EXPECT_EQ(texts(early.read()), (Texts{"only"}));
  EXPECT_EQ(early.read().problems, (Texts{"the log ends at log_buf+24, before log_next_idx 88"}));
  Records outside(256);
  outside.ends(300, 20);
  EXPECT_EQ(outside.read().problems.size(), 1u);
  Records lying(256);
  lying.ends(0, lying.put(0, "abc"));
  store<ul16>(lying.memory.block(Records::buffer), 10, 500);
  ASSERT_EQ(lying.read().records.size(), 1u);
  EXPECT_TRUE(lying.read().records[0].truncated);
  Records cut(256);
  cut.ends(0, cut.put(cut.put(0, "a"), "b"));
  cut.memory.block(Records::buffer).resize(30);
  EXPECT_EQ(texts(cut.read()), (Texts{"a"}));
  EXPECT_EQ(cut.read().problems.size(), 1u);
}

TEST(FormatRecord, LooksLikeDmesg) {
  LogRecord r;
  r.time_ns = 12'345'678'901;
  r.text = "first\nsecond\x1b[31m\n";
  EXPECT_EQ(format_record(r), "[   12.345678] first\n               second\\x1b[31m");
  r.text = "\ttabs stay";
  r.incomplete = true;
  EXPECT_EQ(format_record(r), "[   12.345678] \ttabs stay [record not committed]");
  r = {};
  EXPECT_EQ(format_record(r), "[    0.000000] ");
}

}  // namespace
}  // namespace kdk
