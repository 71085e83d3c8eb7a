// Objects of the kernel as walkers ask about them: a place of a known struct, and its members by name.
//
// TypedMemory throws where a path leads nowhere, which suits an expression that somebody typed. A walker
// expects absence: the kernel has no such member, a pointer is NULL, a page is not in the dump. Here each of
// these is nullopt, and lists end with a sentence.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/kernel/typed_memory.h"

namespace kdk {

// Sentences on what could not be read: the first ones, and that there are more.
class Problems {
 public:
  void add(std::string sentence);
  bool empty() const { return sentences_.empty(); }
  std::vector<std::string> take() { return std::move(sentences_); }

 private:
  std::vector<std::string> sentences_;
};

// A path names members of the struct itself ("node.expires"), anonymous ones as C finds them; it does not
// follow pointers.
class Object {
 public:
  Object(TypedMemory& memory, TypeRef type, VirtAddr at) : memory_(&memory), type_(type), at_(at) {}

  VirtAddr at() const { return at_; }
  uint64_t address() const { return at_.value; }

  bool has(std::string_view path) const;
  // Where a member is; nullopt: this kernel has none.
  std::optional<VirtAddr> place(std::string_view path) const;
  // An integer, enum, pointer or bit field of at most 8 bytes.
  std::optional<uint64_t> number(std::string_view path) const;
  std::optional<int64_t> signed_number(std::string_view path) const;
  // The first of several names (newest kernel form first) that this kernel has.
  std::optional<uint64_t> first_number(std::initializer_list<std::string_view> paths) const;
  // The pointer at `path`; nullopt for NULL.
  std::optional<VirtAddr> pointer(std::string_view path) const;
  // The struct at `path`, the one that the pointer at `path` leads to.
  std::optional<Object> member(std::string_view path) const;
  std::optional<Object> target(std::string_view path) const;
  // Elements of an array member, and how far each is from the next. 0: it is none.
  uint64_t count(std::string_view path) const;
  std::optional<Object> element(std::string_view path, uint64_t index) const;
  // Text in a character array, or where a character pointer leads to; escaped, empty when there is none.
  std::string text(std::string_view path, size_t most = 64) const;
  std::string pointed_text(std::string_view path, size_t most = 256) const;

 private:
  std::optional<Btf::Member> find(std::string_view path) const;

  TypedMemory* memory_;
  TypeRef type_;
  VirtAddr at_;
};

class Objects {
 public:
  explicit Objects(TypedMemory& types) : types_(types), kernel_(types.kernel()) {}

  Kernel& kernel() { return kernel_; }
  KernelMemory& memory() { return kernel_.memory(); }
  TypedMemory& types() { return types_; }

  // Of the kernel itself; those of modules are not looked at.
  bool has_type(std::string_view type);
  // Throws Error{missing} when there is no such type.
  Object at(std::string_view type, VirtAddr at);
  // The struct whose member `link` is at `node`. Throws Error{missing}.
  Object container(std::string_view type, std::string_view link, VirtAddr node);
  // The address of a variable. Throws Error{missing} "the symbol x is not known".
  VirtAddr require_symbol(std::string_view name);
  // A variable's instance on one CPU; nullopt when it has none.
  std::optional<Object> per_cpu(std::string_view type, std::string_view symbol, unsigned cpu);
  // Possible CPUs. Throws Error{missing} when they are not known.
  std::vector<unsigned> cpus();
  // CPUs set in a cpumask_var_t, which is a struct or a pointer to one (CONFIG_CPUMASK_OFFSTACK).
  std::optional<std::vector<unsigned>> cpu_list(const Object& object, std::string_view path);

  // The members of a list or tree, in order; `what` names it in sentences on how the walk ended.
  std::vector<Object> list(VirtAddr head, std::string_view type, std::string_view link, std::string_view what,
                           Problems& problems);
  // hlist_head and hlist_nulls_head.
  std::vector<Object> hash_list(VirtAddr head, std::string_view type, std::string_view link,
                                std::string_view what, Problems& problems);
  std::vector<Object> tree(VirtAddr root, std::string_view type, std::string_view link, std::string_view what,
                           Problems& problems);

  // "function+0x10 [module]", without the offset where it is 0; the bare number when no symbol has it.
  // Escaped.
  std::string symbol_text(uint64_t address);

 private:
  TypeRef require(std::string_view type);

  TypedMemory& types_;
  Kernel& kernel_;
};

// "0-3,8"; "none" for no CPU.
std::string cpu_ranges(const std::vector<unsigned>& cpus);

}  // namespace kdk
