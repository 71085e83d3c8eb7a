#include "loader/reserve/crashkernel.h"

#include <fmt/format.h>

#include <array>
#include <cctype>

#include "core/base/bytes.h"
#include "core/base/log.h"

namespace kdk {
namespace {

constexpr std::string_view option_name = "crashkernel=";
constexpr uint64_t ram_rounding = uint64_t{128} << 20;

// Walks over one value. Positions in messages count from 1.
class ValueReader {
 public:
  explicit ValueReader(std::string_view text) : text_(text) {}

  char next() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  std::string_view rest() const { return text_.substr(at_); }
  void skip() { ++at_; }
  bool skip_if(char c) {
    if (next() != c) return false;
    ++at_;
    return true;
  }

  size_t position() const { return at_; }

  // `why` is about the character at `position`.
  [[noreturn]] void refuse(size_t position, std::string_view why) const {
    std::string found = position < text_.size() ? fmt::format("'{}'", text_[position]) : "the end";
    throw Error(Errc::format, fmt::format("\"{}\": character {} ({}): {}", text_, position + 1, found, why));
  }
  [[noreturn]] void expected(std::string_view what) const { refuse(at_, fmt::format("{} expected", what)); }

  // memparse: a number in the base its prefix says, then a unit. A unit without digits is zero to the kernel.
  std::optional<uint64_t> size_if_any() {
    size_t start = at_;
    uint64_t value = number(base());
    if (unsigned shift = unit(); shift != 0) {
      ++at_;
      if ((value << shift) >> shift != value) refuse(start, too_big);
      value <<= shift;
    }
    return at_ == start ? std::nullopt : std::optional(value);
  }
  uint64_t size(std::string_view what) {
    std::optional<uint64_t> value = size_if_any();
    if (!value) expected(what);
    return *value;
  }

 private:
  // "0x" needs a digit behind it, or the zero is an octal number by itself.
  unsigned base() {
    if (next() != '0') return 10;
    std::string_view text = rest();
    bool hex = text.size() > 2 && (text[1] == 'x' || text[1] == 'X') && digit(text[2], 16);
    if (!hex) return 8;
    at_ += 2;
    return 16;
  }

  static std::optional<unsigned> digit(char c, unsigned base) {
    unsigned value = 99;
    if (c >= '0' && c <= '9') value = static_cast<unsigned>(c - '0');
    if (c >= 'a' && c <= 'f') value = static_cast<unsigned>(c - 'a') + 10;
    if (c >= 'A' && c <= 'F') value = static_cast<unsigned>(c - 'A') + 10;
    return value < base ? std::optional(value) : std::nullopt;
  }

  uint64_t number(unsigned base) {
    size_t start = at_;
    uint64_t value = 0;
    for (; std::optional<unsigned> d = digit(next(), base); ++at_) {
      std::optional<uint64_t> shifted = checked_mul(value, base);
      std::optional<uint64_t> sum = shifted ? checked_add(*shifted, *d) : std::nullopt;
      if (!sum) refuse(start, too_big);
      value = *sum;
    }
    return value;
  }

  // Bits to shift by; 0: no unit here.
  unsigned unit() const {
    constexpr std::string_view units = "KMGTPE";
    size_t found = units.find(static_cast<char>(std::toupper(static_cast<unsigned char>(next()))));
    return found == std::string_view::npos ? 0 : static_cast<unsigned>(10 * (found + 1));
  }

  // (The kernel goes on with the lower 64 bits.)
  static constexpr std::string_view too_big = "the number does not fit in 64 bits";

  std::string_view text_;
  size_t at_ = 0;
};

std::string_view suffix_text(CrashkernelKind kind) {
  switch (kind) {
    case CrashkernelKind::plain:
      return "";
    case CrashkernelKind::high:
      return ",high";
    case CrashkernelKind::low:
      return ",low";
    case CrashkernelKind::cma:
      return ",cma";
  }
  return "";
}

// parse_crashkernel_mem.
CrashkernelValue read_ranges(std::string_view text, std::optional<uint64_t> ram) {
  ValueReader reader(text);
  CrashkernelValue value;
  do {
    CrashkernelRange range;
    range.start = reader.size("a size");
    if (!reader.skip_if('-')) reader.expected("'-'");
    if (size_t at = reader.position(); reader.next() != ':') {
      range.end = reader.size("a size or ':'");
      if (*range.end <= range.start) reader.refuse(at, "the range does not end above its start");
    }
    if (!reader.skip_if(':')) reader.expected("':'");
    size_t at = reader.position();
    range.size = reader.size("a size");
    // The kernel says this of every range up to the one that matches.
    if (ram && range.size >= *ram) reader.refuse(at, "the size is not less than all of the machine's memory");
    value.ranges.push_back(range);
    if (ram && *ram >= range.start && (!range.end || *ram < *range.end)) value.size = range.size;
  } while (!value.size && reader.skip_if(','));

  if (ram && value.size.value_or(0) == 0) return value;
  if (!ram && reader.next() != '\0' && reader.next() != '@') reader.expected("',', '@' or the end");
  if (reader.next() != ',') value.ignored = reader.rest().substr(0, reader.rest().find('@'));
  while (reader.next() != '\0' && reader.next() != '@') reader.skip();
  if (reader.skip_if('@')) {
    value.offset = reader.size("a size");
    value.ignored += reader.rest();
  }
  return value;
}

// parse_crashkernel_simple and parse_crashkernel_suffix.
CrashkernelValue read_size(std::string_view text, CrashkernelKind kind) {
  ValueReader reader(text);
  CrashkernelValue value;
  value.size = reader.size("a size");
  if (kind != CrashkernelKind::plain) {
    if (reader.rest() != suffix_text(kind)) reader.expected(fmt::format("\"{}\"", suffix_text(kind)));
  } else if (reader.skip_if('@')) {
    value.offset = reader.size_if_any().value_or(0);
    value.ignored = reader.rest();
  } else if (reader.next() != '\0') {
    reader.expected("a unit (K, M, G, T, P, E), '@' or the end");
  }
  return value;
}

// The options the way get_last_crashkernel finds them: wherever the name is, up to a space.
std::vector<CrashkernelOption> find_options(std::string_view line) {
  std::vector<CrashkernelOption> options;
  for (size_t at = line.find(option_name); at != std::string_view::npos;
       at = line.find(option_name, at + 1)) {
    std::string_view rest = line.substr(at + option_name.size());
    CrashkernelOption option;
    option.value = rest.substr(0, rest.find(' '));
    option.kind = crashkernel_kind(option.value);
    if (at > 0 && line[at - 1] != ' ') {
      option.remark = "it is a part of another word, which the kernel does not mind";
    }
    options.push_back(std::move(option));
  }
  return options;
}

// The last option of `kind`; those before it are marked as overridden.
CrashkernelOption* last_option(std::vector<CrashkernelOption>& options, CrashkernelKind kind) {
  CrashkernelOption* last = nullptr;
  for (CrashkernelOption& option : options) {
    if (option.kind != kind) continue;
    if (last != nullptr) last->remark = "a later one takes its place";
    last = &option;
  }
  return last;
}

// What the option's value says, with its oddities remarked.
CrashkernelValue use(CrashkernelOption& option, std::optional<uint64_t> ram) {
  CrashkernelValue value = parse_crashkernel_value(option.value, option.kind, ram);
  option.used = true;
  if (!value.ignored.empty()) {
    option.remark = fmt::format("the kernel does not look at \"{}\" at its end", value.ignored);
  }
  if (option.value.starts_with('0') && option.value.size() > 1 &&
      std::isdigit(static_cast<unsigned char>(option.value[1])) != 0) {
    option.remark = "with a 0 in front it is an octal number";
  }
  return value;
}

// The one kind that cannot spoil the others.
uint64_t use_cma(CrashkernelOption& option) {
  try {
    uint64_t size = use(option, std::nullopt).size.value_or(0);
    option.remark =
        "kernels before v6.17 do not know ,cma: they take it for a plain value and, when it is the last one, "
        "fail on its ',' and reserve nothing";
    return size;
  } catch (const Error& e) {
    option.remark = e.message();
    return 0;
  }
}

CrashkernelRequest request_of(std::vector<CrashkernelOption>& options, uint64_t ram, bool rounds_ram) {
  CrashkernelRequest request;
  CrashkernelOption* plain = last_option(options, CrashkernelKind::plain);
  CrashkernelOption* high = last_option(options, CrashkernelKind::high);
  CrashkernelOption* low = last_option(options, CrashkernelKind::low);
  CrashkernelOption* cma = last_option(options, CrashkernelKind::cma);
  if (plain != nullptr) {
    for (CrashkernelOption* other : {high, low}) {
      if (other != nullptr) other->remark = "a plain crashkernel= goes before it";
    }
    uint64_t range_ram = ram;
    if (rounds_ram) range_ram = align_up(ram, ram_rounding);
    CrashkernelValue value = use(*plain, range_ram);
    request.offset = value.offset;
    if (!value.size) {
      throw Error(Errc::format, fmt::format("\"{}\": no range is for {} of RAM", plain->value,
                                            memory_size_text(align_down(range_ram, 1 << 20))));
    }
    request.size = *value.size;
  } else if (high != nullptr) {
    request.high = true;
    request.size = use(*high, std::nullopt).size.value_or(0);
    if (low != nullptr) request.low = use(*low, std::nullopt).size;
  } else {
    if (low != nullptr) low->remark = "without a ,high or plain one the kernel does not look at it";
    throw Error(Errc::format, "there is neither a plain crashkernel= nor one with ,high");
  }
  if (request.size == 0) throw Error(Errc::format, "its size is 0");
  if (request.size >= ram) {
    throw Error(Errc::format, fmt::format("{} is not less than all of the machine's memory ({})",
                                          memory_size_text(request.size), memory_size_text(ram)));
  }
  if (cma != nullptr) request.cma = use_cma(*cma);
  return request;
}

}  // namespace

std::string_view to_string(CrashkernelKind kind) {
  return kind == CrashkernelKind::plain ? "plain" : suffix_text(kind).substr(1);
}

CrashkernelKind crashkernel_kind(std::string_view value) {
  for (CrashkernelKind kind : {CrashkernelKind::high, CrashkernelKind::low, CrashkernelKind::cma}) {
    if (value.ends_with(suffix_text(kind))) return kind;
  }
  return CrashkernelKind::plain;
}

CrashkernelValue parse_crashkernel_value(std::string_view value, CrashkernelKind kind,
                                         std::optional<uint64_t> ram) {
  bool ranges = kind == CrashkernelKind::plain && value.find(':') != std::string_view::npos;
  return ranges ? read_ranges(value, ram) : read_size(value, kind);
}

CrashkernelDecision decide_crashkernel(std::string_view command_line, uint64_t ram, bool rounds_ram) {
  CrashkernelDecision decision;
  decision.options = find_options(command_line);
  if (decision.options.empty()) return decision;
  try {
    decision.request = request_of(decision.options, ram, rounds_ram);
  } catch (const Error& e) {
    decision.problem = e.message();
  }
  return decision;
}

uint64_t parse_memory_size(std::string_view text) {
  ValueReader reader(text);
  uint64_t size = reader.size("a size");
  if (!reader.rest().empty()) reader.expected("a unit (K, M, G, T, P, E) or the end");
  return size;
}

std::string memory_size_text(uint64_t bytes) {
  constexpr std::string_view units = "KMGTPE";
  size_t unit = 0;
  while (unit < units.size() && bytes != 0 && bytes % 1024 == 0) {
    bytes /= 1024;
    ++unit;
  }
  return unit == 0 ? std::to_string(bytes) : fmt::format("{}{}", bytes, units[unit - 1]);
}

}  // namespace kdk
