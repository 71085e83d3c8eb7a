// Log and kallsyms found in a whole synthetic dump, through VMCOREINFO and address translation: what the
// tests of the parsers, which feed them bytes, do not show. Also keeps tests/support honest.
#include <gtest/gtest.h>

#include "core/kernel/kallsyms.h"
#include "core/kernel/printk.h"
#include "tests/support/kallsyms_builder.h"
#include "tests/support/log_builder.h"

namespace kdk {
namespace {

using test::DumpBuilder;
using test::KallsymsEncoding;
using test::KallsymsForm;
using test::KallsymsSymbol;
using test::LogLine;

std::vector<LogLine> lines(size_t count) {
  std::vector<LogLine> out;
  for (size_t i = 0; i < count; ++i) {
    LogLine line;
    line.time_ns = 1000 * i;
    line.level = static_cast<uint8_t>(i % 8);
    line.text = "line " + std::to_string(i) + std::string(i % 50, '.');
    line.caller_id = static_cast<uint32_t>(i);
    out.push_back(line);
  }
  out.back().subsystem = "pci";
  out.back().device = "+pci:0000:00:01.0";
  return out;
}

void expect_tail(const KernelLog& log, const std::vector<LogLine>& written) {
  ASSERT_FALSE(log.records.empty());
  ASSERT_LE(log.records.size(), written.size());
  const size_t skipped = written.size() - log.records.size();
  for (size_t i = 0; i < log.records.size(); ++i) {
    const LogRecord& record = log.records[i];
    const LogLine& line = written[skipped + i];
    EXPECT_EQ(record.text, line.text);
    EXPECT_EQ(record.time_ns, line.time_ns);
    EXPECT_EQ(record.level, line.level);
    EXPECT_FALSE(record.truncated);
  }
  EXPECT_EQ(log.records.back().subsystem, "pci");
  EXPECT_EQ(log.records.back().device, "+pci:0000:00:01.0");
}

TEST(SyntheticLog, RingIsReadInWhole) {
  DumpBuilder machine;
  const std::vector<LogLine> written = lines(40);
  put_printk_ring(machine, written);
  const std::unique_ptr<Dump> dump = machine.open();
  KernelMemory memory(*dump);
  const KernelLog log = read_log(memory);
  EXPECT_EQ(log.source, "printk_ringbuffer");
  EXPECT_EQ(log.records.size(), 40u);
  EXPECT_TRUE(log.problems.empty()) << log.problems.front();
  expect_tail(log, written);
}

TEST(SyntheticLog, RingThatWrappedInTextAndDescriptors) {
  for (uint64_t first_lpos : {uint64_t{0}, uint64_t{4000}, uint64_t{4096 * 7 + 1024}}) {
    DumpBuilder machine;
    const std::vector<LogLine> written = lines(500);
    put_printk_ring(machine, written, {.first_seq = 1234, .first_lpos = first_lpos});
    const std::unique_ptr<Dump> dump = machine.open();
    KernelMemory memory(*dump);
    const KernelLog log = read_log(memory);
    EXPECT_GT(log.records.size(), 30u);
    EXPECT_LE(log.records.size(), 64u);
    EXPECT_EQ(log.records.back().seq, 1234u + 499);
    expect_tail(log, written);
  }
}

TEST(SyntheticLog, LastLineStillBeingWritten) {
  DumpBuilder machine;
  put_printk_ring(machine, lines(10), {.last_uncommitted = true});
  const std::unique_ptr<Dump> dump = machine.open();
  KernelMemory memory(*dump);
  const KernelLog log = read_log(memory);
  ASSERT_EQ(log.records.size(), 10u);
  EXPECT_TRUE(log.records[9].incomplete);
  EXPECT_FALSE(log.records[8].incomplete);
}

TEST(SyntheticLog, OldRecordsWithAndWithoutWrap) {
  for (uint32_t first : {0u, 3000u}) {
    DumpBuilder machine;
    const std::vector<LogLine> written = lines(20);
    put_printk_log(machine, written, 4096, first);
    const std::unique_ptr<Dump> dump = machine.open();
    KernelMemory memory(*dump);
    const KernelLog log = read_log(memory);
    EXPECT_EQ(log.source, "printk_log");
    EXPECT_EQ(log.records.size(), 20u);
    expect_tail(log, written);
  }
}

TEST(SyntheticKallsyms, EveryFormIsRecognisedInADump) {
  for (KallsymsEncoding encoding : {KallsymsEncoding::base_relative, KallsymsEncoding::absolute_percpu,
                                    KallsymsEncoding::place_relative}) {
    for (bool two_bytes : {false, true}) {
      DumpBuilder machine;
      std::vector<KallsymsSymbol> symbols = {{machine.text().value, 'T', "_text"},
                                             {machine.stext().value, 'T', "_stext"}};
      for (uint64_t i = 1; i < 300; ++i) {
        symbols.push_back(
            {machine.stext().value + i * 64, i % 3 != 0 ? 't' : 'T', "function_" + std::to_string(i)});
      }
      symbols.push_back({machine.stext().value + 300 * 64, 't', std::string(two_bytes ? 300 : 100, 'n')});
      symbols.push_back({machine.etext().value, 'D', "_etext"});
      put_kallsyms(machine, symbols, {encoding, two_bytes});
      const std::unique_ptr<Dump> dump = machine.open();
      KernelMemory memory(*dump);
      SymbolTable table;
      std::string why;
      const auto kallsyms = Kallsyms::open(memory, why);
      ASSERT_TRUE(kallsyms) << why;
      EXPECT_EQ(add_kallsyms(kallsyms, table).count, symbols.size());
      table.finish();
      for (const KallsymsSymbol& symbol : symbols) {
        const std::optional<Symbol> found = table.find(symbol.name);
        ASSERT_TRUE(found) << symbol.name;
        EXPECT_EQ(found->address, symbol.address) << symbol.name;
      }
    }
  }
}

}  // namespace
}  // namespace kdk
