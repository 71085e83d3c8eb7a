#include "loader/image/image.h"

#include <gtest/gtest.h>

#include "core/base/error.h"
#include "loader/image/pe.h"
#include "tests/support/fake_containers.h"
#include "tests/support/fake_machine.h"

namespace kdk {
namespace {

using testing::FakeBzImage;

std::string error_of(const std::vector<uint8_t>& file, Errc code) {
  try {
    parse_bzimage(file);
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), code) << e.message();
    return e.message();
  }
  ADD_FAILURE() << "accepted";
  return "";
}

void expect_error(const FakeBzImage& fake, Errc code, std::string_view part) {
  std::string message = error_of(fake.bytes(), code);
  EXPECT_NE(message.find(part), std::string::npos) << message;
}

TEST(BzImage, ReadsItsHeader) {
  BzImage image = parse_bzimage(FakeBzImage().bytes());
  EXPECT_EQ(image.protocol, 0x020f);
  EXPECT_EQ(image.version, "6.12.0-fake (builder@host) #1 SMP");
  EXPECT_EQ(image.release(), "6.12.0-fake");
  EXPECT_EQ(image.setup_size, 2048u);
  EXPECT_EQ(image.kernel_size, 0x20000u);
  EXPECT_EQ(image.payload_offset, 2048u + 0x2cc);
  EXPECT_EQ(image.payload_size, 0x10000u);
  EXPECT_EQ(image.init_size, 0x3000000u);
  EXPECT_EQ(image.alignment, 0x200000u);
  EXPECT_EQ(image.preferred_address, 0x1000000u);
  EXPECT_EQ(image.command_line_size, 2047u);
  EXPECT_TRUE(image.relocatable);
  EXPECT_TRUE(image.entry_64bit);
  EXPECT_TRUE(image.above_4g);
  EXPECT_TRUE(image.five_level);
}

TEST(BzImage, EachFlagBit) {
  FakeBzImage fake;
  fake.xloadflags = 1;
  EXPECT_TRUE(parse_bzimage(fake.bytes()).entry_64bit);
  EXPECT_FALSE(parse_bzimage(fake.bytes()).above_4g);
  fake.xloadflags = 2;
  EXPECT_FALSE(parse_bzimage(fake.bytes()).entry_64bit);
  EXPECT_TRUE(parse_bzimage(fake.bytes()).above_4g);
  fake.xloadflags = 0x20;
  EXPECT_TRUE(parse_bzimage(fake.bytes()).five_level);
  fake.relocatable = 0;
  EXPECT_FALSE(parse_bzimage(fake.bytes()).relocatable);
}

TEST(BzImage, SetupSectorsOfZeroMeanFour) {
  FakeBzImage fake;
  fake.setup_sectors = 4;
  std::vector<uint8_t> file = fake.bytes();
  file[0x1f1] = 0;
  EXPECT_EQ(parse_bzimage(file).setup_size, 2560u);
}

TEST(BzImage, CutAnywhereIsRefused) {
  std::vector<uint8_t> whole = FakeBzImage().bytes();
  for (size_t size = 0; size < whole.size(); size += size < 0x300 ? 1 : 997) {
    Bytes cut = Bytes(whole).first(size);
    EXPECT_THROW(parse_bzimage(cut), Error) << size;
  }
  whole.pop_back();
  EXPECT_NE(error_of(whole, Errc::format).find("truncated"), std::string::npos);
}

TEST(BzImage, RefusedHeadersNameTheOffset) {
  FakeBzImage fake;
  fake.boot_flag = 0;
  expect_error(fake, Errc::format, "0x1fe");
  fake = {};
  fake.protocol = 0x020b;
  expect_error(fake, Errc::unsupported, "2.11 at offset 0x206");
  fake = {};
  fake.loadflags = 0;
  expect_error(fake, Errc::unsupported, "0x211");
  fake = {};
  fake.init_size = 0x1000;  // smaller than the kernel in the file
  expect_error(fake, Errc::format, "0x260");
  fake.init_size = 0xfffff000;
  expect_error(fake, Errc::format, "0x260");
  for (uint32_t alignment : {0u, 3u, 0x80000000u}) {
    fake = {};
    fake.alignment = alignment;
    expect_error(fake, Errc::format, "0x230");
  }
  fake = {};
  fake.command_line_size = 0;
  expect_error(fake, Errc::format, "0x238");
  fake = {};
  fake.payload_size = 0x20000;  // begins behind the start
  expect_error(fake, Errc::format, "0x248");
}

TEST(BzImage, VersionOutsideTheSetupCode) {
  std::vector<uint8_t> file = FakeBzImage().bytes();
  store(file, 0x20e, ul16(0xff00));
  EXPECT_NE(error_of(file, Errc::format).find("0x20e"), std::string::npos);
  store(file, 0x20e, ul16(0));
  EXPECT_EQ(parse_bzimage(file).release(), "");
  // Not terminated inside the setup code.
  store(file, 0x20e, ul16(0x5ff));
  file[0x7ff] = 'x';
  error_of(file, Errc::format);
}

TEST(BzImage, OtherKernelsAreNamed) {
  EXPECT_NE(error_of(testing::FakeImage().bytes(), Errc::unsupported).find("arm64 Image"), std::string::npos);
  EXPECT_NE(error_of(testing::gzip(FakeBzImage().bytes()), Errc::unsupported).find("packed"),
            std::string::npos);
  error_of(std::vector<uint8_t>(4096, 'x'), Errc::format);
}

std::vector<uint8_t> with_payload(Bytes payload) {
  FakeBzImage fake;
  fake.payload_size = static_cast<uint32_t>(payload.size());
  std::vector<uint8_t> file = fake.bytes();
  std::copy(payload.begin(), payload.end(), file.begin() + 2048 + 0x2cc);
  return file;
}

// What a kernel keeps is less than what it needs to unpack itself, and more than what is in its file.
TEST(BzImage, RunningSizeIsThatOfThePackedKernel) {
  const std::vector<uint8_t> text(0x1800, 0x90), data(0x600);
  testing::FakeElf elf;
  elf.machine = 62;
  elf.segments = {{0x1000000, text}, {0x2000000, data}};
  std::vector<uint8_t> vmlinux = elf.bytes();
  store(vmlinux, 64 + 56 + 40, ul64(0x234000));  // p_memsz of the second: with BSS
  for (const std::vector<uint8_t>& payload : {vmlinux, testing::gzip(vmlinux), testing::zstd(vmlinux)}) {
    KernelImage kernel = load_bzimage(with_payload(payload));
    EXPECT_EQ(kernel.info.running_size, 0x1234000u);
    EXPECT_EQ(kernel.info.image_size, 0x3000000u);
  }
  // The headers say what the first bytes hold; the rest may be of any size.
  vmlinux.resize(8 << 20);
  EXPECT_EQ(load_bzimage(with_payload(testing::gzip(vmlinux))).info.running_size, 0x1234000u);
  // More than init_size cannot be: the kernel has no more when it starts.
  store(vmlinux, 64 + 56 + 40, ul64(0x3000000));
  EXPECT_EQ(load_bzimage(with_payload(testing::gzip(vmlinux))).info.running_size, 0x3000000u);
  // Not known how it is packed: what it needs to start.
  EXPECT_EQ(load_bzimage(with_payload(std::vector<uint8_t>{'B', 'Z', 'h', '9'})).info.running_size,
            0x3000000u);
  EXPECT_EQ(load_bzimage(FakeBzImage().bytes()).info.running_size, 0x3000000u);
}

TEST(BzImage, BrokenPackedKernel) {
  auto error_of_payload = [](Bytes payload) -> std::string {
    try {
      load_bzimage(with_payload(payload));
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), Errc::format);
      EXPECT_NE(e.message().find("the packed kernel at offset 0xacc"), std::string::npos) << e.message();
      return e.message();
    }
    ADD_FAILURE() << "accepted";
    return "";
  };
  const std::vector<uint8_t> text(0x800);
  testing::FakeElf elf;
  elf.segments = {{0x1000000, text}, {0x9000000000, text}};
  EXPECT_NE(error_of_payload(elf.bytes()).find("further than"), std::string::npos);
  elf.segments.pop_back();
  std::vector<uint8_t> vmlinux = elf.bytes();
  store(vmlinux, 64 + 40, ul64(~uint64_t{0}));
  EXPECT_NE(error_of_payload(vmlinux).find("further than"), std::string::npos);
  EXPECT_NE(error_of_payload(Bytes(vmlinux).first(70)).find("truncated"), std::string::npos);
  std::vector<uint8_t> packed = testing::gzip(vmlinux);
  EXPECT_NE(error_of_payload(Bytes(packed).first(packed.size() / 2)).find("cut off"), std::string::npos);
  packed[12] ^= 0xff;
  EXPECT_NE(error_of_payload(packed).find("damaged"), std::string::npos);
}

TEST(PeSections, CertificateTable) {
  FakeBzImage fake;
  EXPECT_EQ(pe_signature_size(fake.bytes()), 0u);
  fake.signature_size = 1472;
  EXPECT_EQ(pe_signature_size(fake.bytes()), 1472u);
  std::vector<uint8_t> file = fake.bytes();
  file.pop_back();
  EXPECT_THROW(pe_signature_size(file), Error);
  fake.pe = false;
  EXPECT_EQ(pe_signature_size(fake.bytes()), 0u);
}

}  // namespace
}  // namespace kdk
