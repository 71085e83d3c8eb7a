#include "loader/signature/efi_variables.h"

#include <fmt/format.h>

namespace kdk {
namespace {

constexpr uint64_t max_variable = 4 << 20;
constexpr size_t max_signatures = 65536;

struct Guid {
  ul32 a;
  ul16 b;
  ul16 c;
  std::array<uint8_t, 8> d;
};
struct SignatureList {
  Guid type;
  ul32 list_size;
  ul32 header_size;
  ul32 signature_size;  // of one entry, the owner's GUID included
};
static_assert(sizeof(SignatureList) == 28);

std::string guid_text(const Guid& g) {
  return fmt::format("{:08x}-{:04x}-{:04x}-{:02x}{:02x}-{:02x}{:02x}{:02x}{:02x}{:02x}{:02x}", uint32_t{g.a},
                     uint16_t{g.b}, uint16_t{g.c}, g.d[0], g.d[1], g.d[2], g.d[3], g.d[4], g.d[5], g.d[6],
                     g.d[7]);
}

EfiSignature::Type type_of(const Guid& guid) {
  std::string text = guid_text(guid);
  if (text == "a5c059a1-94e4-4aa7-87b5-ab155c2bf072") return EfiSignature::Type::x509;
  if (text == "c1c41626-504c-4092-aca9-41f936934328") return EfiSignature::Type::sha256;
  if (text == "3bd2a492-96c0-4079-b420-fcf98ef103ed") return EfiSignature::Type::x509_sha256;
  return EfiSignature::Type::other;
}

}  // namespace

std::optional<EfiVariable> read_efi_variable(const SysRoot& root, std::string_view name,
                                             std::string_view guid) {
  std::string path = fmt::format("/sys/firmware/efi/efivars/{}-{}", name, guid);
  if (!root.exists(path)) return std::nullopt;
  std::vector<uint8_t> bytes = read_file(root.path(path), max_variable);
  std::optional<ul32> attributes = load<ul32>(bytes);
  if (!attributes) throw Error(Errc::format, path + ": shorter than its attributes");
  return EfiVariable{*attributes, {bytes.begin() + 4, bytes.end()}};
}

void parse_signature_lists(Bytes lists, std::vector<EfiSignature>& out) {
  for (uint64_t at = 0; at < lists.size();) {
    auto fail = [&](std::string_view why) {
      throw Error(Errc::format, fmt::format("signature list at offset {:#x}: {}", at, why));
    };
    std::optional<SignatureList> list = load<SignatureList>(lists, at);
    if (!list) fail("cut off");
    if (list->list_size < sizeof(SignatureList) || !in_bounds(lists.size(), at, list->list_size)) {
      fail(fmt::format("says {} bytes, where {} are left", uint32_t{list->list_size}, lists.size() - at));
    }
    uint64_t room = list->list_size - sizeof(SignatureList);
    uint64_t each = list->signature_size;
    if (list->header_size > room || each <= sizeof(Guid) || room - list->header_size < each ||
        (room - list->header_size) % each != 0) {
      fail("the sizes of its parts do not add up");
    }
    EfiSignature::Type type = type_of(list->type);
    for (uint64_t entry = at + sizeof(SignatureList) + list->header_size; entry < at + list->list_size;
         entry += each) {
      if (out.size() == max_signatures) fail(fmt::format("more than {} entries", max_signatures));
      Bytes data = lists.subspan(entry + sizeof(Guid), each - sizeof(Guid));
      out.push_back({type, guid_text(*load<Guid>(lists, entry)), {data.begin(), data.end()}});
    }
    at += list->list_size;
  }
}

}  // namespace kdk
