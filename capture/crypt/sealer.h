// Seals what is written into it to a public key: nobody who has only this machine, or the place where the
// file rests, can read it again. Format: sealed_format.h.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "capture/crypt/keys.h"
#include "capture/crypt/seal.h"
#include "capture/crypt/sealed_format.h"
#include "core/base/bytes.h"

namespace kdk {

class Sealer : public StreamFilter {
 public:
  // `sink` gets the container piece by piece; what it throws comes out of write() and finish(). `content`: of
  // sealed::content_*. Throws Error{io}.
  Sealer(const PublicKey& key, uint32_t content, std::function<void(Bytes)> sink,
         uint32_t chunk_bytes = sealed::chunk_bytes);
  Sealer(const Sealer&) = delete;
  Sealer& operator=(const Sealer&) = delete;
  ~Sealer() override;

  void write(Bytes data) override;
  // The last chunk. Without it the container reads as cut.
  void finish() override;
  // Of the container so far.
  uint64_t bytes() const override { return bytes_; }

 private:
  void put_chunk(bool last);

  const uint32_t chunk_bytes_;
  const std::function<void(Bytes)> sink_;
  struct State;  // libsodium's
  std::unique_ptr<State> state_;
  sealed::Header header_{};
  std::vector<uint8_t> plain_, sealed_;
  uint64_t bytes_ = 0;
};

}  // namespace kdk
