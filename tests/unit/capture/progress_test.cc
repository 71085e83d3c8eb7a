// The bar that a terminal shows, and which terminals show one. progress_test.py has the program on a real one.
#include "capture/progress.h"

#include <gtest/gtest.h>
#include <sys/sysmacros.h>

namespace kdk {
namespace {

TEST(ProgressBar, TellsShareRateAndTimeLeft) {
  ProgressNumbers n{"dump", 500, 1000, 3 << 20, 25};
  EXPECT_EQ(progress_bar(n, 4096, 80),
            "dump [" + std::string(16, '#') + std::string(16, '.') + "]  50 %  3 MiB written  0 MiB/s  20 s left");
  n.pages_per_second = 25600;
  n.total = 20000000;
  EXPECT_EQ(progress_bar(n, 65536, 70), "dump [.................]   0 %  3 MiB written  1600 MiB/s  13 min left");
  n.done = n.total;
  EXPECT_EQ(progress_bar(n, 4096, 79), "dump [" + std::string(40, '#') + "] 100 %  3 MiB written  100 MiB/s");
}

TEST(ProgressBar, IsNeverWiderThanTheTerminal) {
  const ProgressNumbers n{"dump", 500, 1000, 3 << 20, 25};
  EXPECT_EQ(progress_bar(n, 4096, 20), "dump  50 %  3 MiB wr");
  for (unsigned columns = 0; columns < 100; ++columns)
    EXPECT_LE(progress_bar(n, 4096, columns).size(), columns);
}

TEST(ProgressBar, SaysNothingThatIsNotKnown) {
  EXPECT_EQ(progress_bar({"scan", 0, 0, 0, 0}, 0, 30), "scan [.................]   0 %");
  EXPECT_EQ(progress_bar({"scan", 10, 10, 0, 100}, 0, 30), "scan [#################] 100 %");
}

TEST(ProgressBar, NotOnSerialLines) {
  EXPECT_TRUE(draws_bars(makedev(4, 1)));     // /dev/tty1
  EXPECT_TRUE(draws_bars(makedev(5, 0)));     // /dev/tty
  EXPECT_TRUE(draws_bars(makedev(136, 3)));   // /dev/pts/3
  EXPECT_FALSE(draws_bars(makedev(5, 1)));    // /dev/console
  EXPECT_FALSE(draws_bars(makedev(4, 64)));   // /dev/ttyS0
  EXPECT_FALSE(draws_bars(makedev(204, 64)));  // /dev/ttyAMA0
  EXPECT_FALSE(draws_bars(makedev(229, 0)));  // /dev/hvc0
}

}  // namespace
}  // namespace kdk
