#include "analyze/inspect/log_view.h"

#include <gtest/gtest.h>

#include "analyze/render/log.h"
#include "analyze/render/render.h"

namespace kdk {
namespace {

KernelLog three() {
  KernelLog log;
  for (uint8_t i = 0; i < 3; ++i) {
    LogRecord& record = log.records.emplace_back();
    record.seq = i;
    record.time_ns = (uint64_t{i} + 1) * 1'500'000'000;
    record.level = static_cast<uint8_t>(6 - i);
    record.text = "line " + std::to_string(i) + (i == 1 ? "\nmore" : "");
  }
  log.records[0].caller_id = 123;
  log.records[1].caller_id = 0x80000001;
  return log;
}

std::vector<uint64_t> chosen(const LogView& view) {
  KernelLog log = three();
  select_records(log, view);
  std::vector<uint64_t> out;
  for (const LogRecord& record : log.records) out.push_back(record.seq);
  return out;
}
using Seqs = std::vector<uint64_t>;

TEST(LogView, Words) {
  EXPECT_EQ(3, log_level("err"));
  EXPECT_EQ(4, log_level("warn"));
  EXPECT_EQ(7, log_level("7"));
  for (auto word : {"8", "-1", "", "loud", "3x"}) EXPECT_FALSE(log_level(word)) << word;
  EXPECT_EQ(123u, log_caller("T123"));
  EXPECT_EQ(123u, log_caller("123"));
  EXPECT_EQ(0x80000000, log_caller("C0"));
  for (auto word : {"T", "C", "", "T0", "X1", "C4294967295", "T1 "}) EXPECT_FALSE(log_caller(word)) << word;
}

TEST(LogView, Chooses) {
  LogView view;
  EXPECT_EQ((Seqs{0, 1, 2}), chosen(view));
  view.level = 5;
  EXPECT_EQ((Seqs{1, 2}), chosen(view));
  view = {};
  view.callers = {123};
  EXPECT_EQ((Seqs{0}), chosen(view));
  view.callers = {123, 0x80000001};
  EXPECT_EQ((Seqs{0, 1}), chosen(view));
}

TEST(LogView, WallTimesCountFromTheCrash) {
  const KernelLog log = three();
  EXPECT_EQ(std::nullopt, boot_time_ns(log, std::nullopt));
  EXPECT_EQ(std::nullopt, boot_time_ns({}, 1795455686));
  EXPECT_EQ(std::nullopt, boot_time_ns(log, 2)) << "the log is longer than the time since the epoch";
  EXPECT_EQ(std::nullopt, boot_time_ns(log, UINT64_MAX));
  ShownLog shown{{{}, log, {}}, {}, boot_time_ns(log, 1795455686), {}};
  EXPECT_EQ(
      "[2026-11-23 17:41:23.000000] line 0\n"
      "[2026-11-23 17:41:24.500000] line 1\n"
      "                             more\n"
      "[2026-11-23 17:41:26.000000] line 2\n",
      to_text(shown));
}

TEST(LogView, WithoutOptionsItIsTheLogAsEver) {
  const KernelLog log = three();
  ShownLog shown{{{}, log, {}}, {}, {}, {}};
  EXPECT_EQ(to_text(shown.report), to_text(shown));
  shown.view.show_callers = true;
  EXPECT_EQ(
      "[    1.500000] T123    line 0\n"
      "[    3.000000] C1      line 1\n"
      "                       more\n"
      "[    4.500000]         line 2\n",
      to_text(shown));
}

}  // namespace
}  // namespace kdk
