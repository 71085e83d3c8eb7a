// Strict reading of /etc/kdumpkit.toml, the one file that configures all programs. Nothing is guessed and
// nothing ignored: an unknown key, a value of the wrong type or outside its range is an Error that says
// FILE:LINE. What the keys mean is the programs' business: each takes its own tables.
//
// Source: TOML 1.0.0, read by toml++.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.h"

namespace kdk {

// One table. A key that is not there is nullopt; a value that does not fit throws Error{format}. Every getter
// marks its key as known; finish() throws for the first key that no getter asked for.
class ConfigTable {
 public:
  std::optional<std::string> text(std::string_view key);  // never empty, no control characters
  std::optional<int64_t> integer(std::string_view key, int64_t lowest, int64_t highest);
  // One, or a list of at least one.
  std::optional<std::vector<int64_t>> integers(std::string_view key, int64_t lowest, int64_t highest);
  std::optional<bool> boolean(std::string_view key);
  // One of `words`; returns its index.
  std::optional<size_t> word(std::string_view key, std::initializer_list<std::string_view> words);
  // "90s", "10m", "2h"; a bare number is an error, so that nobody has to remember the unit. At least 1 s, at
  // most a week.
  std::optional<std::chrono::seconds> duration(std::string_view key);
  // Bytes: "512M", "4G" (powers of 1024, K to T).
  std::optional<uint64_t> size(std::string_view key);
  std::optional<std::vector<std::string>> texts(std::string_view key);
  // As text(), an absolute path.
  std::optional<std::filesystem::path> path(std::string_view key);

  // Throws Error{missing} at the table's line when there is no such key.
  std::string required_text(std::string_view key);
  std::filesystem::path required_path(std::string_view key);

  bool exists() const { return node_ != nullptr; }
  // An error at the line of `key`, or at the table's when it has no such key: "FILE:LINE: NAME.KEY: what".
  Error error(std::string_view key, std::string_view what) const;
  void finish() const;

 private:
  friend class ConfigFile;
  struct Document;
  ConfigTable(std::shared_ptr<const Document> document, const void* node, std::string name)
      : document_(std::move(document)), node_(node), name_(std::move(name)) {}
  const void* find(std::string_view key);  // the key's node
  std::string place(const void* node) const;

  std::shared_ptr<const Document> document_;
  const void* node_ = nullptr;  // nullptr: the file has no such table, all its keys are absent
  std::string name_;
  std::set<std::string, std::less<>> known_;
};

class ConfigFile {
 public:
  // `name` is for messages. Throws Error{format} "FILE:LINE: what".
  static ConfigFile parse(std::string_view text, std::string_view name);
  // Throws Error{missing,denied,io,format}.
  static ConfigFile read(const std::filesystem::path& path);

  // [name]; an empty table when there is none. Throws when `name` is something else.
  ConfigTable table(std::string_view name) const;
  // [[name]], in the order of the file.
  std::vector<ConfigTable> tables(std::string_view name) const;
  // Throws for the first top-level key that is not one of `names`.
  void only(std::initializer_list<std::string_view> names) const;
  // The same with the sections of all programs: each reads its own, and none lets another name pass.
  void only_known() const { only({"capture", "run", "target", "network", "load", "analyze"}); }
  const std::string& name() const;

 private:
  std::shared_ptr<const ConfigTable::Document> document_;
};

}  // namespace kdk
