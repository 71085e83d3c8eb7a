// How the tables fit together (scripts/kallsyms.c writes them, kernel/kallsyms.c reads them): kallsyms_names
// is a run of num_syms records, each a length and that many token numbers; kallsyms_token_index[n] says where
// token n starts in kallsyms_token_table, a run of NUL-terminated strings. The tokens of a record, joined,
// are the nm letter and the name. kallsyms_offsets (or kallsyms_addresses) has one entry per record, in the
// same order.
#include "core/kernel/kallsyms.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <vector>

namespace kdk {
namespace {

constexpr uint64_t max_symbols = uint64_t{1} << 22;       // real kernels have 100 to 300 thousand
constexpr uint64_t max_names_bytes = uint64_t{64} << 20;  // real: 1 to 4 MB
constexpr size_t max_name = 1024;                         // KSYM_NAME_LEN is 512, 128 before v6.1

struct Token {
  std::string_view text;
  bool usable = false;          // inside the table and printable
  std::array<char, 8> start{};  // of the text, padded: copied in one move
};
using Tokens = std::array<Token, 256>;

Tokens read_tokens(Bytes table, Bytes index) {
  Tokens tokens;
  std::string_view text = as_text(table);
  for (size_t i = 0; i < tokens.size(); ++i) {
    std::optional<ul16> start = load<ul16>(index, i * 2);
    if (!start || *start >= text.size()) continue;
    size_t end = text.find('\0', *start);
    if (end == std::string_view::npos) continue;
    std::string_view token = text.substr(*start, end - *start);
    bool printable = std::all_of(token.begin(), token.end(), [](char c) { return c > ' ' && c < 0x7f; });
    tokens[i] = {token, printable && token.size() <= max_name, {}};
    token.copy(tokens[i].start.data(), tokens[i].start.size());
  }
  return tokens;
}

// One record of kallsyms_names: its token numbers.
struct Record {
  uint32_t offset;
  uint32_t length;
};

// How a record's length is written.
enum class LengthForm {
  // One byte below 0x80, or two: low 7 bits, then the bits above. Linux commit 73bbb94466fd ("kallsyms:
  // support "big"
  // kernel symbols") (in v6.1).
  one_or_two_bytes,
  one_byte,
};

// Splits kallsyms_names into records; empty when it cannot be read in this form, with `why` set.
std::vector<Record> split_names(Bytes names, uint64_t count, LengthForm form, const Tokens& tokens,
                                std::string& why) {
  std::vector<Record> records;
  records.reserve(std::min<uint64_t>(count, names.size() / 2));
  size_t at = 0;
  for (uint64_t i = 0; i < count; ++i) {
    size_t length = at < names.size() ? names[at++] : 0;
    if (form == LengthForm::one_or_two_bytes && (length & 0x80) != 0 && at < names.size()) {
      length = (length & 0x7f) | (size_t{names[at++]} << 7);
    }
    if (length == 0 || length > names.size() - at) {
      why = fmt::format("name {} of {} does not fit the table", i, count);
      return {};
    }
    const Token& first = tokens[names[at]];
    if (!first.usable || first.text.empty()) {
      why = fmt::format("name {} of {} has no type letter", i, count);
      return {};
    }
    records.push_back({static_cast<uint32_t>(at), static_cast<uint32_t>(length)});
    at += length;
  }
  return records;
}

// Joins a record's tokens in `out`; its length, or 0 when a token is not usable or the name is too long.
size_t expand(Bytes names, const Record& record, const Tokens& tokens, std::array<char, max_name>& out) {
  size_t length = 0;
  for (uint32_t i = 0; i < record.length; ++i) {
    const Token& token = tokens[names[record.offset + i]];
    if (!token.usable || token.text.size() > out.size() - length) return 0;
    std::copy(token.text.begin(), token.text.end(), out.begin() + static_cast<std::ptrdiff_t>(length));
    length += token.text.size();
  }
  return length;
}

// Whether a record is the symbol `name`. Most names are told apart by their first tokens, so nothing is
// expanded.
bool is_named(Bytes names, const Record& record, const Tokens& tokens, std::string_view name) {
  for (uint32_t t = 0; t < record.length; ++t) {
    const Token& token = tokens[names[record.offset + t]];
    // The first token begins with the type letter; split_names saw that it is not empty.
    const std::string_view text = token.text.substr(t == 0 ? 1 : 0);
    if (!token.usable || !name.starts_with(text)) return false;
    name.remove_prefix(text.size());
  }
  return name.empty();
}

// Hashes of names out of their tokens' hashes, so that no name is expanded: a polynomial in the characters,
// where joining is one multiplication and one addition.
class NameHashes {
 public:
  static constexpr size_t buckets = size_t{1} << 15;

  explicit NameHashes(const Tokens& tokens) {
    for (size_t t = 0; t < tokens.size(); ++t) {
      whole_[t] = part(tokens[t].text);
      // The first token of a record begins with the type letter.
      first_[t] = part(tokens[t].text.substr(std::min<size_t>(1, tokens[t].text.size())));
    }
  }

  uint16_t bucket(Bytes names, const Record& record) const {
    uint64_t hash = first_[names[record.offset]].hash;
    for (uint32_t i = 1; i < record.length; ++i) {
      const Part& next = whole_[names[record.offset + i]];
      hash = hash * next.power + next.hash;
    }
    return bucket(hash);
  }

  static uint16_t bucket(std::string_view name) { return bucket(part(name).hash); }

 private:
  static constexpr uint64_t base = 0x9e3779b97f4a7c15;  // odd, with bits well mixed
  struct Part {
    uint64_t hash = 0, power = 1;  // power: base to the number of characters
  };

  static Part part(std::string_view text) {
    Part part;
    for (char c : text) part = {part.hash * base + static_cast<uint8_t>(c), part.power * base};
    return part;
  }
  static uint16_t bucket(uint64_t hash) { return static_cast<uint16_t>((hash * base) >> 49); }

  std::array<Part, 256> whole_, first_;
};

std::optional<size_t> find_stext(Bytes names, const std::vector<Record>& records, const Tokens& tokens) {
  for (size_t i = 0; i < records.size(); ++i) {
    if (is_named(names, records[i], tokens, "_stext")) return i;
  }
  return std::nullopt;
}

enum class Encoding {
  absolute,         // 64-bit addresses: kallsyms_addresses
  base_relative,    // unsigned 32-bit, from kallsyms_relative_base
  absolute_percpu,  // signed 32-bit: >= 0 is an absolute value, below 0 counts from the base
  place_relative,   // signed 32-bit, from the entry's own address
};

std::string_view to_string(Encoding e) {
  switch (e) {
    case Encoding::absolute:
      return "absolute";
    case Encoding::base_relative:
      return "base-relative";
    case Encoding::absolute_percpu:
      return "absolute-percpu";
    case Encoding::place_relative:
      return "place-relative";
  }
  return "";
}

// Address of symbol `i`. The caller has checked that the table is large enough.
uint64_t decode_address(const KallsymsImage& image, Encoding e, size_t i) {
  if (e == Encoding::absolute) return load<ul64>(image.offsets, i * 8).value_or(0);
  const uint32_t raw = load<ul32>(image.offsets, i * 4).value_or(0);
  const uint64_t extended = static_cast<uint64_t>(int64_t{static_cast<int32_t>(raw)});
  const uint64_t base = image.relative_base.value_or(0);
  switch (e) {
    case Encoding::base_relative:
      return base + raw;
    case Encoding::absolute_percpu:
      return static_cast<int32_t>(raw) >= 0 ? raw : base - 1 - extended;
    default:
      return image.offsets_address + i * 4 + extended;
  }
}

// The encoding in which _stext has the address that VMCOREINFO gives it. No key says which one a kernel uses:
// 32-bit offsets came with Linux commit 2213e9a66bb8 ("kallsyms: add support for relative offsets in kallsyms
// address table") (in v4.6), absolute per-CPU values (x86) with it; the place-relative form is that of
// scripts/kallsyms.c in v7.0.
std::optional<Encoding> find_encoding(const KallsymsImage& image, size_t stext_index) {
  std::vector<Encoding> candidates;
  if (image.offsets.size() / 8 >= image.num_syms) candidates.push_back(Encoding::absolute);
  if (image.relative_base) {
    candidates.push_back(Encoding::base_relative);
    candidates.push_back(Encoding::absolute_percpu);
  }
  candidates.push_back(Encoding::place_relative);
  for (Encoding e : candidates) {
    if (decode_address(image, e, stext_index) == image.stext) return e;
  }
  return std::nullopt;
}

// What the table covers, collected while symbols are added.
struct Coverage {
  uint64_t first = UINT64_MAX, last = 0;  // of addresses in the kernel half: absolute values are no addresses
  std::optional<uint64_t> text_end, init_text, init_text_end;

  void note(uint64_t address, std::string_view name) {
    if (address >> 63 == 0) return;
    first = std::min(first, address);
    last = std::max(last, address);
    if (name == "_etext") text_end = address;
    if (name == "_sinittext") init_text = address;
    if (name == "_einittext") init_text_end = address;
  }

  // Declares the ranges, so that no address outside of them gets a name. With text symbols only, what lies
  // between .text and .init.text is not covered either. A range's last symbol marks the end of a section
  // (_end, _einittext): it gets one byte so that it can be looked up.
  void add_ranges(bool all, SymbolTable& table) const {
    if (first > last) return;
    if (!all && text_end && init_text && init_text_end && *init_text > *text_end) {
      table.add_range(first, *text_end + 1, {});
      table.add_range(*init_text, *init_text_end + 1, {});
    } else {
      table.add_range(first, last == UINT64_MAX ? last : last + 1, {});
    }
  }
};

// A symbol that a kallsyms of text only would not have: that one ends with _etext and _einittext, which nm
// may call data.
bool is_data(char type, std::string_view name) {
  return std::string_view("dDbBrR").find(type) != std::string_view::npos && name != "_etext" &&
         name != "_einittext";
}

KallsymsResult failed(std::string why) {
  KallsymsResult result;
  result.why_not = std::move(why);
  return result;
}

// How this kernel's tables are written, and the records of kallsyms_names.
struct Decoding {
  Tokens tokens;
  std::vector<Record> records;
  Encoding encoding = Encoding::absolute;
};

// nullopt sets `why`.
std::optional<Decoding> recognise(const KallsymsImage& image, std::string& why) {
  why.clear();
  if (image.num_syms == 0 || image.num_syms > max_symbols) {
    why = fmt::format("kallsyms_num_syms is {}", image.num_syms);
  } else if (image.stext == 0) {
    why = "VMCOREINFO has no SYMBOL(_stext) to check the decoding with";
  } else if (image.offsets.size() / 4 < image.num_syms) {
    why = "the address table is too short for kallsyms_num_syms";
  } else if (image.names.size() > max_names_bytes) {
    why = "the table of names is too large";
  }
  if (!why.empty()) return std::nullopt;

  Decoding decoding;
  decoding.tokens = read_tokens(image.token_table, image.token_index);
  for (LengthForm form : {LengthForm::one_or_two_bytes, LengthForm::one_byte}) {
    std::string form_why;
    decoding.records = split_names(image.names, image.num_syms, form, decoding.tokens, form_why);
    const std::optional<size_t> stext_index = find_stext(image.names, decoding.records, decoding.tokens);
    if (!stext_index && form_why.empty()) form_why = "no symbol _stext among the names";
    std::optional<Encoding> encoding;
    if (stext_index) encoding = find_encoding(image, *stext_index);
    if (stext_index && !encoding)
      form_why = "no known encoding of addresses gives _stext the address in VMCOREINFO";
    if (encoding) {
      decoding.encoding = *encoding;
      return decoding;
    }
    if (why.empty()) why = form_why;
  }
  return std::nullopt;
}

}  // namespace

KallsymsResult decode_kallsyms(const KallsymsImage& image, SymbolTable& table) {
  std::string why;
  const std::optional<Decoding> decoding = recognise(image, why);
  if (!decoding) return failed(why);
  KallsymsResult result;
  result.found = true;
  result.encoding = to_string(decoding->encoding);
  Coverage coverage;
  std::array<char, max_name> text;
  table.reserve(decoding->records.size());
  for (size_t i = 0; i < decoding->records.size(); ++i) {
    const size_t length = expand(image.names, decoding->records[i], decoding->tokens, text);
    if (length < 2) continue;
    const uint64_t address = decode_address(image, decoding->encoding, i);
    const std::string_view name(text.data() + 1, length - 1);
    table.add(address, 0, text[0], name);
    coverage.note(address, name);
    result.all = result.all || is_data(text[0], name);
    ++result.count;
  }
  coverage.add_ranges(result.all, table);
  return result;
}

namespace {

// A block of the dump's memory, or an empty vector with `why` set.
std::vector<uint8_t> read_block(KernelMemory& memory, uint64_t address, uint64_t size, std::string_view what,
                                std::string& why) {
  std::vector<uint8_t> out(size);
  ReadResult result = memory.read(VirtAddr{address}, out);
  if (result) return out;
  why = fmt::format("{}: address {:#x}: {}", what, result.address, to_string(result.status));
  return {};
}

// What a KallsymsImage points into.
struct KallsymsBytes {
  std::vector<uint8_t> names, token_table, token_index, offsets;
};

// nullopt sets `why`.
std::optional<KallsymsImage> read_image(KernelMemory& memory, KallsymsBytes& bytes, std::string& why) {
  const auto failed = [&why](std::string text) {
    why = std::move(text);
    return std::nullopt;
  };
  // Linux commit 5fd8fea935a1 ("vmcoreinfo: include kallsyms symbols") (in v6.0).
  const Vmcoreinfo& info = memory.vmcoreinfo();
  for (std::string_view key :
       {"kallsyms_names", "kallsyms_num_syms", "kallsyms_token_table", "kallsyms_token_index"}) {
    if (!info.symbol(key)) return failed(fmt::format("VMCOREINFO has no SYMBOL({})", key));
  }
  const uint64_t names = *info.symbol("kallsyms_names");
  const uint64_t token_table = *info.symbol("kallsyms_token_table");
  const uint64_t token_index = *info.symbol("kallsyms_token_index");
  std::optional<uint64_t> offsets = info.symbol("kallsyms_offsets");
  // 64-bit addresses, CONFIG_KALLSYMS_BASE_RELATIVE=n: gone in v6.11 (scripts/kallsyms.c).
  const bool absolute = !offsets;
  if (absolute) offsets = info.symbol("kallsyms_addresses");
  if (!offsets)
    return failed("VMCOREINFO has neither SYMBOL(kallsyms_offsets) nor SYMBOL(kallsyms_addresses)");

  const uint64_t count =
      load<ul32>(read_block(memory, *info.symbol("kallsyms_num_syms"), 4, "kallsyms_num_syms", why))
          .value_or(0);
  if (!why.empty()) return std::nullopt;
  if (count == 0 || count > max_symbols) return failed(fmt::format("kallsyms_num_syms is {}", count));
  // In every kernel the names stand before the tokens, and those before their index; what lies between (the
  // markers) is read along and not used.
  if (token_table <= names || token_table - names > max_names_bytes) {
    return failed("kallsyms_names does not stand before kallsyms_token_table");
  }
  constexpr uint64_t token_index_bytes = 256 * 2, max_token_table = uint64_t{1} << 16;
  if (token_index <= token_table || token_index - token_table > max_token_table) {
    return failed("kallsyms_token_table does not stand before kallsyms_token_index");
  }

  bytes.names = read_block(memory, names, token_table - names, "kallsyms_names", why);
  bytes.token_table = read_block(memory, token_table, token_index - token_table, "kallsyms_token_table", why);
  bytes.token_index = read_block(memory, token_index, token_index_bytes, "kallsyms_token_index", why);
  bytes.offsets = read_block(memory, *offsets, count * (absolute ? 8 : 4), "kallsyms addresses", why);
  if (!why.empty()) return std::nullopt;

  KallsymsImage image;
  image.num_syms = count;
  image.names = bytes.names;
  image.token_table = bytes.token_table;
  image.token_index = bytes.token_index;
  image.offsets = bytes.offsets;
  image.offsets_address = *offsets;
  if (auto base = info.symbol("kallsyms_relative_base")) image.relative_base = memory.u64(VirtAddr{*base});
  image.stext = info.symbol("_stext").value_or(0);
  return image;
}

}  // namespace

KallsymsResult read_kallsyms(KernelMemory& memory, SymbolTable& table) {
  KallsymsBytes bytes;
  std::string why;
  const std::optional<KallsymsImage> image = read_image(memory, bytes, why);
  return image ? decode_kallsyms(*image, table) : failed(why);
}

struct KallsymsFinder::Impl {
  KallsymsBytes bytes;
  KallsymsImage image;
  Decoding decoding;
  // Indexes of records, sorted by the hash of their names, then by index: those of bucket b are
  // [bucket_begin[b], bucket_begin[b + 1]), three or four in a kernel of 130 thousand symbols.
  std::vector<uint32_t> by_hash;
  std::vector<uint32_t> bucket_begin;

  void sort_by_hash() {
    const NameHashes hashes(decoding.tokens);
    std::vector<uint16_t> buckets;
    buckets.reserve(decoding.records.size());
    bucket_begin.assign(NameHashes::buckets + 1, 0);
    for (const Record& record : decoding.records) {
      buckets.push_back(hashes.bucket(image.names, record));
      ++bucket_begin[buckets.back() + size_t{1}];
    }
    std::partial_sum(bucket_begin.begin(), bucket_begin.end(), bucket_begin.begin());
    by_hash.resize(decoding.records.size());
    std::vector<uint32_t> next = bucket_begin;
    for (uint32_t i = 0; i < by_hash.size(); ++i) by_hash[next[buckets[i]]++] = i;
  }
};

KallsymsFinder::KallsymsFinder(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
KallsymsFinder::~KallsymsFinder() = default;

std::unique_ptr<KallsymsFinder> KallsymsFinder::open(KernelMemory& memory) {
  KallsymsBytes bytes;
  std::string why;
  const std::optional<KallsymsImage> image = read_image(memory, bytes, why);
  if (!image) return nullptr;
  std::unique_ptr<KallsymsFinder> finder = open(*image);
  if (finder) finder->impl_->bytes = std::move(bytes);  // what `image` points into does not move
  return finder;
}

std::unique_ptr<KallsymsFinder> KallsymsFinder::open(const KallsymsImage& image) {
  std::string why;
  std::optional<Decoding> decoding = recognise(image, why);
  if (!decoding) return nullptr;
  auto impl = std::make_unique<Impl>();
  impl->image = image;
  impl->decoding = std::move(*decoding);
  impl->sort_by_hash();
  return std::unique_ptr<KallsymsFinder>(new KallsymsFinder(std::move(impl)));
}

std::optional<uint64_t> KallsymsFinder::find(std::string_view name) const {
  const auto& [tokens, records, encoding] = impl_->decoding;
  const Bytes names = impl_->image.names;
  std::optional<uint32_t> text, data;  // the first of each
  const size_t bucket = NameHashes::bucket(name);
  for (uint32_t at = impl_->bucket_begin[bucket]; at < impl_->bucket_begin[bucket + 1]; ++at) {
    const uint32_t i = impl_->by_hash[at];
    if (!is_named(names, records[i], tokens, name)) continue;
    const char letter = tokens[names[records[i].offset]].text.front();
    std::optional<uint32_t>& found =
        std::string_view("tTwW").find(letter) != std::string_view::npos ? text : data;
    if (!found) found = i;
  }
  if (!text) text = data;
  return text ? std::optional(decode_address(impl_->image, encoding, *text)) : std::nullopt;
}

}  // namespace kdk
