#include "loader/signature/ima_xattr.h"

#include <fmt/format.h>
#include <openssl/rsa.h>
#include <sys/xattr.h>

#include <cerrno>

#include "loader/signature/crypto.h"

namespace kdk {
namespace {

// evm_ima_xattr_type
constexpr uint8_t type_digest = 1, type_signature = 3, type_digest_ng = 4, type_verity_signature = 6;

struct SignatureHeader {
  uint8_t type;
  uint8_t version;
  uint8_t algorithm;
  ub32 key_id;
  ub16 size;
};
static_assert(sizeof(SignatureHeader) == 9);

std::string algorithm_name(uint8_t number) {
  const HashAlgorithm* hash = hash_by_ima_number(number);
  return hash != nullptr ? std::string(hash->name) : fmt::format("hash number {}", number);
}

const HashAlgorithm& require_hash(const std::string& name) {
  const HashAlgorithm* hash = hash_by_name(name);
  if (hash == nullptr) throw Error(Errc::unsupported, name + " is not known here");
  return *hash;
}

void parse_signature(Bytes value, ImaAttribute& out) {
  std::optional<SignatureHeader> header = load<SignatureHeader>(value);
  if (!header || value.size() == sizeof(SignatureHeader))
    throw Error(Errc::format, "the signature is cut off");
  out.version = header->version;
  out.algorithm = algorithm_name(header->algorithm);
  out.key_id = fmt::format("{:08x}", uint32_t{header->key_id});
  Bytes rest = value.subspan(sizeof(SignatureHeader));
  if (rest.size() != header->size) {
    throw Error(Errc::format,
                fmt::format("the signature says {} bytes, but has {}", uint16_t{header->size}, rest.size()));
  }
  out.signature.assign(rest.begin(), rest.end());
}

}  // namespace

std::optional<std::vector<uint8_t>> read_ima_attribute(const std::filesystem::path& path) {
  std::vector<uint8_t> value(64 << 10);  // XATTR_SIZE_MAX
  ssize_t size = ::getxattr(path.c_str(), "security.ima", value.data(), value.size());
  if (size < 0 && (errno == ENODATA || errno == ENOTSUP)) return std::nullopt;
  if (size < 0) throw error_from_errno(errno, "security.ima");
  value.resize(static_cast<size_t>(size));
  return value;
}

ImaAttribute parse_ima_attribute(Bytes value) {
  if (value.empty()) throw Error(Errc::format, "empty");
  ImaAttribute out;
  out.type = value[0];
  if (out.type == type_digest || out.type == type_digest_ng) {
    out.kind = ImaAttribute::Kind::digest;
    size_t header = out.type == type_digest ? 1 : 2;
    if (value.size() <= header) throw Error(Errc::format, "the digest is cut off");
    // Without a number: SHA-1, or MD5 where the value is that short.
    bool is_md5 = out.type == type_digest && value.size() == 17;
    out.algorithm = out.type == type_digest_ng ? algorithm_name(value[1]) : is_md5 ? "md5" : "sha1";
    out.digest.assign(value.begin() + static_cast<ptrdiff_t>(header), value.end());
  } else if (out.type == type_signature || out.type == type_verity_signature) {
    out.kind =
        out.type == type_signature ? ImaAttribute::Kind::signature : ImaAttribute::Kind::verity_signature;
    parse_signature(value, out);
  }
  return out;
}

bool ima_digest_matches(const ImaAttribute& attribute, Bytes file) {
  std::vector<uint8_t> digest = digest_of(require_hash(attribute.algorithm), std::span(&file, 1));
  // Longer values are padded: the kernel compares as much as the algorithm has.
  return attribute.digest.size() >= digest.size() &&
         std::equal(digest.begin(), digest.end(), attribute.digest.begin());
}

bool verify_ima_signature(const ImaAttribute& attribute, Bytes file, const PublicKey& key) {
  const HashAlgorithm& hash = require_hash(attribute.algorithm);
  std::vector<uint8_t> digest = digest_of(hash, std::span(&file, 1));
  if (attribute.version == 3) {
    std::vector<uint8_t> file_id = {attribute.type, hash.ima_number};
    file_id.insert(file_id.end(), digest.begin(), digest.end());
    Bytes part(file_id);
    digest = digest_of(hash, std::span(&part, 1));
  }
  std::unique_ptr<EVP_PKEY_CTX, OpensslFree<EVP_PKEY_CTX_free>> context(
      EVP_PKEY_CTX_new(key.handle.get(), nullptr));
  bool good = context && EVP_PKEY_verify_init(context.get()) == 1;
  if (good && EVP_PKEY_is_a(key.handle.get(), "RSA") == 1) {
    good = EVP_PKEY_CTX_set_rsa_padding(context.get(), RSA_PKCS1_PADDING) == 1;
  }
  good = good && EVP_PKEY_CTX_set_signature_md(context.get(), evp_digest(hash)) == 1 &&
         EVP_PKEY_verify(context.get(), attribute.signature.data(), attribute.signature.size(), digest.data(),
                         digest.size()) == 1;
  clear_openssl_errors();
  return good;
}

}  // namespace kdk
