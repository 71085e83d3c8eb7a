#include "loader/signature/signed_message.h"

#include <fmt/format.h>
#include <openssl/cms.h>
#include <openssl/pkcs7.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <climits>

#include "loader/signature/crypto.h"

namespace kdk {
namespace {

constexpr int max_signers = 16;  // one is usual; each may cost a hash over the whole image

// One DER element: definite lengths only, which is what DER is.
struct Element {
  uint8_t tag = 0;
  Bytes value;
  Bytes rest;  // behind it
};

std::optional<Element> read_element(Bytes bytes) {
  if (bytes.size() < 2) return std::nullopt;
  uint64_t size = bytes[1];
  uint64_t header = 2;
  if ((size & 0x80) != 0) {
    unsigned count = size & 0x7f;
    if (count == 0 || count > 4 || bytes.size() < 2u + count) return std::nullopt;
    size = 0;
    for (unsigned i = 0; i < count; ++i) size = size << 8 | bytes[2 + i];
    header += count;
  }
  std::optional<Bytes> value = subspan(bytes, header, size);
  if (!value) return std::nullopt;
  return Element{bytes[0], *value, bytes.subspan(header + size)};
}

Element require_element(Bytes bytes, uint8_t tag, std::string_view what) {
  std::optional<Element> element = read_element(bytes);
  if (!element || element->tag != tag)
    throw Error(Errc::format, fmt::format("no {} where one should be", what));
  return *element;
}

std::shared_ptr<ASN1_OBJECT> parse_object(Bytes bytes) {
  const unsigned char* at = bytes.data();
  ASN1_OBJECT* object = d2i_ASN1_OBJECT(nullptr, &at, static_cast<long>(bytes.size()));
  clear_openssl_errors();
  if (object == nullptr) throw Error(Errc::format, "a damaged object identifier");
  return {object, ASN1_OBJECT_free};
}

// SpcIndirectDataContent ::= SEQUENCE { data SEQUENCE { type OID, ... }, SEQUENCE { SEQUENCE { OID, ... },
// OCTETS } }
void read_indirect_data(Bytes content, AuthenticodeMessage& out) {
  constexpr uint8_t sequence = 0x30, octets = 0x04;
  Element whole = require_element(content, sequence, "SpcIndirectDataContent");
  Element data = require_element(whole.value, sequence, "data description");
  std::string type = object_name(parse_object(data.value).get());
  // The second is what pesign once wrote by mistake; the kernel takes both (mscode_parser.c,
  // mscode_note_content_type).
  if (type != "1.3.6.1.4.1.311.2.1.15" && type != "msCodeInd") {
    throw Error(Errc::format, fmt::format("the message is about {}, not about a PE image", type));
  }
  Element digest_info = require_element(data.rest, sequence, "digest");
  Element algorithm = require_element(digest_info.value, sequence, "digest algorithm");
  std::shared_ptr<ASN1_OBJECT> object = parse_object(algorithm.value);
  const HashAlgorithm* hash = hash_by_object(object.get());
  out.digest_algorithm = hash != nullptr ? std::string(hash->name) : object_name(object.get());
  Element value = require_element(algorithm.rest, octets, "digest value");
  out.digest.assign(value.value.begin(), value.value.end());
}

// The kernel's walk upwards inside the message (pkcs7_verify.c, pkcs7_verify_sig_chain): each next
// certificate is found by the authority key identifier, and only by that.
void walk_chain(const std::vector<Certificate>& certificates, Signer& signer) {
  while (signer.chain.size() <= certificates.size()) {
    const Certificate& last = signer.chain.back();
    if (last.self_signed) {
      if (!last.signed_by(last.public_key()))
        signer.problem = fmt::format("\"{}\" did not sign itself", last.subject);
      return;
    }
    const Certificate* issuer = nullptr;
    for (const Certificate& candidate : certificates) {
      bool found = last.authority_id.empty()
                       ? !last.authority_key_id.empty() && candidate.subject_key_id == last.authority_key_id
                       : candidate.id == last.authority_id;
      if (found) issuer = &candidate;
      if (found) break;
    }
    if (issuer == nullptr) return;
    if (!last.signed_by(issuer->public_key())) {
      signer.problem = fmt::format("\"{}\" says it was issued by \"{}\", whose key did not sign it",
                                   last.subject, issuer->subject);
      return;
    }
    signer.chain.push_back(*issuer);
  }
  signer.chain.pop_back();  // a loop: the kernel stops there too
}

// What the kernel's RSA code says of a signature that does not hold (crypto/rsa-pkcs1pad.c,
// pkcs1pad_verify_complete): only one that the key has made for something else is "rejected"; else what comes
// out is no padded digest.
std::string rsa_error(EVP_PKEY* key, Bytes signature) {
  std::unique_ptr<EVP_PKEY_CTX, OpensslFree<EVP_PKEY_CTX_free>> context(EVP_PKEY_CTX_new(key, nullptr));
  std::vector<uint8_t> padded(static_cast<size_t>(std::max(EVP_PKEY_get_size(key), 2)));
  size_t size = padded.size();
  bool computed =
      context && EVP_PKEY_verify_recover_init(context.get()) == 1 &&
      EVP_PKEY_CTX_set_rsa_padding(context.get(), RSA_NO_PADDING) == 1 &&
      EVP_PKEY_verify_recover(context.get(), padded.data(), &size, signature.data(), signature.size()) == 1;
  clear_openssl_errors();
  if (!computed || size != padded.size() || padded[0] != 0) return "EINVAL";
  return padded[1] == 1 ? "EKEYREJECTED" : "EBADMSG";
}

std::string signature_error(EVP_PKEY* key, Bytes signature) {
  return key != nullptr && EVP_PKEY_is_a(key, "RSA") == 1 ? rsa_error(key, signature) : "EKEYREJECTED";
}

void judge_signer(const std::vector<Certificate>& certificates, Signer& signer) {
  if (signer.unsupported_crypto || !signer.problem.empty()) return;
  for (const Certificate& certificate : certificates) {
    if (certificate.id != signer.named_id && certificate.subject_key_id != signer.named_id) continue;
    signer.chain.push_back(certificate);
    break;
  }
  if (signer.chain.empty()) return;
  const Certificate& certificate = signer.chain.front();
  if (!signer.signed_at.empty() && !certificate.valid_at(signer.signed_at)) {
    signer.problem = fmt::format("signed at {}, outside of the certificate's validity from {} to {}",
                                 signer.signed_at, certificate.not_before, certificate.not_after);
  } else if (!signer.verify(certificate)) {
    signer.problem = fmt::format("the key of \"{}\" did not make this signature", certificate.subject);
    signer.error = signature_error(certificate.public_key(), signer.signature);
  } else {
    walk_chain(certificates, signer);
  }
}

std::string serial_hex(const ASN1_INTEGER* serial) {
  std::vector<uint8_t> der = der_of(serial, i2d_ASN1_INTEGER);
  std::optional<Element> element = read_element(der);
  return element ? to_hex(element->value) : "";
}

// "issuer, serial number" as a signer info names a certificate. The same bytes as Certificate::id.
void set_name(const X509_NAME* issuer, const ASN1_INTEGER* serial, Signer& signer) {
  std::vector<uint8_t> der = der_of(serial, i2d_ASN1_INTEGER);
  std::optional<Element> number = read_element(der);
  std::vector<uint8_t> name = der_of(issuer, i2d_X509_NAME);
  signer.named_serial = serial_hex(serial);
  if (number) signer.named_id = std::string(as_text(number->value)) + std::string(as_text(name));
  BioPtr text(BIO_new(BIO_s_mem()));
  X509_NAME_print_ex(text.get(), issuer, 0,
                     XN_FLAG_RFC2253 & ~static_cast<unsigned long>(ASN1_STRFLGS_ESC_MSB));
  char* start = nullptr;
  long size = BIO_get_mem_data(text.get(), &start);
  if (size > 0) signer.named_issuer.assign(start, static_cast<size_t>(size));
}

void set_digest(const ASN1_OBJECT* object, Signer& signer) {
  const HashAlgorithm* hash = hash_by_object(object);
  signer.digest = hash != nullptr ? std::string(hash->name) : object_name(object);
  if (hash == nullptr || hash->name == "md5") signer.unsupported_crypto = true;
}

bool kernel_knows_key_algorithm(const X509_ALGOR* algorithm) {
  const ASN1_OBJECT* object = nullptr;
  X509_ALGOR_get0(&object, nullptr, nullptr, algorithm);
  int nid = OBJ_obj2nid(object);
  int key = NID_undef;
  if (nid == NID_rsaEncryption) return true;  // with PKCS#1 v1.5 padding
  return OBJ_find_sigid_algs(nid, nullptr, &key) == 1 && key == NID_X9_62_id_ecPublicKey;
}

template <typename Stack, typename Count, typename At>
std::vector<Certificate> certificates_of(const Stack* stack, Count count, At at) {
  std::vector<Certificate> out;
  for (int i = 0; stack != nullptr && i < count(stack); ++i)
    out.push_back(describe_certificate(at(stack, i)));
  return out;
}

bool verify_pkcs7(PKCS7* message, PKCS7_SIGNER_INFO* info, Bytes content, X509* certificate) {
  const HashAlgorithm* hash = hash_by_object(info->digest_alg->algorithm);
  if (hash == nullptr) return false;
  BioPtr chain(BIO_new(BIO_f_md()));
  BIO_set_md(chain.get(), evp_digest(*hash));
  BIO_push(chain.get(), BIO_new(BIO_s_null()));
  BIO_write(chain.get(), content.data(), static_cast<int>(content.size()));
  bool good = PKCS7_signatureVerify(chain.get(), message, info, certificate) == 1;
  clear_openssl_errors();
  return good;
}

Signer describe_pkcs7_signer(const std::shared_ptr<PKCS7>& message, PKCS7_SIGNER_INFO* info, Bytes content) {
  Signer signer;
  set_name(info->issuer_and_serial->issuer, info->issuer_and_serial->serial, signer);
  set_digest(info->digest_alg->algorithm, signer);
  if (!kernel_knows_key_algorithm(info->digest_enc_alg)) signer.unsupported_crypto = true;
  if (signer.unsupported_crypto) signer.problem = "the kernel does not know this kind of signature";
  if (sk_X509_ATTRIBUTE_num(info->auth_attr) <= 0)
    signer.problem = "no signed attributes, which Authenticode requires";
  if (const ASN1_TYPE* time = PKCS7_get_signed_attribute(info, NID_pkcs9_signingTime)) {
    if (time->type == V_ASN1_UTCTIME) signer.signed_at = time_text(time->value.utctime);
    if (time->type == V_ASN1_GENERALIZEDTIME) signer.signed_at = time_text(time->value.generalizedtime);
  }
  signer.signature = bytes_of(info->enc_digest);
  signer.verify = [message, info,
                   copy = std::vector<uint8_t>(content.begin(), content.end())](const Certificate& by) {
    return verify_pkcs7(message.get(), info, copy, by.handle.get());
  };
  return signer;
}

void require_signer_count(int count) {
  if (count < 1) throw Error(Errc::format, "nobody signed this message");
  if (count > max_signers) throw Error(Errc::unsupported, fmt::format("{} signers in one message", count));
}

bool verify_cms(CMS_ContentInfo* message, CMS_SignerInfo* info, Bytes content, X509* certificate) {
  if (content.size() > INT_MAX) return false;
  CMS_SignerInfo_set1_signer_cert(info, certificate);
  BioPtr data(BIO_new_mem_buf(content.data(), static_cast<int>(content.size())));
  BioPtr chain(CMS_dataInit(message, data.get()));
  if (!chain) {
    clear_openssl_errors();
    return false;
  }
  (void)data.release();  // the chain owns it now
  std::vector<uint8_t> buffer(64 << 10);
  while (BIO_read(chain.get(), buffer.data(), static_cast<int>(buffer.size())) > 0) {
  }
  bool good = CMS_SignerInfo_verify_content(info, chain.get()) == 1;
  clear_openssl_errors();
  return good;
}

Signer describe_cms_signer(const std::shared_ptr<CMS_ContentInfo>& message, CMS_SignerInfo* info,
                           Bytes content) {
  Signer signer;
  ASN1_OCTET_STRING* key_id = nullptr;
  X509_NAME* issuer = nullptr;
  ASN1_INTEGER* serial = nullptr;
  CMS_SignerInfo_get0_signer_id(info, &key_id, &issuer, &serial);
  if (issuer != nullptr && serial != nullptr) set_name(issuer, serial, signer);
  if (key_id != nullptr) signer.named_id = to_hex(bytes_of(key_id));
  X509_ALGOR* digest = nullptr;
  X509_ALGOR* key = nullptr;
  CMS_SignerInfo_get0_algs(info, nullptr, nullptr, &digest, &key);
  set_digest(digest->algorithm, signer);
  if (!kernel_knows_key_algorithm(key)) signer.unsupported_crypto = true;
  if (signer.unsupported_crypto) signer.problem = "the kernel does not know this kind of signature";
  if (CMS_signed_get_attr_count(info) > 0) {
    signer.problem = "has signed attributes, which the kernel does not allow here";
  }
  signer.signature = bytes_of(CMS_SignerInfo_get0_signature(info));
  signer.verify = [message, info, content](const Certificate& by) {
    return verify_cms(message.get(), info, content, by.handle.get());
  };
  return signer;
}

}  // namespace

std::optional<uint64_t> der_element_size(Bytes bytes) {
  std::optional<Element> element = read_element(bytes);
  if (!element) return std::nullopt;
  return bytes.size() - element->rest.size();
}

AuthenticodeMessage parse_authenticode_message(Bytes der) {
  const unsigned char* at = der.data();
  std::shared_ptr<PKCS7> message(d2i_PKCS7(nullptr, &at, static_cast<long>(der.size())), PKCS7_free);
  clear_openssl_errors();
  if (!message) throw Error(Errc::format, "not a PKCS#7 message, or a damaged one");
  if (!PKCS7_type_is_signed(message.get()) || message->d.sign == nullptr ||
      message->d.sign->contents == nullptr) {
    throw Error(Errc::format, "a PKCS#7 message, but not SignedData");
  }
  const PKCS7* contents = message->d.sign->contents;
  std::string type = object_name(contents->type);
  const bool known = OBJ_obj2nid(contents->type) != NID_undef;
  if (known || type != "1.3.6.1.4.1.311.2.1.4" || contents->d.other == nullptr ||
      contents->d.other->type != V_ASN1_SEQUENCE) {
    throw Error(Errc::format,
                fmt::format("the message signs {}, not Authenticode's SpcIndirectDataContent", type));
  }
  AuthenticodeMessage out;
  Bytes content = bytes_of(contents->d.other->value.sequence);
  read_indirect_data(content, out);
  // What is hashed is the value of the SEQUENCE, without its tag and length.
  Bytes value = read_element(content)->value;
  STACK_OF(PKCS7_SIGNER_INFO)* infos = PKCS7_get_signer_info(message.get());
  require_signer_count(sk_PKCS7_SIGNER_INFO_num(infos));
  std::vector<Certificate> certificates = certificates_of(
      message->d.sign->cert, [](const auto* s) { return sk_X509_num(s); },
      [](const auto* s, int i) { return sk_X509_value(s, i); });
  for (int i = 0; i < sk_PKCS7_SIGNER_INFO_num(infos); ++i) {
    out.message.signers.push_back(
        describe_pkcs7_signer(message, sk_PKCS7_SIGNER_INFO_value(infos, i), value));
    judge_signer(certificates, out.message.signers.back());
  }
  return out;
}

SignedMessage parse_detached_message(Bytes der, Bytes content) {
  const unsigned char* at = der.data();
  std::shared_ptr<CMS_ContentInfo> message(d2i_CMS_ContentInfo(nullptr, &at, static_cast<long>(der.size())),
                                           CMS_ContentInfo_free);
  clear_openssl_errors();
  if (!message || OBJ_obj2nid(CMS_get0_type(message.get())) != NID_pkcs7_signed) {
    throw Error(Errc::format, "not a PKCS#7 SignedData message, or a damaged one");
  }
  if (OBJ_obj2nid(CMS_get0_eContentType(message.get())) != NID_pkcs7_data) {
    throw Error(Errc::format, "the message does not sign plain data");
  }
  if (CMS_is_detached(message.get()) != 1) throw Error(Errc::format, "the message carries its own data");
  STACK_OF(CMS_SignerInfo)* infos = CMS_get0_SignerInfos(message.get());
  require_signer_count(sk_CMS_SignerInfo_num(infos));
  STACK_OF(X509)* stack = CMS_get1_certs(message.get());
  std::vector<Certificate> certificates = certificates_of(
      stack, [](const auto* s) { return sk_X509_num(s); },
      [](const auto* s, int i) { return sk_X509_value(s, i); });
  sk_X509_pop_free(stack, X509_free);
  SignedMessage out;
  for (int i = 0; i < sk_CMS_SignerInfo_num(infos); ++i) {
    out.signers.push_back(describe_cms_signer(message, sk_CMS_SignerInfo_value(infos, i), content));
    judge_signer(certificates, out.signers.back());
  }
  return out;
}

}  // namespace kdk
