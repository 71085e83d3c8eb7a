// BTF: the kernel's compact type information, carried in the dump (CONFIG_DEBUG_INFO_BTF) and in vmlinux.
// Source: Documentation/bpf/btf.rst, include/uapi/linux/btf.h.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/bytes.h"
#include "core/base/types.h"

namespace kdk {

class Btf {
 public:
  struct Member {
    uint64_t bit_offset = 0;  // from the start of the outermost struct asked for
    uint32_t type_id = 0;
    uint32_t bitfield_size = 0;  // bits; 0 = not a bit field
    uint64_t size = 0;           // bytes of the member's type, 0 when unknown
    uint64_t offset() const { return bit_offset / 8; }
  };

  // Takes the raw BTF, little-endian. Throws Error{format} naming the offset. `base`: the vmlinux BTF that a
  // module's split BTF continues; must outlive this. Costs one pass over the types; indexes by name are built
  // on first use, so the const functions are not thread-safe.
  static std::unique_ptr<Btf> parse(std::vector<uint8_t> data, const Btf* base = nullptr);

  ~Btf();
  // Types with their ids, the base's and "void" (id 0) included.
  size_t type_count() const;
  // Size in bytes of a struct, union, enum or base type by name; typedefs are followed.
  std::optional<uint64_t> size_of(std::string_view type) const;
  // Member of a named struct or union (typedefs are followed). `path` may be dotted ("thread.cpu_context"),
  // and members of anonymous structs and unions are found as C finds them. Of several types of one name, the
  // first that has it.
  std::optional<Member> member(std::string_view type, std::string_view path) const;
  // Value of an enumerator in any enum.
  std::optional<int64_t> enumerator(std::string_view name) const;
  // Element count of a member that is an array.
  std::optional<uint64_t> array_length(std::string_view type, std::string_view path) const;
  bool has_struct(std::string_view type) const;

  // --- Types by their ids, for who walks along members and pointers. An id counts in this BTF and its base.
  struct Type {
    enum class Kind : uint8_t {
      other,      // void, a function, a struct that is only declared (then with its name)
      number,     // integer, enum, floating point
      character,  // "char"
      pointer,
      array,
      aggregate,  // struct or union
    };
    Kind kind = Kind::other;
    std::string_view name;  // as long as the BTF; empty when it has none
    uint64_t size = 0;      // bytes; 0 when unknown
    uint32_t target = 0;    // pointer: what it points to; array: its elements
    uint64_t count = 0;     // array: elements; 0 for a flexible one
  };
  // With typedefs and qualifiers removed. nullopt: no such id.
  std::optional<Type> type(uint32_t id) const;
  // Of a named type, as size_of() takes it; the first that has a size.
  std::optional<uint32_t> find(std::string_view type) const;
  // The type of a variable. Most kernels describe the per-CPU ones only.
  std::optional<uint32_t> variable(std::string_view name) const;
  // As member(), of the struct or union with this id.
  std::optional<Member> member(uint32_t type_id, std::string_view path) const;

  // --- Types as they are declared, for who shows them: typedefs and qualifiers are types of their own here.
  struct Record {
    enum class Kind : uint8_t {
      void_,
      integer,
      floating,
      enumeration,
      pointer,
      array,
      structure,
      union_,
      forward,     // a struct or union that is only declared
      definition,  // typedef
      const_,
      volatile_,
      restrict_,
      function,  // and a prototype: `target` is what it returns
      prototype,
      other,  // what is no type: a variable, a section, a tag of a declaration
    };
    Kind kind = Kind::void_;
    std::string_view name;  // as long as the BTF; empty when it has none
    uint64_t size = 0;      // bytes; 0 when unknown
    uint32_t target = 0;    // what it points to, is made of, returns or stands for
    uint64_t count = 0;     // array: elements
    bool is_signed = false, is_char = false, is_bool = false;
    bool of_union = false;  // forward
    struct Field {
      std::string_view name;  // empty: anonymous
      Member member;          // bit_offset from the start of this struct
    };
    std::vector<Field> fields;
    struct Enumerator {
      std::string_view name;
      int64_t value = 0;
    };
    std::vector<Enumerator> enumerators;
    struct Parameter {
      std::string_view name;
      uint32_t type = 0;
    };
    std::vector<Parameter> parameters;  // prototype; an ellipsis is one of type 0 without a name
  };
  // nullopt: no such id.
  std::optional<Record> record(uint32_t id) const;
  // Every type with this name (struct, union, enum, typedef, number), own ones before the base's.
  std::vector<uint32_t> named(std::string_view name) const;

 private:
  struct Impl;
  explicit Btf(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

class KernelMemory;
// The run-time address of a symbol, where it is known.
using SymbolLookup = std::function<std::optional<VirtAddr>(std::string_view)>;

// Finds vmlinux's BTF in the dump: by __start_BTF/__stop_BTF when kallsyms has data symbols, else by
// searching the image's read-only data after the text for the BTF header (magic 0xEB9F) and checking it.
// nullptr when there is none; `why_not`, if given, then gets a sentence.
std::unique_ptr<Btf> find_btf(KernelMemory& memory, const SymbolLookup& symbol,
                              std::string* why_not = nullptr);

}  // namespace kdk
