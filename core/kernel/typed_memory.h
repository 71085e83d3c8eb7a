// Kernel memory by types: places that have an address and a BTF type, and the paths of members and pointers
// between them. Types come from the kernel's BTF and from that of its modules, read when it is needed.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/kernel/kernel.h"
#include "core/kernel/modules.h"

namespace kdk {

struct TypeRef {
  const Btf* btf = nullptr;
  uint32_t id = 0;
};

struct TypedPlace {
  VirtAddr at;
  TypeRef type;
  // Where the type is a bit field: its place in the 8 bytes at `at`.
  unsigned bit = 0, bits = 0;
};

class TypedMemory {
 public:
  // `kernel` must outlive it, and `more`: types to use where the dump has none, those of its vmlinux.
  explicit TypedMemory(Kernel& kernel, const Btf* more = nullptr) : kernel_(kernel), more_(more) {}

  Kernel& kernel() { return kernel_; }
  KernelMemory& memory() { return kernel_.memory(); }
  // The kernel's types; nullptr when there are none.
  const Btf* types() { return kernel_.btf() != nullptr ? kernel_.btf() : more_; }

  // The kernel's types and, when they are asked for, its modules'.
  std::vector<const Btf*> all_types();
  // A named type of the kernel or of a module.
  std::optional<TypeRef> find_type(std::string_view name);
  // The same; throws Error{missing} that says why there is none.
  TypeRef require_type(std::string_view name);
  // What a type is; a struct that is only declared becomes the one of that name.
  Btf::Type describe(TypeRef& type);

  // Where a variable is; several: a per-CPU one, or some of the same name. `sized`: how far it is to the next
  // symbol, where that can be told, else 0. Throws Error{missing} when there is none.
  struct Variable {
    std::vector<VirtAddr> at;
    std::optional<TypeRef> type;  // as the kernel's BTF describes it
    uint64_t size = 0;
  };
  Variable variable(const std::string& name);

  // The places that `path` ("a.b[2].c") leads to from `from`: pointers on the way are followed, and an array
  // means all of its elements. NULL leads nowhere. Throws Error{missing} for a member that does not exist,
  // Error{fault} for memory that cannot be read, Error{unsupported} when it is too much.
  std::vector<TypedPlace> follow(const TypedPlace& from, std::string_view path);
  // As follow(), for a path that leads to one place at most.
  std::optional<TypedPlace> follow_one(const TypedPlace& from, std::string_view path);

  // The number or pointer at a place. Throws Error{fault,unsupported}.
  uint64_t value(const TypedPlace& place);
  // value() at the end of a path; nullopt where a NULL pointer is in the way.
  std::optional<uint64_t> number(const TypedPlace& from, std::string_view path);

  // What the pointer at `place` points to; nullopt for NULL. Throws Error{fault,unsupported}.
  std::optional<TypedPlace> pointee(const TypedPlace& place);

  const ModuleList& modules();

 private:
  void load_module_types();
  std::optional<TypeRef> variable_type(const std::string& name);
  std::vector<VirtAddr> addresses(const std::string& name, uint64_t& size);

  Kernel& kernel_;
  const Btf* more_ = nullptr;
  bool modules_listed_ = false, module_types_loaded_ = false, module_symbols_ = false;
  ModuleList modules_;
  std::vector<std::unique_ptr<Btf>> module_types_;
};

// Calls `visit` with each node of an rb-tree, of which there are at most `most`. Throws Error{fault,format}.
void walk_tree(TypedMemory& memory, VirtAddr root, size_t most, const std::function<void(VirtAddr)>& visit);

}  // namespace kdk
