// The kernel's C types, by name and as they are put together: what `struct` shows and expressions compute
// with. A type is a BTF type and a number of pointers in front of it, for BTF has no type for every pointer
// that an expression can make.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/kernel/typed_memory.h"

namespace kdk {

struct CType {
  const Btf* btf = nullptr;
  uint32_t id = 0;        // 0: void
  unsigned pointers = 0;  // that many pointers to it
};

// A member of a struct, those of anonymous members included.
struct CMember {
  CType type;
  uint64_t bit_offset = 0;  // from the start of the struct asked
  uint32_t bitfield_size = 0;
};

class CTypes {
 public:
  using Record = Btf::Record;
  using Kind = Btf::Record::Kind;

  // Throws Error{missing} when there are no types.
  explicit CTypes(TypedMemory& memory);

  TypedMemory& memory() { return memory_; }

  // Typedefs and qualifiers removed; a struct that is only declared becomes the one of that name.
  CType resolve(CType type);
  // What resolve() leads to: the record of that type.
  Record record(CType type);
  // As it is declared, without following anything.
  Record declared(CType type);
  uint64_t size(CType type);  // bytes; 0: unknown, or none

  CType pointer_to(CType type) { return {type.btf, type.id, type.pointers + 1}; }
  // What a pointer points to, or an array has; nullopt for anything else.
  std::optional<CType> target(CType type);
  std::optional<CMember> member(CType type, std::string_view path);

  // "struct list_head *", and with a name "struct list_head *next", "char comm[16]", "void (*f)(int)".
  std::string name(CType type, std::string_view declarator = {});

  // "struct task_struct", "unsigned long", "u64 *", "struct list_head *[2]" is not: what can stand in a cast.
  // nullopt when it is no type's name. Throws Error{missing} for "struct nosuch".
  std::optional<CType> parse(std::string_view text);
  // The same, and the names of structs, unions and enums need no such word before them; nullopt: no such
  // type.
  std::optional<CType> named(const std::string& name);
  // As parse(), of words that the caller has split, taking as many as belong to the type; `used` says how
  // many.
  std::optional<CType> parse(const std::vector<std::string>& words, size_t first, size_t& used);
  // Types of the language.
  CType integer(unsigned bytes, bool is_signed);
  CType boolean_result() { return integer(4, true); }
  CType character();
  // Type of a variable: BTF's, or for a few well-known ones what the kernel's headers declare.
  std::optional<CType> variable(std::string_view name);
  std::optional<int64_t> enumerator(std::string_view name);

 private:
  std::optional<CType> find(std::string_view name, std::initializer_list<Kind> kinds);
  std::optional<CType> find_number(std::vector<std::string> words);

  TypedMemory& memory_;
  std::vector<const Btf*> all_;
  bool modules_ = false;
};

}  // namespace kdk
