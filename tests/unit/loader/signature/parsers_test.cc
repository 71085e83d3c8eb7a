// The parsers of hostile bytes: PE headers and certificate table, EFI signature lists, security.ima, appended
// signatures, /proc/keys, layers of a kernel file.
#include <gtest/gtest.h>

#include "loader/image/layers.h"
#include "loader/signature/appended_signature.h"
#include "loader/signature/efi_variables.h"
#include "loader/signature/ima_xattr.h"
#include "loader/signature/kernel_keys.h"
#include "loader/signature/pe_image.h"

namespace kdk {
namespace {

constexpr uint64_t optional_at = 0x58, entry_at = optional_at + 144, sections_at = optional_at + 240;

template <typename T>
void put(std::vector<uint8_t>& file, uint64_t at, T value) {
  store(file, at, value);
}
std::vector<uint8_t> bytes_of_text(std::string_view text) {
  return {text.begin(), text.end()};
}

// Headers of 0x200 bytes, sections at 0x300 and 0x200 (in that order in the table), 8 bytes behind them, and
// a table of two entries of 16 and 12 bytes.
std::vector<uint8_t> make_pe() {
  std::vector<uint8_t> file(0x408 + 16 + 12 + 4, 0xcc);
  std::fill(file.begin(), file.begin() + 0x200, 0);
  file[0] = 'M';
  file[1] = 'Z';
  put(file, 0x3c, ul32(0x40));
  put(file, 0x40, ul32(0x4550));
  put(file, 0x44, ul16(0xaa64));
  put(file, 0x46, ul16(2));
  put(file, 0x54, ul16(240));
  put(file, optional_at, ul16(0x20b));
  put(file, optional_at + 60, ul32(0x200));
  put(file, optional_at + 108, ul32(16));
  put(file, entry_at, ul32(0x408));
  put(file, entry_at + 4, ul32(16 + 12 + 4));
  for (auto [i, at] : {std::pair{0u, 0x300u}, {1u, 0x200u}}) {
    put(file, sections_at + 40 * i + 16, ul32(0x100));
    put(file, sections_at + 40 * i + 20, ul32(at));
  }
  for (auto [at, size] : {std::pair{0x408u, 16u}, {0x418u, 12u}}) {
    put(file, at, ul32(size));
    put(file, at + 4, ul16(0x200));
    put(file, at + 6, ul16(2));
  }
  return file;
}

std::string pe_error(const std::vector<uint8_t>& file) {
  try {
    return parse_pe_image(file) ? "" : "no PE";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Errc::format);
    return e.message();
  }
}

TEST(PeImage, DigestCoversAllButTheChecksumTheEntryAndTheTable) {
  std::vector<uint8_t> file = make_pe();
  PeImage pe = *parse_pe_image(file);
  std::vector<int> count(file.size(), 0);
  for (Bytes range : pe.digested) {
    for (size_t i = 0; i < range.size(); ++i) ++count[static_cast<size_t>(range.data() - file.data()) + i];
  }
  for (size_t i = 0; i < file.size(); ++i) {
    bool left_out =
        (i >= optional_at + 64 && i < optional_at + 68) || (i >= entry_at && i < entry_at + 8) || i >= 0x408;
    EXPECT_EQ(count[i], left_out ? 0 : 1) << i;
  }
  // Sections by their place in the file, not in the section table.
  EXPECT_EQ(pe.digested[3].data(), file.data() + 0x200);
  EXPECT_EQ(pe.digested[4].data(), file.data() + 0x300);
}

TEST(PeImage, CertificateTable) {
  std::vector<uint8_t> file = make_pe();
  PeImage pe = *parse_pe_image(file);
  EXPECT_EQ(pe.table_problem, "");
  ASSERT_EQ(pe.certificates.size(), 2u);
  EXPECT_EQ(pe.certificates[0].offset, 0x408u);
  EXPECT_EQ(pe.certificates[0].content.size(), 8u);
  EXPECT_EQ(pe.certificates[1].content.size(), 4u);
  put(file, entry_at + 4, ul32(16 + 12));  // as pesign counts: the padding is not in the size
  file.resize(file.size() - 4);
  EXPECT_EQ(parse_pe_image(file)->certificates.size(), 2u);
  file = make_pe();
  put(file, 0x418, ul32(13 + 4));
  pe = *parse_pe_image(file);
  EXPECT_EQ(pe.certificates.size(), 1u);
  EXPECT_NE(pe.table_problem, "");
  put(file, 0x408, ul32(7));
  pe = *parse_pe_image(file);
  EXPECT_TRUE(pe.certificates.empty());
  EXPECT_NE(pe.table_problem, "");
  put(file, 0x408, ul32(0));  // would walk on the spot
  EXPECT_NE(parse_pe_image(file)->table_problem, "");
}

TEST(PeImage, RefusedHeaders) {
  std::vector<uint8_t> good = make_pe();
  auto with = [&](uint64_t at, uint32_t value) {
    std::vector<uint8_t> file = good;
    put(file, at, ul32(value));
    return pe_error(file);
  };
  EXPECT_EQ(pe_error(good), "");
  EXPECT_EQ(with(0x3c, 0xfffffff0), "no PE");
  EXPECT_NE(with(optional_at, 0x20c).find("unknown kind"), std::string::npos);
  EXPECT_NE(with(optional_at + 60, 0x10000).find("headers"), std::string::npos);
  EXPECT_NE(with(optional_at + 60, 0x150).find("headers"),
            std::string::npos);  // ends inside the section table
  EXPECT_NE(with(optional_at + 108, 4).find("no room"), std::string::npos);
  EXPECT_NE(with(entry_at, 0x409).find("truncated"), std::string::npos);
  EXPECT_NE(with(entry_at + 4, 0xffffffff).find("truncated"), std::string::npos);
  EXPECT_NE(with(entry_at, 0x100).find("inside the headers"), std::string::npos);
  EXPECT_NE(with(sections_at + 20, 0x400).find("section 0"), std::string::npos);
  EXPECT_NE(with(sections_at + 16, 0xffffffff).find("section 0"), std::string::npos);
  EXPECT_NE(with(sections_at + 16, 0x120).find("larger than the file"), std::string::npos);
  EXPECT_EQ(pe_error({'M', 'Z'}), "no PE");
  EXPECT_EQ(pe_error({}), "no PE");
}

std::vector<uint8_t> list(std::string_view guid_first_byte, uint32_t list_size, uint32_t header,
                          uint32_t each, size_t data) {
  std::vector<uint8_t> out(28 + data, 0xab);
  if (guid_first_byte == "sha256") {
    const uint8_t guid[] = {0x26, 0x16, 0xc4, 0xc1, 0x4c, 0x50, 0x92, 0x40,
                            0xac, 0xa9, 0x41, 0xf9, 0x36, 0x93, 0x43, 0x28};
    std::copy(std::begin(guid), std::end(guid), out.begin());
  }
  put(out, 16, ul32(list_size));
  put(out, 20, ul32(header));
  put(out, 24, ul32(each));
  return out;
}

TEST(EfiSignatureLists, EntriesOfSeveralLists) {
  std::vector<uint8_t> lists = list("sha256", 28 + 96, 0, 48, 96);
  std::vector<uint8_t> other = list("", 28 + 4 + 20, 4, 20, 24);
  lists.insert(lists.end(), other.begin(), other.end());
  std::vector<EfiSignature> found;
  parse_signature_lists(lists, found);
  ASSERT_EQ(found.size(), 3u);
  EXPECT_EQ(found[1].type, EfiSignature::Type::sha256);
  EXPECT_EQ(found[1].data.size(), 32u);
  EXPECT_EQ(found[1].owner, "abababab-abab-abab-abab-abababababab");
  EXPECT_EQ(found[2].type, EfiSignature::Type::other);
  EXPECT_EQ(found[2].data.size(), 4u);
}

TEST(EfiSignatureLists, ContradictionsKeepWhatCameBefore) {
  for (const std::vector<uint8_t>& bad :
       {list("", 27, 0, 48, 96), list("", 28 + 97, 0, 48, 96), list("", 28 + 96, 0, 0, 96),
        list("", 28 + 96, 0, 16, 96), list("", 28 + 96, 0, 47, 96), list("", 28 + 96, 0xffffffff, 48, 96),
        list("", 28, 0, 48, 0), list("", 0, 0, 48, 96)}) {
    std::vector<uint8_t> lists = list("sha256", 28 + 48, 0, 48, 48);
    lists.insert(lists.end(), bad.begin(), bad.end());
    std::vector<EfiSignature> found;
    EXPECT_THROW(parse_signature_lists(lists, found), Error);
    EXPECT_EQ(found.size(), 1u);
  }
}

TEST(ImaAttribute, Kinds) {
  std::vector<uint8_t> digest = {4, 4};
  digest.resize(2 + 32, 0x11);
  ImaAttribute attribute = parse_ima_attribute(digest);
  EXPECT_EQ(attribute.kind, ImaAttribute::Kind::digest);
  EXPECT_EQ(attribute.algorithm, "sha256");
  EXPECT_EQ(attribute.digest.size(), 32u);
  attribute = parse_ima_attribute(std::vector<uint8_t>(21, 1));
  EXPECT_EQ(attribute.algorithm, "sha1");
  attribute = parse_ima_attribute(std::vector<uint8_t>(17, 1));
  EXPECT_EQ(attribute.algorithm, "md5");
  std::vector<uint8_t> signature = {3, 2, 4, 0xde, 0xad, 0xbe, 0xef, 0, 2, 7, 7};
  attribute = parse_ima_attribute(signature);
  EXPECT_EQ(attribute.kind, ImaAttribute::Kind::signature);
  EXPECT_EQ(attribute.key_id, "deadbeef");
  EXPECT_EQ(attribute.signature.size(), 2u);
  signature[0] = 6;
  signature[1] = 3;
  EXPECT_EQ(parse_ima_attribute(signature).kind, ImaAttribute::Kind::verity_signature);
  EXPECT_EQ(parse_ima_attribute(std::vector<uint8_t>{2, 1, 1}).kind, ImaAttribute::Kind::other);
}

TEST(ImaAttribute, Damage) {
  for (const std::vector<uint8_t>& bad : {std::vector<uint8_t>{},
                                          {4},
                                          {4, 4},
                                          {1},
                                          {3},
                                          {3, 2, 4, 1, 2, 3, 4, 0},
                                          {3, 2, 4, 1, 2, 3, 4, 0, 0},
                                          {3, 2, 4, 1, 2, 3, 4, 0, 2, 7},
                                          {3, 2, 4, 1, 2, 3, 4, 0, 2, 7, 7, 7}}) {
    EXPECT_THROW(parse_ima_attribute(bad), Error) << bad.size();
  }
  std::vector<uint8_t> file(100, 1);
  // A hash number nobody has.
  EXPECT_THROW(ima_digest_matches(parse_ima_attribute(std::vector<uint8_t>{4, 200, 1, 2}), file), Error);
  // Shorter than the digest it claims.
  EXPECT_FALSE(ima_digest_matches(parse_ima_attribute(std::vector<uint8_t>{4, 4, 1, 2}), file));
}

std::vector<uint8_t> appended(const std::string& content, uint8_t type, uint8_t padding, uint32_t size,
                              const std::string& message) {
  std::array<uint8_t, 12> descriptor = {0, 0, type, 0, 0, 0, 0, padding};
  store(MutableBytes(descriptor), 8, ub32(size));
  return bytes_of_text(content + message + std::string(as_text(descriptor)) +
                       "~Module signature appended~\n");
}

TEST(AppendedSignature, Parts) {
  std::vector<uint8_t> file = appended("content", 2, 0, 3, "sig");
  std::optional<AppendedSignature> found = find_appended_signature(file);
  ASSERT_TRUE(found);
  EXPECT_EQ(as_text(found->content), "content");
  EXPECT_EQ(as_text(found->message), "sig");
  file.back() = ' ';
  EXPECT_FALSE(find_appended_signature(file));
  for (const std::vector<uint8_t>& bad :
       {appended("content", 1, 0, 3, "sig"), appended("content", 2, 1, 3, "sig"),
        appended("content", 2, 0, 0, "sig"), appended("content", 2, 0, 10, "sig"),
        appended("content", 2, 0, 0xffffffff, "sig"), bytes_of_text("short~Module signature appended~\n")}) {
    EXPECT_THROW(find_appended_signature(bad), Error);
  }
}

TEST(KernelKeys, AsProcKeysShowsThem) {
  std::map<std::string, uint32_t> keyrings;
  KernelKeys keys = parse_kernel_keys(
      "0bf6ec33 I------     1 perm 1f0b0000     0     0 keyring   .builtin_trusted_keys: 2\n"
      "0d5a1b2c I------     1 perm 1f030000     0     0 asymmetri Debian Secure Boot CA: 6ccece7e4c: "
      "X509.rsa bb419ea1 []\n"
      "0e000001 I------     1 perm 1f030000     0     0 asymmetri a: b: c: 00ff: X509.ecdsa-nist-p256 00ff "
      "[]\n"
      "0f000002 I------     1 perm 0a010000     0     0 blacklist tbs:0123\n"
      "garbage\n\n"
      "10000003 I--Q---     4 perm 3f010000  1000  1000 user      X509.rsa: 5\n",
      keyrings);
  EXPECT_TRUE(keys.complete);
  EXPECT_EQ(keyrings.at(".builtin_trusted_keys"), 0x0bf6ec33u);
  ASSERT_EQ(keys.keys.size(), 2u);
  EXPECT_EQ(keys.keys[0].subject, "Debian Secure Boot CA");
  EXPECT_EQ(keys.keys[0].id, "6ccece7e4c");
  EXPECT_EQ(keys.keys[1].subject, "a: b: c");
  EXPECT_EQ(keys.keys[1].id, "00ff");
  EXPECT_EQ(keys.blacklisted, std::vector<std::string>{"tbs:0123"});
  keyrings.clear();
  EXPECT_FALSE(parse_kernel_keys("", keyrings).complete);
}

TEST(ImageLayers, DamagedContainersAreSaidNotTrusted) {
  std::vector<uint8_t> zboot(64, 0);
  std::string_view magic("MZ\0\0zimg", 8);
  std::copy(magic.begin(), magic.end(), zboot.begin());
  put(zboot, 8, ul32(60));
  put(zboot, 12, ul32(5));
  ImageLayers opened = open_image_layers(zboot);
  EXPECT_EQ(opened.layers.size(), 1u);
  ASSERT_TRUE(opened.problem);
  EXPECT_NE(opened.problem->message().find("truncated"), std::string::npos);
  opened = open_image_layers({0x1f, 0x8b, 8, 0, 0});
  EXPECT_EQ(opened.layers[0].name(), "gzip data");
  EXPECT_TRUE(opened.problem);
  for (const std::vector<uint8_t>& file : {std::vector<uint8_t>(), bytes_of_text("hello")}) {
    opened = open_image_layers(file);
    EXPECT_EQ(opened.layers[0].format, ImageFormat::unknown);
    EXPECT_TRUE(opened.problem);
  }
}

}  // namespace
}  // namespace kdk
