#include "capture/scrub/eraser.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/base/error.h"

namespace kdk {
namespace {

constexpr size_t longest_string = 64 << 10;

}  // namespace

void Eraser::problem(const std::string& what) {
  if (problems_++ == 0) result_.problem = what;
}

void Eraser::finish() {
  if (problems_ > 1) result_.problem += fmt::format(" (and {} more problems)", problems_ - 1);
}

void Eraser::erase(PhysAddr at, uint64_t size, uint8_t fill) {
  const Dump& dump = types_.kernel().dump();
  const uint64_t page_size = dump.info().page_size;
  while (size != 0) {
    const uint64_t part = std::min(size, page_size - at.value % page_size);
    if (dump.state({at.value / page_size}) != PageState::present) {
      result_.absent_bytes += part;
    } else {
      if (!erasure_.add(at, part, fill)) throw Error(Errc::unsupported, "there is too much to erase");
      result_.bytes += part;
    }
    at = at + part;
    size -= part;
  }
}

void Eraser::erase(VirtAddr at, uint64_t size, uint8_t fill) {
  if (size > most_scrub_bytes)
    throw Error(Errc::unsupported,
                fmt::format("{} bytes at {:#x} are more than can be meant", size, at.value));
  while (size != 0) {
    const Translation found = types_.memory().translate(at);
    if (!found) {
      // The rest of the page, which cannot be anything else.
      const uint64_t page_size = types_.memory().page_size();
      const uint64_t part = std::min(size, page_size - at.value % page_size);
      problem(fmt::format("address {:#x} is not mapped", at.value));
      at = at + part;
      size -= part;
      continue;
    }
    const uint64_t part = std::min(size, found.contiguous);
    erase(found.pa, part, fill);
    at = at + part;
    size -= part;
  }
}

void Eraser::erase_string(VirtAddr at) {
  const auto text = types_.memory().string(at, longest_string);
  if (!text) throw Error(Errc::fault, fmt::format("the string at {:#x} cannot be read", at.value), at.value);
  ++result_.places;
  erase(at, text->size());
}

std::optional<uint64_t> Eraser::length_of(const ScrubRule& rule, const TypedPlace& base) {
  if (rule.length) return rule.length;
  if (rule.length_member.empty()) return std::nullopt;
  const std::optional<uint64_t> length = types_.number(base, rule.length_member);
  if (!length) return 0;
  if (*length > most_scrub_bytes)
    throw Error(Errc::format, fmt::format("{} is {}, which cannot be", rule.length_member, *length));
  return length;
}

void Eraser::erase_member(const ScrubRule& rule, const TypedPlace& base) {
  std::vector<TypedPlace> places = types_.follow(base, rule.member);
  for (TypedPlace& place : places) erase_target(rule, base, place);
}

void Eraser::erase_target(const ScrubRule& rule, const TypedPlace& base, TypedPlace place) {
  using Kind = Btf::Type::Kind;
  if (place.bits != 0) throw Error(Errc::unsupported, "a bit field cannot be erased");
  Btf::Type type = types_.describe(place.type);
  const std::optional<uint64_t> length = length_of(rule, base);
  if (type.kind == Kind::array) {
    // An array of pointers stands for what they point to.
    TypeRef element{place.type.btf, type.target};
    if (types_.describe(element).kind == Kind::pointer) {
      for (uint64_t i = 0; i < type.count; ++i) erase_target(rule, base, {place.at + i * 8, element});
      return;
    }
  }
  if (type.kind != Kind::pointer) {
    if (rule.nullify) throw Error(Errc::unsupported, "is no pointer that could become NULL");
    const uint64_t size = length.value_or(type.size);
    if (size == 0 && !length)
      throw Error(Errc::unsupported, "is of unknown size: give length or length_member");
    ++result_.places;
    erase(place.at, size);
    return;
  }
  if (rule.nullify) {
    ++result_.places;
    erase(place.at, 8, 0);
    return;
  }
  const std::optional<TypedPlace> to = types_.pointee(place);
  if (!to) return;
  TypeRef target = to->type;
  const Btf::Type pointed = types_.describe(target);
  const uint64_t size = length.value_or(pointed.size);
  if (!length && pointed.kind == Kind::character) return erase_string(to->at);
  if (!length && size == 0) {
    throw Error(Errc::unsupported,
                "points to something of unknown size: give length, length_member or nullify");
  }
  ++result_.places;
  erase(to->at, size);
}

}  // namespace kdk
