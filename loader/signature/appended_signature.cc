#include "loader/signature/appended_signature.h"

#include <fmt/format.h>

#include <algorithm>

namespace kdk {
namespace {

constexpr std::string_view marker = "~Module signature appended~\n";
constexpr uint8_t type_pkcs7 = 2;

struct Descriptor {
  uint8_t algorithm;
  uint8_t hash;
  uint8_t type;
  std::array<uint8_t, 5> lengths_and_padding;  // zero with PKCS#7
  ub32 size;
};
static_assert(sizeof(Descriptor) == 12);

}  // namespace

std::optional<AppendedSignature> find_appended_signature(Bytes file) {
  if (!as_text(file).ends_with(marker)) return std::nullopt;
  Bytes rest = file.first(file.size() - marker.size());
  auto fail = [](std::string why) { throw Error(Errc::format, std::move(why)); };
  if (rest.size() < sizeof(Descriptor)) fail("the file is shorter than the signature's descriptor");
  auto descriptor = *load<Descriptor>(rest, rest.size() - sizeof(Descriptor));
  rest = rest.first(rest.size() - sizeof(Descriptor));
  if (descriptor.type != type_pkcs7) fail(fmt::format("of type {}, not PKCS#7 (2)", descriptor.type));
  auto is_zero = [](uint8_t byte) { return byte == 0; };
  if (descriptor.algorithm != 0 || descriptor.hash != 0 ||
      !std::all_of(descriptor.lengths_and_padding.begin(), descriptor.lengths_and_padding.end(), is_zero)) {
    fail("its descriptor has fields that must be zero");
  }
  if (descriptor.size == 0 || descriptor.size >= rest.size()) {
    fail(fmt::format("its descriptor says {} bytes, where the file has {}", uint32_t{descriptor.size},
                     rest.size()));
  }
  uint64_t content = rest.size() - descriptor.size;
  return AppendedSignature{rest.first(content), rest.subspan(content)};
}

}  // namespace kdk
