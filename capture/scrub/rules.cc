#include "capture/scrub/rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "core/base/file.h"
#include "core/config/config_file.h"

namespace kdk {
namespace {

constexpr uint64_t largest_file = 1 << 20;

bool is_identifier(std::string_view text) {
  const auto good = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || c == '$';  // compilers make names such as key.0 and __func__.12
  };
  return !text.empty() && !(text[0] >= '0' && text[0] <= '9') && std::ranges::all_of(text, good);
}

// NAME[.NAME...], each with indexes: "name.nodename", "files[3].owner".
bool is_path(std::string_view text) {
  bool start = true, index = false, closed = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (index) {
      if (c == ']' && text[i - 1] != '[') {
        index = false;
        closed = true;
      } else if (c < '0' || c > '9') {
        return false;
      }
    } else if (c == '[' && !start) {
      index = true;
    } else if (c == '.' && !start) {
      start = true;
      closed = false;
    } else if (!closed && ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
                           (!start && c >= '0' && c <= '9'))) {
      start = false;
    } else {
      return false;
    }
  }
  return !start && !index;
}

class Reader {
 public:
  explicit Reader(ConfigTable table) : table_(std::move(table)) {}

  std::string identifier(std::string_view key) {
    const std::optional<std::string> value = table_.text(key);
    if (value && !is_identifier(*value)) throw table_.error(key, fmt::format("\"{}\" is no name", *value));
    return value.value_or("");
  }
  std::string required(std::string_view key) {
    std::string value = identifier(key);
    if (value.empty()) throw table_.error(key, "is missing");
    return value;
  }
  // A name, "struct NAME"; where `pointer` is given, either with " *".
  std::string type(std::string_view key, bool* pointer = nullptr) {
    std::string value = table_.text(key).value_or("");
    if (value.starts_with("struct ")) value.erase(0, 7);
    if (pointer != nullptr && value.ends_with('*')) {
      *pointer = true;
      value.pop_back();
      while (value.ends_with(' ')) value.pop_back();
    }
    if ((!value.empty() || (pointer != nullptr && *pointer)) && !is_identifier(value))
      throw table_.error(key, fmt::format("\"{}\" is no type", value));
    return value;
  }
  std::string required_type(std::string_view key) {
    std::string value = type(key);
    if (value.empty()) throw table_.error(key, "is missing");
    return value;
  }
  std::string path(std::string_view key) {
    const std::optional<std::string> value = table_.text(key);
    if (value && !is_path(*value)) {
      throw table_.error(key, fmt::format("\"{}\" is no path of members, such as \"name.nodename\"", *value));
    }
    return value.value_or("");
  }
  std::optional<uint64_t> length() {
    const auto value = table_.integer("length", 1, static_cast<int64_t>(most_scrub_bytes));
    return value ? std::optional(static_cast<uint64_t>(*value)) : std::nullopt;
  }

  // Of all kinds that lead to a member: what is done there.
  void read_what(ScrubRule& rule) {
    rule.member = path("member");
    rule.length = length();
    rule.length_member = path("length_member");
    rule.nullify = table_.boolean("nullify").value_or(false);
    if (rule.nullify && (rule.length || !rule.length_member.empty()))
      throw table_.error("nullify", "a pointer that becomes NULL has no length");
    if (rule.length && !rule.length_member.empty())
      throw table_.error("length_member", "does not go with length");
  }

  ScrubRule finish(ScrubRule rule) {
    rule.optional = table_.boolean("optional").value_or(false);
    table_.finish();
    return rule;
  }

  ConfigTable& table() { return table_; }

 private:
  ConfigTable table_;
};

std::string with_member(std::string base, const std::string& member) {
  return member.empty() ? base : base + "." + member;
}

ScrubRule read_variable(Reader in) {
  ScrubRule rule;
  rule.kind = ScrubRule::Kind::variable;
  rule.symbol = in.required("name");
  rule.type = in.type("type", &rule.pointer);
  in.read_what(rule);
  rule.name = with_member(rule.symbol, rule.member);
  return in.finish(std::move(rule));
}

ScrubRule read_list(Reader in) {
  ScrubRule rule;
  rule.kind = ScrubRule::Kind::list;
  rule.symbol = in.required("head");
  rule.type = in.type("head_type", &rule.pointer);
  rule.head_member = in.path("head_member");
  rule.element = in.required_type("struct");
  rule.link = in.path("link");
  rule.next = in.path("next");
  if (rule.link.empty() == rule.next.empty())
    throw in.table().error("link", "either link or next is needed: how an element leads to the next one");
  in.read_what(rule);
  rule.name = fmt::format("{} in {}", with_member(rule.element, rule.member),
                          with_member(rule.symbol, rule.head_member));
  return in.finish(std::move(rule));
}

ScrubRule read_cache(Reader in) {
  ScrubRule rule;
  rule.kind = ScrubRule::Kind::cache;
  rule.cache = in.table().text("name").value_or("");
  rule.cache_variable = in.identifier("variable");
  if (rule.cache.empty() == rule.cache_variable.empty())
    throw in.table().error("name", "either name or variable is needed: which slab cache it is");
  rule.element = in.type("struct");
  in.read_what(rule);
  if (rule.element.empty() &&
      (!rule.member.empty() || rule.length || rule.nullify || !rule.length_member.empty()))
    throw in.table().error("struct", "is needed to find a part of the objects");
  const std::string& cache = rule.cache.empty() ? rule.cache_variable : rule.cache;
  rule.name = fmt::format("{} in cache {}",
                          with_member(rule.element.empty() ? "object" : rule.element, rule.member), cache);
  return in.finish(std::move(rule));
}

std::optional<uint64_t> parse_address(std::string_view text) {
  if (!text.starts_with("0x")) return std::nullopt;
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data() + 2, text.data() + text.size(), value, 16);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

ScrubRule read_range(Reader in) {
  ScrubRule rule;
  rule.kind = ScrubRule::Kind::range;
  const std::optional<std::string> at = in.table().text("virtual"), physical = in.table().text("physical");
  rule.physical = physical.has_value();
  const char* key = rule.physical ? "physical" : "virtual";
  if (at.has_value() == physical.has_value())
    throw in.table().error(key, "either virtual or physical is needed: where the range starts");
  const std::optional<uint64_t> address = parse_address(rule.physical ? *physical : *at);
  if (!address) throw in.table().error(key, "is no address, such as \"0xffff800080001000\"");
  rule.address = *address;
  rule.length = in.length();
  if (!rule.length) throw in.table().error("length", "is missing");
  if (rule.address + (*rule.length - 1) < rule.address)
    throw in.table().error("length", "the range reaches beyond the last address");
  rule.name = fmt::format("{} {:#x}", key, rule.address);
  return in.finish(std::move(rule));
}

std::vector<ScrubRule> read_keys(Reader in) {
  const std::optional<std::vector<std::string>> kinds = in.table().texts("kinds");
  if (!kinds || kinds->empty()) throw in.table().error("kinds", "is missing");
  std::vector<ScrubRule> rules;
  for (const std::string& kind : *kinds) {
    ScrubRule rule;
    rule.kind = ScrubRule::Kind::keys;
    if (kind == "dm-crypt") {
      rule.keys = ScrubRule::Keys::dm_crypt;
    } else if (kind != "keyrings") {
      throw in.table().error("kinds", fmt::format("\"{}\" is not one of keyrings, dm-crypt", kind));
    }
    rule.name = "keys " + kind;
    rules.push_back(in.finish(std::move(rule)));
  }
  return rules;
}

}  // namespace

ScrubRules parse_scrub_rules(std::string_view text, std::string_view name) {
  const ConfigFile file = ConfigFile::parse(text, name);
  file.only({"variable", "list", "cache", "range", "keys"});
  ScrubRules result;
  result.file = name;
  for (ConfigTable& table : file.tables("variable"))
    result.rules.push_back(read_variable(Reader(std::move(table))));
  for (ConfigTable& table : file.tables("list")) result.rules.push_back(read_list(Reader(std::move(table))));
  for (ConfigTable& table : file.tables("cache"))
    result.rules.push_back(read_cache(Reader(std::move(table))));
  for (ConfigTable& table : file.tables("range"))
    result.rules.push_back(read_range(Reader(std::move(table))));
  for (ConfigTable& table : file.tables("keys")) {
    for (ScrubRule& rule : read_keys(Reader(std::move(table)))) result.rules.push_back(std::move(rule));
  }
  if (result.rules.empty()) throw Error(Errc::format, fmt::format("{}: has no rule: nothing to erase", name));
  return result;
}

ScrubRules read_scrub_rules(const std::filesystem::path& file) {
  return parse_scrub_rules(read_text_file(file, largest_file), file.string());
}

}  // namespace kdk
