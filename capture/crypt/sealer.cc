#include "capture/crypt/sealer.h"

#include <sodium.h>

#include <algorithm>

#include "core/base/error.h"

namespace kdk {

struct Sealer::State {
  crypto_secretstream_xchacha20poly1305_state stream;
  ~State() { sodium_memzero(&stream, sizeof stream); }
};

static_assert(crypto_secretstream_xchacha20poly1305_ABYTES == sealed::chunk_overhead);
static_assert(crypto_secretstream_xchacha20poly1305_HEADERBYTES == sizeof(sealed::Header::stream));
static_assert(crypto_secretstream_xchacha20poly1305_KEYBYTES + crypto_box_SEALBYTES ==
              sizeof(sealed::Header::key));

Sealer::Sealer(const PublicKey& key, uint32_t content, std::function<void(Bytes)> sink, uint32_t chunk_bytes)
    : chunk_bytes_(chunk_bytes), sink_(std::move(sink)), state_(std::make_unique<State>()) {
  start_crypto();
  sealed::magic.copy(header_.magic, sizeof header_.magic);
  header_.version = sealed::version;
  header_.content = content;
  header_.chunk_bytes = chunk_bytes;
  crypto_generichash(header_.recipient.data(), header_.recipient.size(), key.bytes.data(), key.bytes.size(),
                     nullptr, 0);
  std::array<uint8_t, crypto_secretstream_xchacha20poly1305_KEYBYTES> own{};
  crypto_secretstream_xchacha20poly1305_keygen(own.data());
  const bool good = crypto_box_seal(header_.key.data(), own.data(), own.size(), key.bytes.data()) == 0 &&
                    crypto_secretstream_xchacha20poly1305_init_push(&state_->stream, header_.stream.data(),
                                                                    own.data()) == 0;
  sodium_memzero(own.data(), own.size());
  // A public key that is a point of small order: libsodium refuses to hide anything with it.
  if (!good) throw Error(Errc::format, "nothing can be sealed to this public key: it is not a real one");
  plain_.reserve(chunk_bytes_);
  sealed_.resize(chunk_bytes_ + sealed::chunk_overhead);
  std::array<uint8_t, sizeof header_> raw{};
  store(raw, 0, header_);
  bytes_ += raw.size();
  sink_(raw);
}

Sealer::~Sealer() {
  sodium_memzero(plain_.data(), plain_.size());
}

void Sealer::write(Bytes data) {
  while (!data.empty()) {
    // A full chunk goes out when there is more: the last one, full or not, is marked.
    if (plain_.size() == chunk_bytes_) put_chunk(false);
    const size_t take = std::min<size_t>(data.size(), chunk_bytes_ - plain_.size());
    plain_.insert(plain_.end(), data.begin(), data.begin() + static_cast<std::ptrdiff_t>(take));
    data = data.subspan(take);
  }
}

void Sealer::finish() {
  put_chunk(true);
}

void Sealer::put_chunk(bool last) {
  std::array<uint8_t, sizeof header_> ad{};
  store(ad, 0, header_);
  unsigned long long size = 0;
  crypto_secretstream_xchacha20poly1305_push(&state_->stream, sealed_.data(), &size, plain_.data(),
                                             plain_.size(), ad.data(), ad.size(),
                                             last ? crypto_secretstream_xchacha20poly1305_TAG_FINAL
                                                  : crypto_secretstream_xchacha20poly1305_TAG_MESSAGE);
  plain_.clear();
  bytes_ += size;
  sink_(Bytes(sealed_).first(size));
}

MakeStreamFilter seal_stream(const PublicKey& key) {
  return [key](std::function<void(Bytes)> sink) {
    return std::make_unique<Sealer>(key, sealed::content_dump, std::move(sink));
  };
}

std::vector<uint8_t> seal_file(const PublicKey& key, Bytes content) {
  std::vector<uint8_t> out;
  Sealer sealer(key, sealed::content_file,
                [&](Bytes part) { out.insert(out.end(), part.begin(), part.end()); });
  sealer.write(content);
  sealer.finish();
  return out;
}

}  // namespace kdk
