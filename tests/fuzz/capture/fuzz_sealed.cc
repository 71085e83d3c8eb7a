// Sealed containers from hostile hands.
//
// The input itself is opened with the key that the corpus is sealed to: whatever is in it, nothing but Error
// comes out, and content only when it is authentic. Then a container made here is cut and changed where the
// input says: what comes out is a beginning of what went in.
#include <algorithm>
#include <cstdlib>
#include <numeric>

#include "capture/crypt/opener.h"
#include "capture/crypt/sealer.h"
#include "core/base/error.h"

namespace {

using namespace kdk;

void check(bool ok) {
  if (!ok) std::abort();
}

const SecretKey& fixed_key() {
  static const SecretKey key = [] {
    SecretKey made;
    std::iota(made.bytes.begin(), made.bytes.end(), uint8_t{1});
    return made;
  }();
  return key;
}

struct Result {
  std::vector<uint8_t> content;
  bool whole = false;
};

Result open(Bytes container) {
  size_t at = 0;
  Result result;
  try {
    Opener opener(
        [&](MutableBytes out) {
          const size_t n = std::min(out.size(), container.size() - at);
          std::copy_n(container.begin() + static_cast<std::ptrdiff_t>(at), n, out.begin());
          at += n;
          return n;
        },
        "input", fixed_key());
    std::vector<uint8_t> part(3000);
    for (size_t n = opener.read(part); n != 0; n = opener.read(part))
      result.content.insert(result.content.end(), part.begin(),
                            part.begin() + static_cast<std::ptrdiff_t>(n));
    result.whole = opener.problem().empty();
  } catch (const Error&) {
  }
  return result;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const Bytes input(data, size);
  open(input);

  static const std::vector<uint8_t> content = [] {
    std::vector<uint8_t> bytes(3 * 4096 + 100);
    std::iota(bytes.begin(), bytes.end(), uint8_t{0});
    return bytes;
  }();
  static const std::vector<uint8_t> container = [] {
    std::vector<uint8_t> out;
    Sealer sealer(
        public_key_of(fixed_key()), sealed::content_dump,
        [&](Bytes part) { out.insert(out.end(), part.begin(), part.end()); }, 4096);
    sealer.write(content);
    sealer.finish();
    return out;
  }();
  std::vector<uint8_t> changed = container;
  for (size_t i = 0; i + 3 <= size && i < 30; i += 3)
    changed[*load<ul16>(input, i) % changed.size()] = data[i + 2];
  if (size >= 2) changed.resize(changed.size() - *load<ul16>(input, size - 2) % changed.size());
  const Result result = open(changed);
  check(result.content.size() <= content.size() &&
        std::equal(result.content.begin(), result.content.end(), content.begin()));
  check(result.whole == (changed == container));
  return 0;
}
