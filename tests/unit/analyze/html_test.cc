// The HTML report's own pieces: escaping, the memory bar, the timeline.
#include <gtest/gtest.h>

#include "analyze/render/html_charts.h"
#include "analyze/render/html_page.h"

namespace kdk {
namespace {

size_t count(std::string_view text, std::string_view part) {
  size_t n = 0;
  for (size_t at = 0; (at = text.find(part, at)) != text.npos; at += part.size()) ++n;
  return n;
}

TEST(Html, EscapesMarkupAndDirectionalControls) {
  EXPECT_EQ(html::escape("<script>\"a\" & 'b'</script>"),
            "&lt;script&gt;&quot;a&quot; &amp; &#39;b&#39;&lt;/script&gt;");
  EXPECT_EQ(html::escape("a\xe2\x80\xae"
                         "b\xe2\x81\xa6"
                         "c\xd8\x9c"
                         "d"),
            "a\xef\xbf\xbd"
            "b\xef\xbf\xbd"
            "c\xef\xbf\xbd"
            "d");
  EXPECT_EQ(html::escape("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xe2"), "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xe2");
}

TEST(Html, MemoryBarAddsUpToTheTotal) {
  MemorySummary memory;
  memory.page_bytes = 4096;
  memory.total = 1000;
  memory.free = 500;
  memory.file = 300;
  memory.shmem = 100;  // among the file pages
  std::string bar = html::memory_bar(memory);
  EXPECT_EQ(count(bar, "<i "), 4u);
  EXPECT_NE(bar.find("title=\"file cache: 800 KiB\""), bar.npos) << bar;
  EXPECT_NE(bar.find("title=\"not counted: 800 KiB\""), bar.npos) << bar;
}

TEST(Html, MemoryBarOfCountersThatCannotBe) {
  MemorySummary memory;
  EXPECT_EQ(html::memory_bar(memory), "");
  memory.page_bytes = 4096;
  memory.total = UINT64_MAX;  // does not fit in bytes
  memory.free = 1;
  EXPECT_EQ(html::memory_bar(memory), "");
  memory.total = 10;
  memory.free = UINT64_MAX;
  memory.anon = 10;
  EXPECT_EQ(count(html::memory_bar(memory), "width:50.00%"), 2u);
}

LogRecord record(uint64_t milliseconds, uint32_t caller, std::string text) {
  LogRecord out;
  out.time_ns = milliseconds * 1'000'000;
  out.caller_id = caller;
  out.level = 4;
  out.text = std::move(text);
  return out;
}

TEST(Html, TimelineHasARowForEachCaller) {
  LogFacts log;
  log.tail = {record(1000, 0x80000000, "too old"), record(20000, 42, "a\"b"),
              record(20500, 0x80000001, "second"), record(21000, 0x80000001, "last")};
  TaskList tasks;
  tasks.tasks.emplace_back();
  tasks.tasks.back().pid = 42;
  tasks.tasks.back().comm = "sh<1>";
  std::string lanes = html::log_timeline(log, &tasks);
  EXPECT_EQ(count(lanes, "class=\"lane\""), 2u);
  EXPECT_LT(lanes.find("<span>CPU 1</span>"), lanes.find("<span>task 42 sh&lt;1&gt;</span>"));
  EXPECT_NE(lanes.find("style=\"left:50.00%\""), lanes.npos);
  EXPECT_NE(lanes.find("a&quot;b"), lanes.npos);
  EXPECT_EQ(lanes.find("too old"), lanes.npos);
  EXPECT_NE(lanes.find("1.000 s before the last record"), lanes.npos);
}

TEST(Html, TimelineWithoutCallersSaysSo) {
  LogFacts log;
  log.tail = {record(1, 0, "a"), record(2, 0, "b")};
  EXPECT_NE(html::log_timeline(log, nullptr).find("CONFIG_PRINTK_CALLER"), std::string::npos);
  log.tail.pop_back();
  EXPECT_EQ(html::log_timeline(log, nullptr), "");
}

}  // namespace
}  // namespace kdk
