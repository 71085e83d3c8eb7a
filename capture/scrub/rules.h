// What is to be erased from a dump: the rules of a --scrub file. docs/kdump-capture.md describes the file.
//
// A rule names memory in the kernel's own terms, by VMCOREINFO, kallsyms and BTF, so that one file serves all
// kernels. The file is TOML, as the configuration, and read as strictly: a mistake is an Error with its line.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kdk {

// Longest stretch that one rule erases in one piece.
inline constexpr uint64_t most_scrub_bytes = uint64_t{64} << 20;

struct ScrubRule {
  enum class Kind : uint8_t {
    variable,  // [[variable]]: a variable, or what a path of members leads to from it
    list,      // [[list]]: the same of every element of a list
    cache,     // [[cache]]: the same of every object of a slab cache
    range,     // [[range]]: addresses
    keys,      // [[keys]]: payloads of keys, wherever the kernel has them
  };
  enum class Keys : uint8_t { keyrings, dm_crypt };

  Kind kind = Kind::variable;
  std::string name;       // for people and eraseinfo: "init_uts_ns.name.nodename"
  bool optional = false;  // that it leads nowhere is no failure

  std::string symbol;       // variable: its name; list: that of the head
  std::string type;         // variable: its type, list: the head's, where BTF does not say; empty: BTF says
  bool pointer = false;     // the variable is a pointer to `type`
  std::string head_member;  // list: path from the variable to the head; empty: the variable is it
  std::string element;      // list, cache: the struct
  std::string link;         // list: the element's list_head or hlist_node
  std::string next;         // list without a head: the element's pointer to the next one
  std::string cache;        // cache: its name
  std::string cache_variable;  // cache: a variable that points to it
  std::string member;          // path from the variable or element; empty: all of it

  bool nullify = false;  // the pointer that the path leads to becomes NULL; else what it points to is erased
  std::optional<uint64_t> length;  // bytes, where types do not say or say too much
  std::string length_member;       // path to a number: as `length`

  bool physical = false;  // range
  uint64_t address = 0;   // range
  Keys keys = Keys::keyrings;
};

struct ScrubRules {
  std::filesystem::path file;
  std::vector<ScrubRule> rules;
};

// Throws Error{format} "FILE:LINE: what"; and when there is no rule at all.
ScrubRules parse_scrub_rules(std::string_view text, std::string_view name);
// Throws Error{missing,denied,io,format}.
ScrubRules read_scrub_rules(const std::filesystem::path& file);

}  // namespace kdk
