#include "capture/crypt/opener.h"

#include <fmt/format.h>
#include <sodium.h>

#include <algorithm>

#include "core/base/error.h"

namespace kdk {

struct Opener::State {
  crypto_secretstream_xchacha20poly1305_state stream;
  ~State() { sodium_memzero(&stream, sizeof stream); }
};

Opener::Opener(std::function<size_t(MutableBytes)> read, std::string name, const SecretKey& key)
    : read_(std::move(read)), name_(std::move(name)), state_(std::make_unique<State>()) {
  start_crypto();
  std::array<uint8_t, sizeof(sealed::Header)> raw{};
  const size_t got = read_(raw);
  if (!as_text(Bytes(raw).first(got)).starts_with(sealed::magic))
    throw Error(Errc::format, name_ + ": is no sealed file");
  if (got != raw.size()) throw Error(Errc::format, name_ + ": is cut off within its header");
  header_ = *load<sealed::Header>(raw);
  if (header_.version != sealed::version)
    throw Error(Errc::unsupported, fmt::format("{}: sealed files of version {} are not known", name_,
                                               uint32_t{header_.version}));
  if (header_.chunk_bytes < sealed::fewest_chunk_bytes || header_.chunk_bytes > sealed::most_chunk_bytes)
    throw Error(Errc::format,
                fmt::format("{}: chunks of {} bytes cannot be", name_, uint32_t{header_.chunk_bytes}));
  const PublicKey own = public_key_of(key);
  std::array<uint8_t, 32> recipient{};
  crypto_generichash(recipient.data(), recipient.size(), own.bytes.data(), own.bytes.size(), nullptr, 0);
  std::array<uint8_t, crypto_secretstream_xchacha20poly1305_KEYBYTES> stream_key{};
  const bool opened = crypto_box_seal_open(stream_key.data(), header_.key.data(), header_.key.size(),
                                           own.bytes.data(), key.bytes.data()) == 0;
  const bool started = opened && crypto_secretstream_xchacha20poly1305_init_pull(
                                     &state_->stream, header_.stream.data(), stream_key.data()) == 0;
  sodium_memzero(stream_key.data(), stream_key.size());
  if (started) {
    sealed_.resize(header_.chunk_bytes + sealed::chunk_overhead);
    return;
  }
  if (recipient != header_.recipient) throw Error(Errc::denied, name_ + ": is sealed to another key");
  throw Error(Errc::format, name_ + ": the header is damaged or was changed");
}

Opener::~Opener() {
  sodium_memzero(plain_.data(), plain_.size());
}

void Opener::next_chunk() {
  std::array<uint8_t, sizeof header_> ad{};
  store(ad, 0, header_);
  const size_t got = read_(sealed_);
  plain_.clear();
  given_ = 0;
  ended_ = true;  // unless all is well
  if (got < sealed::chunk_overhead) {
    problem_ = fmt::format("{}: is cut off in or before chunk {}", name_, chunk_);
    return;
  }
  plain_.resize(got - sealed::chunk_overhead);
  unsigned long long size = 0;
  unsigned char tag = 0;
  if (crypto_secretstream_xchacha20poly1305_pull(&state_->stream, plain_.data(), &size, &tag, sealed_.data(),
                                                 got, ad.data(), ad.size()) != 0) {
    plain_.clear();
    problem_ = got < sealed_.size()
                   ? fmt::format("{}: chunk {}, the last here, is cut off or was changed", name_, chunk_)
                   : fmt::format("{}: chunk {} is damaged or was changed", name_, chunk_);
    return;
  }
  plain_.resize(size);
  ++chunk_;
  if (tag != crypto_secretstream_xchacha20poly1305_TAG_FINAL) {
    ended_ = got < sealed_.size();
    if (ended_) problem_ = fmt::format("{}: chunk {} is short, and not the last", name_, chunk_ - 1);
    return;
  }
  std::array<uint8_t, 1> more{};
  if (read_(more) != 0)
    problem_ = fmt::format("{}: there is something behind the last chunk, which is not used", name_);
}

size_t Opener::read(MutableBytes out) {
  size_t done = 0;
  while (done < out.size()) {
    if (given_ == plain_.size()) {
      if (ended_) break;
      next_chunk();
      continue;
    }
    const size_t take = std::min(out.size() - done, plain_.size() - given_);
    std::copy_n(plain_.begin() + static_cast<std::ptrdiff_t>(given_), take,
                out.begin() + static_cast<std::ptrdiff_t>(done));
    given_ += take;
    done += take;
  }
  return done;
}

}  // namespace kdk
