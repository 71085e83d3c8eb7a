// Messages made here with OpenSSL, for what sbsign cannot be told to do: signing times, several signers,
// wrong content.
#include "loader/signature/signed_message.h"

#include <gtest/gtest.h>
#include <openssl/pkcs7.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include "loader/signature/crypto.h"

namespace kdk {
namespace {

constexpr int64_t day = 86400;
constexpr int64_t year_2020 = 1577836800;

struct Identity {
  KeyPtr key;
  std::shared_ptr<X509> certificate;
};

Identity make_identity(const char* name, int64_t from, int64_t to) {
  Identity out;
  out.key.reset(EVP_RSA_gen(2048));
  out.certificate.reset(X509_new(), X509_free);
  X509* x = out.certificate.get();
  X509_set_version(x, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(x), 0x1234);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                             reinterpret_cast<const uint8_t*>(name), -1, -1, 0);
  X509_set_issuer_name(x, X509_get_subject_name(x));
  ASN1_TIME_set(X509_getm_notBefore(x), from);
  ASN1_TIME_set(X509_getm_notAfter(x), to);
  X509_set_pubkey(x, out.key.get());
  X509_sign(x, out.key.get(), EVP_sha256());
  return out;
}

std::vector<uint8_t> tagged(uint8_t tag, std::initializer_list<std::vector<uint8_t>> parts) {
  std::vector<uint8_t> out = {tag, 0};
  for (const auto& part : parts) out.insert(out.end(), part.begin(), part.end());
  out[1] = static_cast<uint8_t>(out.size() - 2);
  return out;
}
std::vector<uint8_t> oid(const char* text) {
  std::shared_ptr<ASN1_OBJECT> object(OBJ_txt2obj(text, 1), ASN1_OBJECT_free);
  return der_of(object.get(), i2d_ASN1_OBJECT);
}

// SpcIndirectDataContent about `digest`.
std::vector<uint8_t> indirect_data(const std::vector<uint8_t>& digest,
                                   const char* type = "1.3.6.1.4.1.311.2.1.15") {
  return tagged(0x30, {tagged(0x30, {oid(type)}), tagged(0x30, {tagged(0x30, {oid("2.16.840.1.101.3.4.2.1")}),
                                                                tagged(0x04, {digest})})});
}

// `signed_content` is what the signature covers, `carried` what the message holds.
std::vector<uint8_t> sign(const std::vector<const Identity*>& by, const std::vector<uint8_t>& carried,
                          int64_t when, const std::vector<uint8_t>& signed_content) {
  std::shared_ptr<PKCS7> message(PKCS7_new(), PKCS7_free);
  PKCS7_set_type(message.get(), NID_pkcs7_signed);
  for (const Identity* identity : by) {
    PKCS7_SIGNER_INFO* info =
        PKCS7_add_signature(message.get(), identity->certificate.get(), identity->key.get(), EVP_sha256());
    PKCS7_add_signed_attribute(info, NID_pkcs9_contentType, V_ASN1_OBJECT,
                               OBJ_txt2obj("1.3.6.1.4.1.311.2.1.4", 1));
    PKCS7_add0_attrib_signing_time(info, ASN1_TIME_set(nullptr, when));
    PKCS7_add_certificate(message.get(), identity->certificate.get());
  }
  PKCS7_content_new(message.get(), NID_pkcs7_data);
  BioPtr data(PKCS7_dataInit(message.get(), nullptr));
  BIO_write(data.get(), signed_content.data() + 2, static_cast<int>(signed_content.size()) - 2);
  PKCS7_dataFinal(message.get(), data.get());
  PKCS7* contents = PKCS7_new();
  contents->type = OBJ_txt2obj("1.3.6.1.4.1.311.2.1.4", 1);
  contents->d.other = ASN1_TYPE_new();
  ASN1_STRING* value = ASN1_STRING_new();
  ASN1_STRING_set(value, carried.data(), static_cast<int>(carried.size()));
  ASN1_TYPE_set(contents->d.other, V_ASN1_SEQUENCE, value);
  PKCS7_set_content(message.get(), contents);
  return der_of(message.get(), i2d_PKCS7);
}

class SignedMessageTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    old_ = new Identity(make_identity("old", year_2020, year_2020 + 365 * day));
    other_ = new Identity(make_identity("other", year_2020, year_2020 + 365 * day));
  }
  static void TearDownTestSuite() {
    delete old_;
    delete other_;
  }
  static std::vector<uint8_t> content() { return indirect_data(std::vector<uint8_t>(32, 0x5a)); }

  static Identity* old_;
  static Identity* other_;
};
Identity* SignedMessageTest::old_;
Identity* SignedMessageTest::other_;

TEST_F(SignedMessageTest, ExpiredCertificatesCountAsTheKernelCountsThem) {
  // The certificate ended years ago; the kernel does not ask the clock.
  AuthenticodeMessage message =
      parse_authenticode_message(sign({old_}, content(), year_2020 + 30 * day, content()));
  EXPECT_EQ(message.digest_algorithm, "sha256");
  EXPECT_EQ(message.digest, std::vector<uint8_t>(32, 0x5a));
  ASSERT_EQ(message.message.signers.size(), 1u);
  const Signer& signer = message.message.signers[0];
  EXPECT_EQ(signer.problem, "");
  EXPECT_EQ(signer.signed_at, "2020-01-31T00:00:00Z");
  ASSERT_EQ(signer.chain.size(), 1u);
  EXPECT_EQ(signer.chain[0].subject, "CN=old");
  EXPECT_EQ(signer.chain[0].not_after, "2020-12-31T00:00:00Z");
  EXPECT_TRUE(signer.chain[0].self_signed);
  // A signing time outside of its validity is another matter.
  for (int64_t when : {year_2020 - day, year_2020 + 400 * day}) {
    message = parse_authenticode_message(sign({old_}, content(), when, content()));
    EXPECT_NE(message.message.signers[0].problem.find("outside of the certificate's validity"),
              std::string::npos);
  }
}

TEST_F(SignedMessageTest, EverySignerIsJudged) {
  AuthenticodeMessage message =
      parse_authenticode_message(sign({old_, other_}, content(), year_2020, content()));
  ASSERT_EQ(message.message.signers.size(), 2u);
  for (const Signer& signer : message.message.signers) EXPECT_EQ(signer.problem, "");
  EXPECT_FALSE(message.message.signers[0].verify(message.message.signers[1].chain[0]));
}

TEST_F(SignedMessageTest, ContentMustBeWhatWasSigned) {
  std::vector<uint8_t> other = indirect_data(std::vector<uint8_t>(32, 0x5b));
  AuthenticodeMessage message = parse_authenticode_message(sign({old_}, other, year_2020, content()));
  EXPECT_NE(message.message.signers[0].problem.find("did not make this signature"), std::string::npos);
}

TEST_F(SignedMessageTest, ContentMustBeAboutAnImage) {
  std::vector<uint8_t> other = indirect_data(std::vector<uint8_t>(32, 1), "1.2.3.4");
  EXPECT_THROW(parse_authenticode_message(sign({old_}, other, year_2020, other)), Error);
  other = indirect_data(std::vector<uint8_t>(32, 1), "1.3.6.1.4.1.311.2.1.21");  // as an old pesign wrote it
  EXPECT_EQ(parse_authenticode_message(sign({old_}, other, year_2020, other)).digest.size(), 32u);
}

TEST_F(SignedMessageTest, NoPrefixAndNoFlippedBitIsAccepted) {
  std::vector<uint8_t> good = sign({old_}, content(), year_2020, content());
  auto holds = [](Bytes der) {
    try {
      AuthenticodeMessage message = parse_authenticode_message(der);
      return message.message.signers[0].problem.empty() && !message.message.signers[0].chain.empty();
    } catch (const Error&) {
      return false;
    }
  };
  ASSERT_TRUE(holds(good));
  for (size_t size = 0; size < good.size(); size += 13) EXPECT_FALSE(holds(Bytes(good).first(size))) << size;
  // Any change of the signature itself, which is the last 256 bytes.
  for (size_t at = good.size() - 256; at < good.size(); at += 17) {
    std::vector<uint8_t> changed = good;
    changed[at] ^= 0x10;
    EXPECT_FALSE(holds(changed)) << at;
  }
}

TEST(DerElement, SizesAreBounded) {
  auto size_of = [](std::vector<uint8_t> bytes) { return der_element_size(bytes); };
  EXPECT_EQ(size_of({0x30, 1, 0, 9}), 3u);
  EXPECT_EQ(size_of({0x30, 0x81, 2, 0, 0}), 5u);
  EXPECT_EQ(size_of({0x30, 2, 0}), std::nullopt);
  EXPECT_EQ(size_of({0x30, 0x80, 0, 0}), std::nullopt);  // indefinite
  EXPECT_EQ(size_of({0x30, 0x85, 0, 0, 0, 0, 1, 0}), std::nullopt);
  EXPECT_EQ(size_of({0x30}), std::nullopt);
}

}  // namespace
}  // namespace kdk
