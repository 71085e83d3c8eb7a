#include "core/config/config_file.h"

#include <fmt/format.h>

// toml++ 3.3 asserts what some broken files violate (found by fuzzing), and in a release build lets the
// compiler take it for granted. Here it is an error like any other.
#undef NDEBUG
[[noreturn]] static void broken_toml() {
  throw kdk::Error(kdk::Errc::format, "this is not TOML");
}
#define TOML_ASSERT(condition) ((condition) ? void() : broken_toml())
#define TOML_ENABLE_FORMATTERS 0
#define TOML_ENABLE_WINDOWS_COMPAT 0
#include <toml++/toml.h>

#include <algorithm>
#include <charconv>

#include "core/base/file.h"

namespace kdk {

struct ConfigTable::Document {
  std::string name;
  toml::table root;

  std::string place(const toml::node& node) const {
    return fmt::format("{}:{}", name, node.source().begin.line);
  }
};

namespace {

const toml::node& as_node(const void* node) {
  return *static_cast<const toml::node*>(node);
}

// A number and one letter out of `units`; nullopt when it is anything else or too large.
struct Unit {
  char letter;
  uint64_t factor;
};
std::optional<uint64_t> quantity(std::string_view text, std::initializer_list<Unit> units) {
  uint64_t value = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || rest + 1 != text.data() + text.size()) return std::nullopt;
  for (const Unit& unit : units) {
    if (*rest == unit.letter && value <= UINT64_MAX / unit.factor) return value * unit.factor;
  }
  return std::nullopt;
}

std::string joined(std::initializer_list<std::string_view> words) {
  std::string text;
  for (const std::string_view word : words) text += (text.empty() ? "" : ", ") + std::string(word);
  return text;
}

bool is_clean(std::string_view text) {
  return std::ranges::none_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

}  // namespace

std::string ConfigTable::place(const void* node) const {
  return document_->place(as_node(node));
}

Error ConfigTable::error(std::string_view key, std::string_view what) const {
  const void* at = node_;
  if (node_ != nullptr) {
    if (const toml::node* value = as_node(node_).as_table()->get(key)) at = value;
  }
  const std::string where = at == nullptr ? document_->name : place(at);
  return Error(Errc::format, fmt::format("{}: {}{}{}: {}", where, name_, key.empty() ? "" : ".", key, what));
}

const void* ConfigTable::find(std::string_view key) {
  known_.emplace(key);
  if (node_ == nullptr) return nullptr;
  return as_node(node_).as_table()->get(key);
}

std::optional<std::string> ConfigTable::text(std::string_view key) {
  const void* node = find(key);
  if (node == nullptr) return std::nullopt;
  const std::optional<std::string> value = as_node(node).value_exact<std::string>();
  if (!value) throw error(key, "must be a string");
  if (value->empty()) throw error(key, "is empty");
  if (!is_clean(*value)) throw error(key, "has a control character");
  return value;
}

std::optional<int64_t> ConfigTable::integer(std::string_view key, int64_t lowest, int64_t highest) {
  const void* node = find(key);
  if (node == nullptr) return std::nullopt;
  const std::optional<int64_t> value = as_node(node).value_exact<int64_t>();
  if (!value) throw error(key, "must be an integer");
  if (*value < lowest || *value > highest) {
    throw error(key, fmt::format("{} is not from {} to {}", *value, lowest, highest));
  }
  return value;
}

std::optional<std::vector<int64_t>> ConfigTable::integers(std::string_view key, int64_t lowest,
                                                          int64_t highest) {
  const void* node = find(key);
  const toml::array* array = node != nullptr ? as_node(node).as_array() : nullptr;
  if (array == nullptr) {
    const std::optional<int64_t> value = integer(key, lowest, highest);
    return value ? std::optional(std::vector<int64_t>{*value}) : std::nullopt;
  }
  std::vector<int64_t> list;
  for (const toml::node& item : *array) {
    const std::optional<int64_t> value = item.value_exact<int64_t>();
    if (!value) throw error(key, "must be an integer or a list of integers");
    if (*value < lowest || *value > highest)
      throw error(key, fmt::format("{} is not from {} to {}", *value, lowest, highest));
    list.push_back(*value);
  }
  if (list.empty()) throw error(key, "is an empty list");
  return list;
}

std::optional<bool> ConfigTable::boolean(std::string_view key) {
  const void* node = find(key);
  if (node == nullptr) return std::nullopt;
  const std::optional<bool> value = as_node(node).value_exact<bool>();
  if (!value) throw error(key, "must be true or false");
  return value;
}

std::optional<size_t> ConfigTable::word(std::string_view key, std::initializer_list<std::string_view> words) {
  const std::optional<std::string> value = text(key);
  if (!value) return std::nullopt;
  const auto* found = std::ranges::find(words, *value);
  if (found == words.end()) throw error(key, fmt::format("\"{}\" is not one of {}", *value, joined(words)));
  return static_cast<size_t>(found - words.begin());
}

std::optional<std::chrono::seconds> ConfigTable::duration(std::string_view key) {
  constexpr uint64_t week = 7 * 24 * 3600;
  if (const void* node = find(key); node != nullptr && as_node(node).is_integer()) {
    throw error(key, "a time needs its unit, as in \"90s\", \"10m\" or \"2h\"");
  }
  const std::optional<std::string> value = text(key);
  if (!value) return std::nullopt;
  const std::optional<uint64_t> seconds = quantity(*value, {{'s', 1}, {'m', 60}, {'h', 3600}});
  if (!seconds) throw error(key, fmt::format("\"{}\" is no time: write \"90s\", \"10m\" or \"2h\"", *value));
  if (*seconds == 0 || *seconds > week) throw error(key, "is not from 1s to a week");
  return std::chrono::seconds(*seconds);
}

std::optional<uint64_t> ConfigTable::size(std::string_view key) {
  if (const void* node = find(key); node != nullptr && as_node(node).is_integer()) {
    throw error(key, "a size needs its unit, as in \"512M\" or \"4G\"");
  }
  const std::optional<std::string> value = text(key);
  if (!value) return std::nullopt;
  const std::optional<uint64_t> bytes =
      quantity(*value, {{'K', 1 << 10}, {'M', 1 << 20}, {'G', uint64_t{1} << 30}, {'T', uint64_t{1} << 40}});
  if (!bytes || *bytes == 0 || *bytes > INT64_MAX) {
    throw error(key, fmt::format("\"{}\" is no size: write \"512M\" or \"4G\"", *value));
  }
  return bytes;
}

std::optional<std::vector<std::string>> ConfigTable::texts(std::string_view key) {
  const void* node = find(key);
  if (node == nullptr) return std::nullopt;
  const toml::array* array = as_node(node).as_array();
  std::vector<std::string> list;
  if (array == nullptr) throw error(key, "must be a list of strings");
  for (const toml::node& item : *array) {
    const std::optional<std::string> value = item.value_exact<std::string>();
    if (!value || value->empty() || !is_clean(*value)) throw error(key, "must be a list of strings");
    list.push_back(*value);
  }
  return list;
}

std::optional<std::filesystem::path> ConfigTable::path(std::string_view key) {
  const std::optional<std::string> value = text(key);
  if (!value) return std::nullopt;
  if (value->front() != '/') throw error(key, fmt::format("\"{}\" is not an absolute path", *value));
  return std::filesystem::path(*value).lexically_normal();
}

std::string ConfigTable::required_text(std::string_view key) {
  const std::optional<std::string> value = text(key);
  if (!value) throw error(key, "is missing");
  return *value;
}

std::filesystem::path ConfigTable::required_path(std::string_view key) {
  const std::optional<std::filesystem::path> value = path(key);
  if (!value) throw error(key, "is missing");
  return *value;
}

void ConfigTable::finish() const {
  if (node_ == nullptr) return;
  for (const auto& [key, value] : *as_node(node_).as_table()) {
    if (!known_.contains(key.str())) throw error(key.str(), "there is no such key");
  }
}

// The first byte behind the string that begins at `at`; the end of the text, when it is not closed.
size_t end_of_string(std::string_view text, size_t at) {
  const char quote = text[at];
  const bool many_lines = text.substr(at, 3) == std::string(3, quote);
  const std::string_view end = text.substr(at, many_lines ? 3 : 1);
  for (size_t i = at + end.size(); i < text.size(); ++i) {
    if (text[i] == '\\' && quote == '"') {
      ++i;
    } else if (text.substr(i, end.size()) == end) {
      return i + end.size();
    } else if (text[i] == '\n' && !many_lines) {
      return i;
    }
  }
  return text.size();
}

// TOML has characters beyond ASCII in strings and comments only (v1.0.0, "Keys", "String", "Comment").
// toml++ 3.3 does not say so of most of them: what it does is undefined.
void require_ascii_elsewhere(std::string_view text, std::string_view name) {
  const size_t begin = text.starts_with("\xef\xbb\xbf") ? 3 : 0;  // a byte order mark
  for (size_t i = begin; i < text.size();) {
    const char c = text[i];
    if (c == '#') {
      i = std::min(text.find('\n', i), text.size());
    } else if (c == '"' || c == '\'') {
      i = end_of_string(text, i);
    } else if ((static_cast<unsigned char>(c) & 0x80) != 0) {
      const auto line = 1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(i), '\n');
      throw Error(Errc::format, fmt::format("{}:{}: a character beyond ASCII outside of quotes", name, line));
    } else {
      ++i;
    }
  }
}

ConfigFile ConfigFile::parse(std::string_view text, std::string_view name) {
  require_ascii_elsewhere(text, name);
  auto document = std::make_shared<ConfigTable::Document>();
  document->name = name;
  try {
    document->root = toml::parse(text, name);
  } catch (const toml::parse_error& e) {
    throw Error(Errc::format, fmt::format("{}:{}: {}", name, e.source().begin.line, e.description()));
  } catch (Error& e) {
    e.add_context(name);
    throw;
  }
  ConfigFile file;
  file.document_ = document;
  return file;
}

ConfigFile ConfigFile::read(const std::filesystem::path& path) {
  return parse(read_text_file(path, uint64_t{1} << 20), path.string());
}

ConfigTable ConfigFile::table(std::string_view name) const {
  const toml::node* node = document_->root.get(name);
  if (node != nullptr && !node->is_table()) {
    throw Error(Errc::format,
                fmt::format("{}: {} must be a table, [{}]", document_->place(*node), name, name));
  }
  return ConfigTable(document_, node, std::string(name));
}

std::vector<ConfigTable> ConfigFile::tables(std::string_view name) const {
  std::vector<ConfigTable> list;
  const toml::node* node = document_->root.get(name);
  if (node == nullptr) return list;
  const toml::array* array = node->as_array();
  if (array == nullptr || !array->is_homogeneous<toml::table>()) {
    throw Error(Errc::format,
                fmt::format("{}: {} must be written as [[{}]]", document_->place(*node), name, name));
  }
  for (const toml::node& item : *array) list.push_back(ConfigTable(document_, &item, std::string(name)));
  return list;
}

void ConfigFile::only(std::initializer_list<std::string_view> names) const {
  for (const auto& [key, value] : document_->root) {
    if (std::ranges::find(names, key.str()) == names.end()) {
      throw Error(Errc::format, fmt::format("{}: {}: there is no such section; there are {}",
                                            document_->place(value), key.str(), joined(names)));
    }
  }
}

const std::string& ConfigFile::name() const {
  return document_->name;
}

}  // namespace kdk
