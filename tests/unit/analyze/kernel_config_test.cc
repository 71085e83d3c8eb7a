#include "analyze/inspect/kernel_config.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include "core/base/error.h"
#include "tests/support/object_machine.h"

namespace kdk {
namespace {

using test::ObjectMachine;

std::vector<uint8_t> gzip(const std::string& text) {
  std::vector<uint8_t> out(text.size() + 256);
  z_stream stream{};
  EXPECT_EQ(Z_OK, deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY));
  stream.next_in = reinterpret_cast<uint8_t*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = out.data();
  stream.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(Z_STREAM_END, deflate(&stream, Z_FINISH));
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

constexpr const char* text =
    "# Automatically generated\nCONFIG_SMP=y\n# CONFIG_PREEMPT_RT is not set\nCONFIG_HZ=250\n"
    "CONFIG_LOCALVERSION=\"-a\x1b\"\nnonsense\nCONFIG_SMP_ALSO=m\n";

VirtAddr put(ObjectMachine& m, const std::vector<uint8_t>& packed) {
  const VirtAddr at = m.machine.image_alloc(packed.size() + 32);
  m.machine.put_text(at, "IKCFG_ST");
  m.machine.put(at + 8, packed);
  m.machine.put_text(at + 8 + packed.size(), "IKCFG_ED");
  return at + 8;
}

TEST(KernelConfig, BySymbol) {
  ObjectMachine m;
  m.symbol("kernel_config_data", put(m, gzip(text)));
  m.open();
  const KernelConfig all = read_kernel_config(m.kernel(), {});
  EXPECT_EQ("", all.why_not);
  ASSERT_EQ(5u, all.options.size());
  EXPECT_EQ("CONFIG_SMP", all.options[0].name);
  EXPECT_EQ("y", all.options[0].value);
  EXPECT_EQ("CONFIG_PREEMPT_RT", all.options[1].name);
  EXPECT_EQ("", all.options[1].value);
  EXPECT_EQ("\"-a\\x1b\"", all.options[3].value);
  EXPECT_EQ(2u, read_kernel_config(m.kernel(), {"smp"}).options.size());
  EXPECT_EQ(3u, read_kernel_config(m.kernel(), {"smp", "HZ"}).options.size());
  EXPECT_TRUE(read_kernel_config(m.kernel(), {"nothing"}).options.empty());
}

TEST(KernelConfig, ByItsMarkAndNotByAnotherOne) {
  ObjectMachine m;
  m.machine.put_text(m.machine.image_alloc(64), "IKCFG_ST is what the source says");
  put(m, gzip(text));
  m.open();
  EXPECT_EQ(5u, read_kernel_config(m.kernel(), {}).options.size());
}

TEST(KernelConfig, WithoutOneItSaysWhereToLook) {
  ObjectMachine m;
  m.open();
  const KernelConfig none = read_kernel_config(m.kernel(), {});
  EXPECT_TRUE(none.options.empty());
  EXPECT_NE(std::string::npos, none.why_not.find("/boot/config-6.12.0-synthetic"));
}

TEST(KernelConfig, DamagedOnesAreErrors) {
  std::vector<uint8_t> packed = gzip(text);
  for (size_t i = 0; i < packed.size(); ++i) {
    ObjectMachine m;
    std::vector<uint8_t> flipped = packed;
    flipped[i] ^= 0x10;
    m.symbol("kernel_config_data", put(m, flipped));
    m.open();
    try {
      EXPECT_LE(read_kernel_config(m.kernel(), {}).options.size(), 8u);
    } catch (const Error& error) {
      EXPECT_EQ(Errc::format, error.code());
    }
    i += 6;
  }
  ObjectMachine m;
  const VirtAddr at = m.machine.image_alloc(64);
  m.symbol("kernel_config_data", at);
  m.open();
  EXPECT_THROW(read_kernel_config(m.kernel(), {}), Error) << "no end";
}

}  // namespace
}  // namespace kdk
