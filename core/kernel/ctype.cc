#include "core/kernel/ctype.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "core/base/error.h"

namespace kdk {
namespace {

constexpr int most_modifiers = 64;  // typedefs and qualifiers in a row
constexpr int most_nesting = 16;    // pointers, arrays and functions in one declaration
constexpr unsigned most_pointers = 8;

// Numbers as BTF names them, by the words that C accepts in any order.
const std::map<std::string, std::string, std::less<>>& numbers() {
  static const std::map<std::string, std::string, std::less<>> all = {
      {"char", "char"},
      {"char signed", "signed char"},
      {"char unsigned", "unsigned char"},
      {"short", "short int"},
      {"int short", "short int"},
      {"short unsigned", "short unsigned int"},
      {"int short unsigned", "short unsigned int"},
      {"int", "int"},
      {"signed", "int"},
      {"int signed", "int"},
      {"unsigned", "unsigned int"},
      {"int unsigned", "unsigned int"},
      {"long", "long int"},
      {"int long", "long int"},
      {"long signed", "long int"},
      {"long unsigned", "long unsigned int"},
      {"int long unsigned", "long unsigned int"},
      {"long long", "long long int"},
      {"int long long", "long long int"},
      {"long long unsigned", "long long unsigned int"},
      {"int long long unsigned", "long long unsigned int"},
      {"_Bool", "_Bool"},
  };
  return all;
}

// And as people write them.
std::string_view written(std::string_view btf) {
  if (btf == "long unsigned int") return "unsigned long";
  if (btf == "long int") return "long";
  if (btf == "short unsigned int") return "unsigned short";
  if (btf == "short int") return "short";
  if (btf == "long long unsigned int") return "unsigned long long";
  if (btf == "long long int") return "long long";
  return btf;
}

// Variables that BTF does not describe (it has the per-CPU ones only, on most kernels) and that everybody
// asks for. Each as the header declares it: these names have kept their types since v4.9 at least; a type
// that a kernel does not have makes the variable one of unknown type.
struct KnownVariable {
  std::string_view name, type;
};
constexpr std::array known_variables = {
    KnownVariable{"init_task", "struct task_struct"},         // include/linux/sched/task.h
    KnownVariable{"init_mm", "struct mm_struct"},             // include/linux/mm_types.h
    KnownVariable{"init_pid_ns", "struct pid_namespace"},     // include/linux/pid_namespace.h
    KnownVariable{"init_uts_ns", "struct uts_namespace"},     // include/linux/utsname.h
    KnownVariable{"init_user_ns", "struct user_namespace"},   // include/linux/user_namespace.h
    KnownVariable{"init_net", "struct net"},                  // include/net/net_namespace.h
    KnownVariable{"init_nsproxy", "struct nsproxy"},          // include/linux/nsproxy.h
    KnownVariable{"init_cred", "struct cred"},                // kernel/cred.c
    KnownVariable{"init_files", "struct files_struct"},       // include/linux/fdtable.h
    KnownVariable{"init_fs", "struct fs_struct"},             // include/linux/fs_struct.h
    KnownVariable{"init_css_set", "struct css_set"},          // include/linux/cgroup.h
    KnownVariable{"root_task_group", "struct task_group"},    // kernel/sched/sched.h
    KnownVariable{"contig_page_data", "struct pglist_data"},  // include/linux/mmzone.h
    KnownVariable{"modules", "struct list_head"},             // kernel/module/internal.h
    KnownVariable{"slab_caches", "struct list_head"},         // mm/slab.h
    KnownVariable{"super_blocks", "struct list_head"},        // fs/super.c
    KnownVariable{"net_namespace_list", "struct list_head"},  // include/net/net_namespace.h
    KnownVariable{"workqueues", "struct list_head"},          // kernel/workqueue.c
    KnownVariable{"vmap_area_list", "struct list_head"},      // include/linux/vmalloc.h, until v6.9
    KnownVariable{"vmap_area_root", "struct rb_root"},        // mm/vmalloc.c, until v6.9
    KnownVariable{"iomem_resource", "struct resource"},       // include/linux/ioport.h
    KnownVariable{"ioport_resource", "struct resource"},      // include/linux/ioport.h
    KnownVariable{"rcu_state", "struct rcu_state"},           // kernel/rcu/tree.c
    KnownVariable{"jiffies", "unsigned long"},                // include/linux/jiffies.h
    KnownVariable{"jiffies_64", "u64"},                       // include/linux/jiffies.h
    KnownVariable{"tainted_mask", "unsigned long"},           // kernel/panic.c
    KnownVariable{"system_state", "enum system_states"},      // include/linux/kernel.h
    KnownVariable{"nr_cpu_ids", "unsigned int"},              // include/linux/cpumask.h
    KnownVariable{"panic_cpu", "atomic_t"},                   // include/linux/panic.h
    KnownVariable{"oops_in_progress", "int"},                 // include/linux/printk.h
    KnownVariable{"panic_on_oops", "int"},                    // include/linux/panic.h
    KnownVariable{"panic_timeout", "int"},                    // include/linux/panic.h
    KnownVariable{"saved_command_line", "char *"},            // include/linux/init.h
    KnownVariable{"high_memory", "void *"},                   // include/linux/mm.h
    KnownVariable{"max_pfn", "unsigned long"},                // include/linux/memblock.h
    KnownVariable{"max_low_pfn", "unsigned long"},            // include/linux/memblock.h
    KnownVariable{"pcpu_base_addr", "void *"},                // include/linux/percpu.h
    KnownVariable{"__cpu_online_mask", "struct cpumask"},     // include/linux/cpumask.h
    KnownVariable{"__cpu_possible_mask", "struct cpumask"},   // include/linux/cpumask.h
    KnownVariable{"__cpu_present_mask", "struct cpumask"},    // include/linux/cpumask.h
    KnownVariable{"prb", "struct printk_ringbuffer *"},       // kernel/printk/printk.c
    KnownVariable{"memblock", "struct memblock"},             // include/linux/memblock.h
    KnownVariable{"cgrp_dfl_root", "struct cgroup_root"},     // include/linux/cgroup.h
    KnownVariable{"system_wq", "struct workqueue_struct *"},  // include/linux/workqueue.h
};

bool is_modifier(Btf::Record::Kind kind) {
  using Kind = Btf::Record::Kind;
  return kind == Kind::definition || kind == Kind::const_ || kind == Kind::volatile_ ||
         kind == Kind::restrict_;
}

}  // namespace

CTypes::CTypes(TypedMemory& memory) : memory_(memory) {
  if (memory.types() == nullptr)
    throw Error(Errc::missing, "the dump has no types (BTF), and no vmlinux that has them was found");
  all_.push_back(memory.types());
}

CTypes::Record CTypes::declared(CType type) {
  if (type.pointers > 0) {
    Record pointer;
    pointer.kind = Kind::pointer;
    pointer.size = 8;
    return pointer;
  }
  return type.btf != nullptr ? type.btf->record(type.id).value_or(Record{}) : Record{};
}

CType CTypes::resolve(CType type) {
  for (int i = 0; i < most_modifiers && type.pointers == 0; ++i) {
    const Record record = declared(type);
    if (is_modifier(record.kind)) {
      type.id = record.target;
    } else if (record.kind == Kind::forward && !record.name.empty()) {
      const auto whole = find(record.name, {record.of_union ? Kind::union_ : Kind::structure});
      return whole ? *whole : type;
    } else {
      return type;
    }
  }
  return type;
}

CTypes::Record CTypes::record(CType type) {
  return declared(resolve(type));
}

uint64_t CTypes::size(CType type) {
  return record(type).size;
}

std::optional<CType> CTypes::target(CType type) {
  type = resolve(type);
  if (type.pointers > 0) return CType{type.btf, type.id, type.pointers - 1};
  const Record record = declared(type);
  if (record.kind != Kind::pointer && record.kind != Kind::array) return std::nullopt;
  return CType{type.btf, record.target, 0};
}

std::optional<CMember> CTypes::member(CType type, std::string_view path) {
  type = resolve(type);
  if (type.pointers > 0 || type.btf == nullptr) return std::nullopt;
  const auto found = type.btf->member(type.id, path);
  if (!found) return std::nullopt;
  return CMember{{type.btf, found->type_id, 0}, found->bit_offset, found->bitfield_size};
}

std::string CTypes::name(CType type, std::string_view declarator_in) {
  std::string declarator(declarator_in);
  std::string qualifiers;
  const auto inner_kind = [&] {
    const Kind kind = declared(type).kind;
    return type.pointers == 0 && (kind == Kind::array || kind == Kind::prototype);
  };
  const auto point = [&] {
    declarator = "*" + declarator;
    if (inner_kind()) declarator = "(" + declarator + ")";
  };
  for (int depth = 0; depth < most_nesting; ++depth) {
    if (type.pointers > 0) {
      --type.pointers;
      point();
      continue;
    }
    const Record record = declared(type);
    std::string base;
    switch (record.kind) {
      case Kind::pointer:
        type.id = record.target;
        point();
        continue;
      case Kind::array:
        type.id = record.target;
        declarator += fmt::format("[{}]", record.count == 0 ? std::string() : std::to_string(record.count));
        continue;
      case Kind::prototype: {
        std::string parameters;
        for (const Record::Parameter& p : record.parameters) {
          if (!parameters.empty()) parameters += ", ";
          const bool ellipsis = p.type == 0 && p.name.empty();
          // Functions that take functions that take functions: the names end somewhere.
          parameters += ellipsis ? "..." : depth > 2 ? "_" : name({type.btf, p.type, 0});
        }
        declarator += "(" + (parameters.empty() ? "void" : parameters) + ")";
        type.id = record.target;
        continue;
      }
      case Kind::const_:
      case Kind::volatile_: {
        const std::string_view word = record.kind == Kind::const_ ? "const" : "volatile";
        type.id = record.target;
        if (declared(type).kind == Kind::pointer) {
          declarator = std::string(word) + (declarator.empty() ? "" : " ") + declarator;
        } else {
          qualifiers += std::string(word) + " ";
        }
        continue;
      }
      case Kind::restrict_:
      case Kind::function:
        type.id = record.target;
        continue;
      case Kind::structure:
      case Kind::union_:
      case Kind::forward: {
        const bool is_union =
            record.kind == Kind::union_ || (record.kind == Kind::forward && record.of_union);
        base = std::string(is_union ? "union " : "struct ") +
               (record.name.empty() ? "{...}" : std::string(record.name));
        break;
      }
      case Kind::enumeration:
        base = "enum " + (record.name.empty() ? "{...}" : std::string(record.name));
        break;
      case Kind::void_:
        base = "void";
        break;
      case Kind::integer:
      case Kind::floating:
        base = written(record.name);
        break;
      case Kind::definition:
        base = record.name;
        break;
      case Kind::other:
        base = "?";
        break;
    }
    return qualifiers + base + (declarator.empty() ? "" : " ") + declarator;
  }
  return "...";
}

std::optional<CType> CTypes::find(std::string_view name, std::initializer_list<Kind> kinds) {
  const auto look = [&](const Btf* btf) -> std::optional<CType> {
    for (uint32_t id : btf->named(name)) {
      const auto record = btf->record(id);
      if (record && std::ranges::find(kinds, record->kind) != kinds.end()) return CType{btf, id, 0};
    }
    return std::nullopt;
  };
  for (const Btf* btf : all_) {
    if (const auto found = look(btf)) return found;
  }
  if (modules_) return std::nullopt;
  modules_ = true;
  all_ = memory_.all_types();
  for (const Btf* btf : all_) {
    if (const auto found = look(btf)) return found;
  }
  return std::nullopt;
}

std::optional<CType> CTypes::find_number(std::vector<std::string> words) {
  std::ranges::sort(words);
  std::string key;
  for (const std::string& word : words) key += (key.empty() ? "" : " ") + word;
  const auto known = numbers().find(key);
  return known == numbers().end() ? std::nullopt : find(known->second, {Kind::integer, Kind::floating});
}

std::optional<CType> CTypes::parse(const std::vector<std::string>& words, size_t first, size_t& used) {
  static const std::set<std::string, std::less<>> number_words = {"char",   "short",    "int",   "long",
                                                                  "signed", "unsigned", "_Bool", "bool"};
  size_t at = first;
  const auto skip_qualifiers = [&] {
    while (at < words.size() && (words[at] == "const" || words[at] == "volatile")) ++at;
  };
  skip_qualifiers();
  if (at >= words.size()) return std::nullopt;
  std::optional<CType> type;
  const std::string& word = words[at];
  if (word == "struct" || word == "union" || word == "enum") {
    if (at + 1 >= words.size()) return std::nullopt;
    const std::string& tag = words[at + 1];
    type = find(tag, {word == "struct"  ? Kind::structure
                      : word == "union" ? Kind::union_
                                        : Kind::enumeration});
    if (!type) throw Error(Errc::missing, fmt::format("the kernel has no {} {}", word, tag));
    at += 2;
  } else if (word == "void") {
    type = CType{all_.front(), 0, 0};
    ++at;
  } else if (number_words.contains(word)) {
    std::vector<std::string> number;
    while (at < words.size() && number_words.contains(words[at])) number.push_back(words[at++]);
    if (number == std::vector<std::string>{"bool"}) number = {"_Bool"};
    type = find_number(number);
  } else {
    type = find(word, {Kind::definition});
    if (type) ++at;
  }
  if (!type) return std::nullopt;
  skip_qualifiers();
  while (at < words.size() && words[at] == "*" && type->pointers < most_pointers) {
    ++type->pointers;
    ++at;
    skip_qualifiers();
  }
  used = at - first;
  return type;
}

std::optional<CType> CTypes::parse(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  const auto flush = [&] {
    if (!word.empty()) words.push_back(std::exchange(word, {}));
  };
  for (char c : text) {
    if (c == ' ' || c == '\t') {
      flush();
    } else if (c == '*') {
      flush();
      words.emplace_back("*");
    } else {
      word += c;
    }
  }
  flush();
  size_t used = 0;
  const auto type = parse(words, 0, used);
  return type && used == words.size() ? type : std::nullopt;
}

std::optional<CType> CTypes::named(const std::string& name) {
  for (const char* tag : {"", "struct ", "union ", "enum "}) {
    // A name that is no struct may be a union.
    try {
      if (const auto type = parse(tag + name)) return *type;
    } catch (const Error& error) {
      if (error.code() != Errc::missing) throw;
      if (*tag == '\0') return std::nullopt;  // it has its own tag
    }
  }
  return std::nullopt;
}

CType CTypes::integer(unsigned bytes, bool is_signed) {
  std::string_view name = is_signed ? "long int" : "long unsigned int";
  if (bytes == 4) name = is_signed ? "int" : "unsigned int";
  if (const auto found = find(name, {Kind::integer})) return *found;
  // A kernel without that type: any number of that size and sign.
  for (uint32_t id = 1; id < all_.front()->type_count(); ++id) {
    const auto record = all_.front()->record(id);
    if (record && record->kind == Kind::integer && record->size == bytes && record->is_signed == is_signed)
      return {all_.front(), id, 0};
  }
  return {all_.front(), 0, 1};  // a pointer-sized word
}

CType CTypes::character() {
  const auto found = find("char", {Kind::integer});
  return found ? *found : integer(4, true);
}

std::optional<CType> CTypes::variable(std::string_view name) {
  for (const Btf* btf : all_) {
    if (const auto id = btf->variable(name)) return CType{btf, *id, 0};
  }
  for (const KnownVariable& known : known_variables) {
    if (known.name != name) continue;
    try {
      return parse(known.type);
    } catch (const Error&) {
      return std::nullopt;  // not a type of this kernel
    }
  }
  return std::nullopt;
}

std::optional<int64_t> CTypes::enumerator(std::string_view name) {
  for (const Btf* btf : all_) {
    if (const auto value = btf->enumerator(name)) return value;
  }
  return std::nullopt;
}

}  // namespace kdk
