// How the tables fit together (scripts/kallsyms.c writes them, kernel/kallsyms.c reads them): kallsyms_names
// is a run of num_syms records, each a length and that many token numbers; kallsyms_token_index[n] says where
// token n starts in kallsyms_token_table, a run of NUL-terminated strings. The tokens of a record, joined,
// are the nm letter and the name. kallsyms_offsets (or kallsyms_addresses) has one entry per record, in the
// same order.
#include "core/kernel/kallsyms.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <vector>

#include "core/kernel/bucket_index.h"

namespace kdk {
namespace {

constexpr uint64_t max_symbols = uint64_t{1} << 22;       // real kernels have 100 to 300 thousand
constexpr uint64_t max_names_bytes = uint64_t{64} << 20;  // real: 1 to 4 MB
constexpr size_t max_name = PackedSymbols::max_name;

struct Token {
  std::string_view text;
  bool usable = false;  // inside the table and printable
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
    tokens[i] = {token, printable && token.size() <= max_name};
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

// Hashes of names out of their tokens' hashes, so that no name is unpacked: a polynomial in the characters,
// where joining is one multiplication and one addition.
class NameHashes {
 public:
  static constexpr size_t buckets = size_t{1} << 15;

  explicit NameHashes(const Tokens& tokens) {
    for (size_t t = 0; t < tokens.size(); ++t) {
      whole_[t] = part(tokens[t].text);
      // A token that is not usable makes every name that has it too long.
      if (!tokens[t].usable) whole_[t].length = max_name + 1;
      // The first token of a record begins with the type letter.
      first_[t] = part(tokens[t].text.substr(std::min<size_t>(1, tokens[t].text.size())));
    }
  }

  // nullopt: this is no name: empty, too long, or with characters that no symbol has.
  std::optional<uint16_t> bucket(Bytes names, const Record& record) const {
    const Part& first = first_[names[record.offset]];  // usable: split_names saw to that
    uint64_t hash = first.hash;
    size_t length = first.length;
    for (uint32_t i = 1; i < record.length; ++i) {
      const Part& next = whole_[names[record.offset + i]];
      hash = hash * next.power + next.hash;
      length += next.length;
    }
    return length == 0 || length >= max_name ? std::nullopt : std::optional(bucket(hash));
  }

  static uint16_t bucket(std::string_view name) { return bucket(part(name).hash); }

 private:
  static constexpr uint64_t base = 0x9e3779b97f4a7c15;  // odd, with bits well mixed
  struct Part {
    uint64_t hash = 0, power = 1;  // power: base to the number of characters
    size_t length = 0;
  };

  static Part part(std::string_view text) {
    Part part;
    for (char c : text)
      part = {part.hash * base + static_cast<uint8_t>(c), part.power * base, part.length + 1};
    return part;
  }
  static uint16_t bucket(uint64_t hash) { return static_cast<uint16_t>((hash * base) >> 49); }

  std::array<Part, 256> whole_, first_;
};

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

// Why the tables cannot be what they are said to be; empty when they may be.
std::string check_sizes(const KallsymsImage& image) {
  if (image.num_syms == 0 || image.num_syms > max_symbols)
    return fmt::format("kallsyms_num_syms is {}", image.num_syms);
  if (image.stext == 0) return "VMCOREINFO has no SYMBOL(_stext) to check the decoding with";
  if (image.offsets.size() / 4 < image.num_syms)
    return "the address table is too short for kallsyms_num_syms";
  if (image.names.size() > max_names_bytes) return "the table of names is too large";
  return {};
}

// A symbol that a kallsyms of text only would not have: that one ends with _etext and _einittext, which nm
// may call data.
bool is_data(char type, std::string_view name) {
  return std::string_view("dDbBrR").find(type) != std::string_view::npos && name != "_etext" &&
         name != "_einittext";
}

// Declares what the symbols cover, so that no address outside gets a name. With text symbols only, what lies
// between .text and .init.text is not covered either. A range's last symbol marks the end of a section
// (_end, _einittext): it gets one byte so that it can be looked up.
void add_ranges(const Kallsyms& kallsyms, bool all, SymbolTable& table) {
  if (kallsyms.size() == 0) return;
  // Absolute values, which come first, are no addresses.
  size_t first_index = 0;
  while (first_index < kallsyms.size() && kallsyms.address(first_index) >> 63 == 0) ++first_index;
  if (first_index == kallsyms.size()) return;
  const uint64_t first = kallsyms.address(first_index), last = kallsyms.address(kallsyms.size() - 1);
  const auto in_kernel = [&](std::string_view name) {
    const auto address = kallsyms.address_of(name);
    return address && *address >> 63 != 0 ? address : std::nullopt;
  };
  const auto text_end = in_kernel("_etext"), init_text = in_kernel("_sinittext"),
             init_text_end = in_kernel("_einittext");
  if (!all && text_end && init_text && init_text_end && *init_text > *text_end) {
    table.add_range(first, *text_end + 1, {});
    table.add_range(*init_text, *init_text_end + 1, {});
  } else {
    table.add_range(first, last == UINT64_MAX ? last : last + 1, {});
  }
}

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

struct Kallsyms::Impl {
  KallsymsBytes bytes;  // what `image` and `tokens` are in, when they were read from a dump
  KallsymsImage image;
  Tokens tokens;
  std::vector<Record> records;
  Encoding encoding = Encoding::absolute;
  std::vector<uint64_t> addresses;  // of records, ascending; empty: as `image` has them
  BucketIndex by_hash;              // five or six records in a bucket in a kernel of 180 thousand symbols

  uint64_t address(size_t index) const {
    return addresses.empty() ? decode_address(image, encoding, index) : addresses[index];
  }
  bool index_names();
  bool in_order() const;
  void put_in_order();
  bool decode(LengthForm form, std::string& why);
  template <typename Visit>
  void for_each_named(std::string_view name, Visit&& visit) const;
};

// False: some records are no names. They are in no bucket, and their length is 0 now.
bool Kallsyms::Impl::index_names() {
  const NameHashes hashes(tokens);
  std::vector<uint16_t> buckets;
  buckets.reserve(records.size());
  bool good = true;
  for (Record& record : records) {
    const std::optional<uint16_t> bucket = hashes.bucket(image.names, record);
    buckets.push_back(bucket.value_or(BucketIndex::none));
    if (bucket) continue;
    record.length = 0;
    good = false;
  }
  by_hash = BucketIndex(buckets, NameHashes::buckets);
  return good;
}

bool Kallsyms::Impl::in_order() const {
  uint64_t last = 0;
  for (size_t i = 0; i < records.size(); ++i) {
    const uint64_t here = address(i);
    if (here < last) return false;
    last = here;
  }
  return true;
}

// Leaves out what is no name, and sorts. scripts/kallsyms.c writes symbols sorted: for damaged tables.
void Kallsyms::Impl::put_in_order() {
  std::vector<uint32_t> order;
  for (uint32_t i = 0; i < records.size(); ++i) {
    if (records[i].length != 0) order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](uint32_t a, uint32_t b) { return address(a) < address(b); });
  std::vector<Record> sorted_records;
  std::vector<uint64_t> sorted_addresses;
  for (uint32_t i : order) {
    sorted_records.push_back(records[i]);
    sorted_addresses.push_back(address(i));
  }
  records = std::move(sorted_records);
  addresses = std::move(sorted_addresses);
  index_names();
}

template <typename Visit>
void Kallsyms::Impl::for_each_named(std::string_view name, Visit&& visit) const {
  for (const uint32_t index : by_hash.in(NameHashes::bucket(name))) {
    if (is_named(image.names, records[index], tokens, name)) visit(index);
  }
}

bool Kallsyms::Impl::decode(LengthForm form, std::string& why) {
  records = split_names(image.names, image.num_syms, form, tokens, why);
  if (!why.empty()) return false;
  const bool good = index_names();
  std::optional<uint32_t> stext;
  for_each_named("_stext", [&](uint32_t index) { stext = stext.value_or(index); });
  if (!stext) {
    why = "no symbol _stext among the names";
    return false;
  }
  const std::optional<Encoding> found = find_encoding(image, *stext);
  if (!found) {
    why = "no known encoding of addresses gives _stext the address in VMCOREINFO";
    return false;
  }
  encoding = *found;
  if (!good || !in_order()) put_in_order();
  return true;
}

Kallsyms::Kallsyms(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Kallsyms::~Kallsyms() = default;

std::shared_ptr<const Kallsyms> Kallsyms::open(KernelMemory& memory, std::string& why) {
  KallsymsBytes bytes;
  why.clear();
  const std::optional<KallsymsImage> image = read_image(memory, bytes, why);
  if (!image) return nullptr;
  std::shared_ptr<const Kallsyms> kallsyms = open(*image, why);
  if (kallsyms) kallsyms->impl_->bytes = std::move(bytes);  // what `image` points into does not move
  return kallsyms;
}

std::shared_ptr<const Kallsyms> Kallsyms::open(const KallsymsImage& image, std::string& why) {
  why = check_sizes(image);
  if (!why.empty()) return nullptr;
  auto impl = std::make_unique<Impl>();
  impl->image = image;
  impl->tokens = read_tokens(image.token_table, image.token_index);
  for (LengthForm form : {LengthForm::one_or_two_bytes, LengthForm::one_byte}) {
    std::string form_why;
    if (impl->decode(form, form_why)) {
      why.clear();
      return std::shared_ptr<const Kallsyms>(new Kallsyms(std::move(impl)));
    }
    if (why.empty()) why = form_why;
  }
  return nullptr;
}

std::string_view Kallsyms::encoding() const {
  return to_string(impl_->encoding);
}

size_t Kallsyms::size() const {
  return impl_->records.size();
}

uint64_t Kallsyms::address(size_t index) const {
  return impl_->address(index);
}

char Kallsyms::type(size_t index) const {
  return impl_->tokens[impl_->image.names[impl_->records[index].offset]].text.front();
}

std::string_view Kallsyms::name(size_t index, std::array<char, max_name>& out) const {
  const Record& record = impl_->records[index];
  size_t length = 0;
  for (uint32_t i = 0; i < record.length; ++i) {
    // The first token begins with the type letter. That all fits was seen when names were indexed.
    const std::string_view text =
        impl_->tokens[impl_->image.names[record.offset + i]].text.substr(i == 0 ? 1 : 0);
    length += text.copy(out.data() + length, out.size() - length);
  }
  return {out.data(), length};
}

std::vector<uint32_t> Kallsyms::find(std::string_view name) const {
  std::vector<uint32_t> found;
  impl_->for_each_named(name, [&](uint32_t index) { found.push_back(index); });
  return found;
}

std::optional<uint64_t> Kallsyms::address_of(std::string_view name) const {
  std::optional<uint32_t> text, data;  // the first of each
  impl_->for_each_named(name, [&](uint32_t index) {
    std::optional<uint32_t>& found =
        std::string_view("tTwW").find(type(index)) != std::string_view::npos ? text : data;
    if (!found) found = index;
  });
  if (!text) text = data;
  return text ? std::optional(address(*text)) : std::nullopt;
}

KallsymsResult add_kallsyms(const std::shared_ptr<const Kallsyms>& kallsyms, SymbolTable& table) {
  KallsymsResult result;
  result.found = true;
  result.encoding = kallsyms->encoding();
  result.count = kallsyms->size();
  std::array<char, PackedSymbols::max_name> text;
  for (size_t i = 0; i < kallsyms->size() && !result.all; ++i) {
    const char type = kallsyms->type(i);
    result.all = is_data(type, {}) && is_data(type, kallsyms->name(i, text));
  }
  add_ranges(*kallsyms, result.all, table);
  table.set_packed(kallsyms);
  return result;
}

}  // namespace kdk
