// kallsyms tables written the way scripts/kallsyms.c writes them, with a simple choice of tokens.
#include "tests/support/kallsyms_builder.h"

#include <algorithm>
#include <stdexcept>

namespace kdk::test {
namespace {

template <typename T>
void append(std::vector<uint8_t>& out, const T& v) {
  out.resize(out.size() + sizeof v);
  store(MutableBytes(out), out.size() - sizeof v, v);
}

// The 256 tokens: a byte that occurs in names stands for itself, the others for the most frequent pairs of
// bytes.
std::array<std::string, 256> choose_tokens(const std::vector<std::string>& names) {
  std::array<std::string, 256> tokens;
  std::map<std::string, size_t> pairs;
  for (const std::string& name : names) {
    for (size_t i = 0; i < name.size(); ++i) {
      tokens[static_cast<uint8_t>(name[i])] = name.substr(i, 1);
      if (i + 1 < name.size()) ++pairs[name.substr(i, 2)];
    }
  }
  std::vector<std::pair<size_t, std::string>> ranked;
  ranked.reserve(pairs.size());
  for (const auto& [pair, count] : pairs) ranked.emplace_back(count, pair);
  std::sort(ranked.rbegin(), ranked.rend());
  size_t next = 0;
  for (auto token = tokens.rbegin(); token != tokens.rend() && next < ranked.size(); ++token) {
    if (token->empty()) *token = ranked[next++].second;
  }
  return tokens;
}

std::vector<uint8_t> compress(const std::string& name, const std::map<std::string, uint8_t>& pairs) {
  std::vector<uint8_t> out;
  for (size_t i = 0; i < name.size();) {
    const auto pair = i + 1 < name.size() ? pairs.find(name.substr(i, 2)) : pairs.end();
    out.push_back(pair != pairs.end() ? pair->second : static_cast<uint8_t>(name[i]));
    i += pair != pairs.end() ? 2 : 1;
  }
  return out;
}

void append_name(std::vector<uint8_t>& out, const std::vector<uint8_t>& tokens, bool two_byte_lengths) {
  const size_t n = tokens.size();
  if (n > (two_byte_lengths ? 0x3fffu : 0xffu))
    throw std::logic_error("kallsyms: name too long for the form");
  if (two_byte_lengths && n > 0x7f) {
    out.push_back(static_cast<uint8_t>((n & 0x7f) | 0x80));
    out.push_back(static_cast<uint8_t>(n >> 7));
  } else {
    out.push_back(static_cast<uint8_t>(n));
  }
  out.insert(out.end(), tokens.begin(), tokens.end());
}

void append_address(std::vector<uint8_t>& out, const KallsymsSymbol& symbol, KallsymsEncoding encoding,
                    uint64_t base, uint64_t place) {
  switch (encoding) {
    case KallsymsEncoding::absolute:
      append(out, ul64(symbol.address));
      return;
    case KallsymsEncoding::base_relative:
      append(out, ul32(static_cast<uint32_t>(symbol.address - base)));
      return;
    case KallsymsEncoding::absolute_percpu: {
      // Absolute (per-CPU) values are stored as they are, others negative: base - 1 - offset.
      const bool absolute = symbol.type == 'A' || symbol.type == 'a';
      append(out, ul32(static_cast<uint32_t>(absolute ? symbol.address : base - symbol.address - 1)));
      return;
    }
    case KallsymsEncoding::place_relative:
      append(out, ul32(static_cast<uint32_t>(symbol.address - (place + out.size()))));
      return;
  }
}

}  // namespace

KallsymsTables encode_kallsyms(const std::vector<KallsymsSymbol>& symbols, const KallsymsForm& form,
                               uint64_t base, uint64_t place) {
  std::vector<std::string> names;
  names.reserve(symbols.size());
  for (const KallsymsSymbol& symbol : symbols) names.push_back(symbol.type + symbol.name);
  const std::array<std::string, 256> tokens = choose_tokens(names);
  std::map<std::string, uint8_t> pairs;
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i].size() == 2) pairs[tokens[i]] = static_cast<uint8_t>(i);
  }
  KallsymsTables tables;
  for (size_t i = 0; i < symbols.size(); ++i) {
    append_name(tables.names, compress(names[i], pairs), form.two_byte_lengths);
    append_address(tables.offsets, symbols[i], form.encoding, base, place);
  }
  for (const std::string& token : tokens) {
    append(tables.token_index, ul16(static_cast<uint16_t>(tables.token_table.size())));
    tables.token_table.insert(tables.token_table.end(), token.begin(), token.end());
    tables.token_table.push_back(0);
  }
  return tables;
}

void put_kallsyms(DumpBuilder& machine, const std::vector<KallsymsSymbol>& symbols,
                  const KallsymsForm& form) {
  const bool absolute = form.encoding == KallsymsEncoding::absolute;
  const uint64_t base = machine.text().value;
  // In the order the kernel's image has them: num_syms, names, (markers), token_table, token_index, offsets,
  // base.
  const VirtAddr num_syms = machine.image_alloc(8, 8);
  machine.put_u32(num_syms, static_cast<uint32_t>(symbols.size()));
  machine.symbol("kallsyms_num_syms", num_syms);
  const auto place = [&](const char* name, const std::vector<uint8_t>& bytes) {
    const VirtAddr at = machine.image_alloc(bytes.size(), 8);
    machine.put(at, bytes);
    machine.symbol(name, at);
    return at;
  };
  KallsymsTables tables = encode_kallsyms(symbols, form, base, 0);
  place("kallsyms_names", tables.names);
  machine.image_alloc((symbols.size() + 255) / 256 * 4, 8);  // markers: not exported, not read
  place("kallsyms_token_table", tables.token_table);
  place("kallsyms_token_index", tables.token_index);
  const VirtAddr offsets = machine.image_alloc(tables.offsets.size(), 8);
  machine.put(offsets, encode_kallsyms(symbols, form, base, offsets.value).offsets);
  machine.symbol(absolute ? "kallsyms_addresses" : "kallsyms_offsets", offsets);
  if (absolute || form.encoding == KallsymsEncoding::place_relative) return;
  const VirtAddr relative_base = machine.image_alloc(8, 8);
  machine.put_u64(relative_base, base);
  machine.symbol("kallsyms_relative_base", relative_base);
}

}  // namespace kdk::test
