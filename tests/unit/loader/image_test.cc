#include "loader/image/image.h"

#include <gtest/gtest.h>

#include "core/base/error.h"
#include "tests/support/fake_machine.h"

namespace kdk {
namespace {

using testing::FakeImage;

std::string error_of(std::vector<uint8_t> file, Errc code) {
  try {
    load_arm64_image(std::move(file));
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), code) << e.message();
    return e.message();
  }
  ADD_FAILURE() << "accepted";
  return "";
}

TEST(Arm64Image, Plain) {
  FakeImage fake;
  fake.text_offset = 0x80000;
  KernelImage image = load_arm64_image(fake.bytes());
  EXPECT_EQ(image.bytes, fake.bytes());
  EXPECT_EQ(image.info.compression, "none");
  EXPECT_EQ(image.info.text_offset, 0x80000u);
  EXPECT_EQ(image.info.image_size, 0x200000u);
  EXPECT_EQ(image.info.page_size, 4096u);
}

TEST(Arm64Image, PageSizesOfTheFlags) {
  FakeImage fake;
  for (auto [flags, size] :
       {std::pair<uint64_t, uint64_t>{0x0, 0}, {0xa, 4096}, {0xc, 16384}, {0xe, 65536}}) {
    fake.flags = flags;
    EXPECT_EQ(load_arm64_image(fake.bytes()).info.page_size, size) << flags;
  }
}

TEST(Arm64Image, Packed) {
  FakeImage fake;
  for (auto [name, packed] :
       {std::pair{"gzip", testing::gzip(fake.bytes())}, {"zstd", testing::zstd(fake.bytes())}}) {
    KernelImage image = load_arm64_image(packed);
    EXPECT_EQ(image.info.compression, name);
    EXPECT_EQ(image.bytes, fake.bytes());
    // Cut anywhere, the packed stream is not a whole kernel.
    for (size_t size = 2; size < packed.size(); size += 7) {
      std::vector<uint8_t> cut(packed.begin(), packed.begin() + static_cast<ptrdiff_t>(size));
      EXPECT_NE(error_of(cut, Errc::format).find("cut off"), std::string::npos);
    }
  }
}

TEST(Arm64Image, TruncatedPlainImageIsSeenByItsSections) {
  std::vector<uint8_t> file = FakeImage().bytes();
  file.resize(file.size() - 1);
  EXPECT_NE(error_of(file, Errc::format).find("truncated"), std::string::npos);
  for (size_t size = 0; size < 64; ++size) {  // every cut of the header itself
    std::vector<uint8_t> cut(file.begin(), file.begin() + static_cast<ptrdiff_t>(size));
    error_of(cut, size < 2 ? Errc::format : Errc::unsupported);
  }
}

TEST(Arm64Image, RefusedHeaders) {
  FakeImage fake;
  fake.flags |= 1;
  EXPECT_NE(error_of(fake.bytes(), Errc::unsupported).find("big-endian"), std::string::npos);
  fake = FakeImage();
  fake.image_size = 0;
  EXPECT_NE(error_of(fake.bytes(), Errc::unsupported).find("3.17"), std::string::npos);
  fake = FakeImage();
  fake.image_size = 0x1000;  // smaller than the file
  error_of(fake.bytes(), Errc::format);
  fake = FakeImage();
  fake.image_size = uint64_t{1} << 60;
  error_of(fake.bytes(), Errc::format);
  fake = FakeImage();
  fake.text_offset = ~uint64_t{0};
  error_of(fake.bytes(), Errc::format);
}

TEST(Arm64Image, OtherKernelsAreNamed) {
  auto text = [](std::string_view s, size_t size = 4096) {
    std::vector<uint8_t> file(s.begin(), s.end());
    file.resize(size);
    return file;
  };
  EXPECT_NE(error_of(text("\x7f"
                          "ELF"),
                     Errc::unsupported)
                .find("vmlinux"),
            std::string::npos);
  EXPECT_NE(error_of(text(std::string_view("MZ\0\0zimg", 8)), Errc::unsupported).find("zboot"),
            std::string::npos);
  EXPECT_NE(error_of(text("MZ"), Errc::unsupported).find("unified"), std::string::npos);
  EXPECT_NE(error_of(text("\xfd"
                          "7zXZ"),
                     Errc::unsupported)
                .find("gzip or zstd"),
            std::string::npos);
  std::vector<uint8_t> bzimage = text("MZ");
  std::copy_n("HdrS", 4, bzimage.begin() + 0x202);
  EXPECT_NE(error_of(bzimage, Errc::unsupported).find("x86"), std::string::npos);
  error_of(text("some text"), Errc::format);
}

}  // namespace
}  // namespace kdk
