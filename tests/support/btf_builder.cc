#include "tests/support/btf_builder.h"

#include <algorithm>

namespace kdk::test {

BtfBuilder::BtfBuilder(uint32_t first_id, uint32_t first_string)
    : next_id_(first_id), first_string_(first_string) {
  if (first_string == 0) strings_.push_back('\0');
}

void BtfBuilder::word(uint32_t value) {
  for (int shift = 0; shift < 32; shift += 8) types_.push_back(static_cast<uint8_t>(value >> shift));
}

uint32_t BtfBuilder::string(std::string_view text) {
  if (text.empty()) return 0;
  const uint32_t at = string_bytes();
  strings_.append(text);
  strings_.push_back('\0');
  return at;
}

uint32_t BtfBuilder::raw(uint32_t name, uint32_t info, uint32_t size_or_type,
                         const std::vector<uint32_t>& words) {
  word(name);
  word(info);
  word(size_or_type);
  for (uint32_t w : words) word(w);
  return next_id_++;
}

uint32_t BtfBuilder::integer(std::string_view name, uint32_t bytes, uint32_t bits, uint32_t bit_offset) {
  return raw(string(name), 1u << 24, bytes, {bit_offset << 16 | (bits != 0 ? bits : bytes * 8)});
}

uint32_t BtfBuilder::array(uint32_t element, uint32_t count) {
  return raw(0, 3u << 24, 0, {element, 1, count});
}

uint32_t BtfBuilder::aggregate(uint32_t kind, std::string_view name, uint32_t bytes,
                               const std::vector<Member>& members) {
  const bool flag =
      std::any_of(members.begin(), members.end(), [](const Member& m) { return m.bitfield_size != 0; });
  std::vector<uint32_t> words;
  for (const Member& m : members) {
    words.push_back(string(m.name));
    words.push_back(m.type);
    words.push_back(flag ? m.bitfield_size << 24 | m.bit_offset : m.bit_offset);
  }
  return raw(string(name), uint32_t{flag} << 31 | kind << 24 | static_cast<uint32_t>(members.size()), bytes,
             words);
}

uint32_t BtfBuilder::structure(std::string_view name, uint32_t bytes, const std::vector<Member>& members) {
  return aggregate(4, name, bytes, members);
}

uint32_t BtfBuilder::union_of(std::string_view name, uint32_t bytes, const std::vector<Member>& members) {
  return aggregate(5, name, bytes, members);
}

uint32_t BtfBuilder::enumeration(std::string_view name,
                                 const std::vector<std::pair<std::string, uint32_t>>& values,
                                 bool is_signed) {
  std::vector<uint32_t> words;
  for (const auto& [enumerator, value] : values) {
    words.push_back(string(enumerator));
    words.push_back(value);
  }
  return raw(string(name), uint32_t{is_signed} << 31 | 6u << 24 | static_cast<uint32_t>(values.size()), 4,
             words);
}

uint32_t BtfBuilder::enumeration64(std::string_view name,
                                   const std::vector<std::pair<std::string, uint64_t>>& values) {
  std::vector<uint32_t> words;
  for (const auto& [enumerator, value] : values) {
    words.push_back(string(enumerator));
    words.push_back(static_cast<uint32_t>(value));
    words.push_back(static_cast<uint32_t>(value >> 32));
  }
  return raw(string(name), 19u << 24 | static_cast<uint32_t>(values.size()), 8, words);
}

void BtfBuilder::others(uint32_t type) {
  raw(string("forward_only"), 7u << 24, 0);
  const uint32_t prototype = raw(0, 13u << 24 | 2, type, {string("a"), type, string("b"), type});
  raw(string("function"), 12u << 24, prototype);
  const uint32_t variable = raw(string("variable"), 14u << 24, type, {1});
  raw(string(".data..percpu"), 15u << 24 | 1, 8, {variable, 0, 8});
  raw(string("double"), 16u << 24, 8);
  raw(string("tag"), 17u << 24, variable, {UINT32_MAX});
}

std::vector<uint8_t> BtfBuilder::bytes() const {
  std::vector<uint8_t> out = {0x9f, 0xeb, 1, 0};
  const auto type_bytes = static_cast<uint32_t>(types_.size()),
             string_bytes = static_cast<uint32_t>(strings_.size());
  for (uint32_t value : {uint32_t{24}, uint32_t{0}, type_bytes, type_bytes, string_bytes}) {
    for (int shift = 0; shift < 32; shift += 8) out.push_back(static_cast<uint8_t>(value >> shift));
  }
  out.insert(out.end(), types_.begin(), types_.end());
  out.insert(out.end(), strings_.begin(), strings_.end());
  return out;
}

}  // namespace kdk::test
