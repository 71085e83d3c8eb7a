#include "loader/image/image.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "core/base/error.h"
#include "loader/image/containers.h"
#include "loader/image/layers.h"
#include "loader/image/pe.h"
#include "tests/support/fake_containers.h"
#include "tests/support/fake_machine.h"
#include "tests/support/packers.h"

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
    EXPECT_THROW(load_arm64_image(cut), Error);
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
  EXPECT_NE(error_of(text("MZ"), Errc::unsupported).find("without a kernel"), std::string::npos);
  EXPECT_NE(error_of(text("BZh9"), Errc::unsupported).find("bzip2"), std::string::npos);
  std::vector<uint8_t> bzimage = text("MZ");
  std::copy_n("HdrS", 4, bzimage.begin() + 0x202);
  EXPECT_NE(error_of(bzimage, Errc::unsupported).find("x86"), std::string::npos);
  error_of(text("some text"), Errc::format);
}

using testing::FakeElf;
using testing::make_unified;
using testing::make_zboot;

TEST(Arm64Image, InsideAZbootImage) {
  const std::vector<uint8_t> image = FakeImage().bytes();
  auto expect = [&](std::string_view method, const std::vector<uint8_t>& payload, std::string_view said) {
    KernelImage kernel = load_arm64_image(make_zboot(method, payload));
    EXPECT_EQ(kernel.bytes, image) << method;
    EXPECT_EQ(kernel.info.compression, said);
    EXPECT_FALSE(kernel.info.is_plain());
  };
  expect("gzip", testing::gzip(image), "EFI zboot (gzip)");
  expect("zstd", testing::zstd(image), "EFI zboot (zstd)");
  expect("zstd22", testing::zstd(image), "EFI zboot (zstd)");
  expect("xzkern", testing::xz(image), "EFI zboot (xz)");
  expect("lzma", testing::lzma(image), "EFI zboot (lzma)");
  expect("lz4", testing::lz4_legacy(image), "EFI zboot (lz4)");
  expect("lzo", testing::lzop(image), "EFI zboot (lzo)");
  EXPECT_NE(error_of(make_zboot("rar", testing::gzip(image)), Errc::unsupported).find("\"rar\""),
            std::string::npos);
}

// Linux pads what it packs with zeros; behind a signature they would make the image another one.
TEST(Arm64Image, PaddingBehindASignatureInAZbootImageIsCut) {
  std::vector<uint8_t> image = testing::make_unified({{".text", std::vector<uint8_t>(512, 1)}});
  std::copy_n("ARM\x64", 4, image.begin() + 56);
  auto put32 = [&](uint64_t at, uint64_t value) {
    for (unsigned i = 0; i < 4; ++i) image[at + i] = static_cast<uint8_t>(value >> (8 * i));
  };
  constexpr uint64_t directories_at = 0x58 + 108;  // NumberOfRvaAndSizes of the PE32+ optional header
  put32(directories_at, 5);                        // the fifth is the certificate table
  ASSERT_TRUE(read_pe_headers(image)->table_entry_at);
  uint64_t entry = *read_pe_headers(image)->table_entry_at;
  put32(entry, image.size());
  put32(entry + 4, 16);
  image.resize(image.size() + 16, 0);
  put32(image.size() - 16, 16);  // WIN_CERTIFICATE.dwLength
  const std::vector<uint8_t> whole = image;
  auto inner = [](const std::vector<uint8_t>& packed) {
    ImageLayers opened = open_image_layers(testing::make_zboot("gzip", testing::gzip(packed)));
    EXPECT_EQ(opened.layers.size(), 2u);
    return opened.layers.back().bytes;
  };
  image.resize(image.size() + 4096, 0);
  EXPECT_EQ(inner(image), whole);
  image.back() = 1;  // not padding: nothing is thrown away
  EXPECT_EQ(inner(image), image);
}

TEST(Arm64Image, AlmostAZboot) {
  std::vector<uint8_t> image = make_zboot("gzip", testing::gzip(FakeImage().bytes()));
  EXPECT_EQ(open_image_layers(image).layers.front().format, ImageFormat::zboot);
  image[3] = '(';
  ImageLayers opened = open_image_layers(image);
  ASSERT_EQ(opened.layers.size(), 1u);
  EXPECT_EQ(opened.layers.front().format, ImageFormat::pe_program);
}

TEST(Arm64Image, TruncatedZboot) {
  const std::vector<uint8_t> whole = make_zboot("xzkern", testing::xz(FakeImage().bytes()));
  for (size_t size = 8; size < whole.size(); size += 3) {
    std::vector<uint8_t> cut(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(size));
    EXPECT_NE(error_of(cut, Errc::format).find("truncated"), std::string::npos) << size;
  }
}

TEST(Arm64Image, InsideAUnifiedImage) {
  const std::vector<uint8_t> image = FakeImage().bytes();
  KernelImage kernel = load_arm64_image(make_unified({{".linux", image}}));
  EXPECT_EQ(kernel.bytes, image);
  EXPECT_EQ(kernel.info.compression, "unified kernel image");
  std::vector<uint8_t> zboot = make_zboot("zstd22", testing::zstd(image));
  kernel = load_arm64_image(make_unified({{".osrel", {'x'}}, {".linux", zboot}}));
  EXPECT_EQ(kernel.bytes, image);
  EXPECT_EQ(kernel.info.compression, "unified kernel image, EFI zboot (zstd)");
  // Packed in itself forever.
  std::vector<uint8_t> nested = image;
  for (int i = 0; i < 6; ++i) nested = testing::gzip(nested);
  EXPECT_NE(error_of(nested, Errc::unsupported).find("too many times"), std::string::npos);
}

std::vector<uint8_t> bytes_of(std::string_view text) {
  return {text.begin(), text.end()};
}

TEST(UnifiedImage, Sections) {
  const std::vector<uint8_t> file = make_unified({{".linux", bytes_of("kernel")},
                                                  {".cmdline", bytes_of("root=/dev/vda quiet")},
                                                  {".initrd", bytes_of("070701")},
                                                  {".uname", bytes_of("6.12.0\n")}});
  std::optional<UnifiedImage> image = read_unified_image(file);
  ASSERT_TRUE(image);
  EXPECT_EQ(as_text(image->kernel), "kernel");  // not the padding to whole blocks
  EXPECT_EQ(as_text(image->initrd), "070701");
  EXPECT_EQ(image->command_line, "root=/dev/vda quiet");
  EXPECT_EQ(image->release, "6.12.0");
  const std::vector<uint8_t> bare = make_unified({{".linux", bytes_of("kernel")}});
  EXPECT_TRUE(read_unified_image(bare)->initrd.empty());
  EXPECT_EQ(read_unified_image(bare)->command_line, "");
  // An addon: a PE program with a command line for a kernel that is elsewhere.
  EXPECT_FALSE(read_unified_image(make_unified({{".cmdline", bytes_of("quiet")}})));
}

TEST(UnifiedImage, CommandLineAsTheStubReadsIt) {
  auto line = [](std::string_view section) {
    return read_unified_image(make_unified({{".linux", bytes_of("kernel")}, {".cmdline", bytes_of(section)}}))
        ->command_line;
  };
  EXPECT_EQ(line("ro quiet\n"), "ro quiet");
  EXPECT_EQ(line(std::string_view("ro quiet\n\0\0\0", 12)), "ro quiet");
  EXPECT_EQ(line(std::string_view("ro\0 hidden", 10)), "ro");
  EXPECT_EQ(line(" \t ro\nquiet\x7f"
                 "debug \n"),
            "ro quiet debug");
  EXPECT_EQ(line("\n"), "");
  EXPECT_EQ(line(""), "");
}

// As systemd-stub 257 and newer boot it unless somebody chooses another profile.
TEST(UnifiedImage, TheFirstProfileGoesBeforeTheBase) {
  std::vector<uint8_t> file = make_unified({{".linux", bytes_of("kernel")},
                                            {".cmdline", bytes_of("base")},
                                            {".initrd", bytes_of("070701")},
                                            {".profile", bytes_of("ID=main")},
                                            {".cmdline", bytes_of("main")},
                                            {".profile", bytes_of("ID=debug")},
                                            {".cmdline", bytes_of("debug")},
                                            {".initrd", bytes_of("070702")}});
  std::optional<UnifiedImage> image = read_unified_image(file);
  ASSERT_TRUE(image);
  EXPECT_EQ(image->command_line, "main");
  EXPECT_EQ(as_text(image->initrd), "070701");
  // ukify --profile puts the main profile's mark before everything.
  file = make_unified({{".profile", bytes_of("ID=main")},
                       {".cmdline", bytes_of("main")},
                       {".linux", bytes_of("kernel")},
                       {".profile", bytes_of("ID=debug")},
                       {".linux", bytes_of("other")}});
  image = read_unified_image(file);
  ASSERT_TRUE(image);
  EXPECT_EQ(as_text(image->kernel), "kernel");
  EXPECT_EQ(image->command_line, "main");
  // A kernel in a later profile alone never boots by itself.
  EXPECT_FALSE(
      read_unified_image(make_unified({{".profile", {}}, {".profile", {}}, {".linux", bytes_of("kernel")}})));
}

TEST(UnifiedImage, ExtrasOfTheOutermost) {
  const std::vector<uint8_t> inner =
      make_unified({{".linux", FakeImage().bytes()}, {".cmdline", bytes_of("inner")}});
  const std::vector<uint8_t> outer =
      make_unified({{".linux", inner}, {".cmdline", bytes_of("outer")}, {".initrd", bytes_of("070701")}});
  for (const std::vector<uint8_t>& file : {outer, testing::gzip(outer), testing::xz(testing::zstd(outer))}) {
    UnifiedExtras extras = read_unified_extras(file);
    EXPECT_EQ(extras.command_line, "outer");
    EXPECT_EQ(extras.initrd, bytes_of("070701"));
  }
  for (const std::vector<uint8_t>& file :
       {FakeImage().bytes(), testing::gzip(FakeImage().bytes()), std::vector<uint8_t>(),
        make_unified({{".cmdline", bytes_of("addon")}})}) {
    EXPECT_THROW(read_unified_extras(file), Error);
  }
  std::vector<uint8_t> bomb = outer;
  for (int i = 0; i < 6; ++i) bomb = testing::gzip(bomb);
  EXPECT_THROW(read_unified_extras(bomb), Error);
}

TEST(Arm64Image, InsideAVmlinux) {
  const std::vector<uint8_t> image = FakeImage().bytes();
  FakeElf elf;
  const Bytes whole(image);
  // Out of order, with a hole of zeros between them: that of the image's own bytes 0x8000 to 0x9000.
  elf.segments = {{0xffff800080009000, whole.subspan(0x9000)}, {0xffff800080000000, whole.first(0x8000)}};
  for (bool big_endian : {false, true}) {
    elf.big_endian = big_endian;
    KernelImage kernel = load_arm64_image(elf.bytes());
    EXPECT_EQ(kernel.bytes, image);
    EXPECT_EQ(kernel.info.compression, "ELF (vmlinux)");
  }
  std::vector<uint8_t> file = elf.bytes();
  for (size_t size = 24; size < file.size(); size += size < 256 ? 1 : 499) {
    std::vector<uint8_t> cut(file.begin(), file.begin() + static_cast<ptrdiff_t>(size));
    EXPECT_NE(error_of(cut, Errc::format).find("truncated"), std::string::npos) << size;
  }
  elf.segments[0].first = 0xffff800080007000;
  EXPECT_NE(error_of(elf.bytes(), Errc::format).find("overlap"), std::string::npos);
  elf.segments[0].first = 0xffff900080007000;
  EXPECT_NE(error_of(elf.bytes(), Errc::format).find("further than"), std::string::npos);
  elf.segments.clear();
  EXPECT_NE(error_of(elf.bytes(), Errc::format).find("debug information"), std::string::npos);
  elf.machine = 62;
  EXPECT_NE(error_of(elf.bytes(), Errc::unsupported).find("vmlinux"), std::string::npos);
}

TEST(BzImage, InsideAUnifiedImage) {
  const std::vector<uint8_t> image = testing::FakeBzImage().bytes();
  KernelImage kernel = load_bzimage(make_unified({{".linux", image}}));
  EXPECT_EQ(kernel.bytes, image);
  EXPECT_EQ(kernel.info.compression, "unified kernel image");
  EXPECT_EQ(kernel.info.release, "6.12.0-fake");
  EXPECT_TRUE(load_bzimage(image).info.is_plain());
}

}  // namespace
}  // namespace kdk
