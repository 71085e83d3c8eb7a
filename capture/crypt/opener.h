// Reads a sealed container (sealed_format.h) with the secret key it is for. Every chunk is authentic or is
// not given out; whoever made the container can still have lied, so what comes out is as hostile as any dump.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "capture/crypt/keys.h"
#include "capture/crypt/sealed_format.h"
#include "core/base/bytes.h"

namespace kdk {

class Opener {
 public:
  // `read` fills what it is given but at the end of the input, and may throw Error. `name` is for messages.
  // Throws Error{format} when it is no such container or a damaged one, Error{denied} when it is for another
  // key.
  Opener(std::function<size_t(MutableBytes)> read, std::string name, const SecretKey& key);
  Opener(const Opener&) = delete;
  Opener& operator=(const Opener&) = delete;
  ~Opener();

  uint32_t content() const { return header_.content; }
  // Plain bytes; fewer than asked for only at the end, of whichever kind.
  size_t read(MutableBytes out);
  // After the end: why it is not the whole, or empty.
  const std::string& problem() const { return problem_; }

 private:
  void next_chunk();

  const std::function<size_t(MutableBytes)> read_;
  const std::string name_;
  struct State;
  std::unique_ptr<State> state_;
  sealed::Header header_{};
  std::vector<uint8_t> sealed_, plain_;
  size_t given_ = 0;  // of plain_
  uint64_t chunk_ = 0;
  bool ended_ = false;
  std::string problem_;
};

}  // namespace kdk
