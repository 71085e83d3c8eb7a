// Layout: where struct offsets, sizes and enumerators come from, and the one home of every fact that differs
// between kernels. Sources in order: VMCOREINFO, then BTF (from the dump or from vmlinux); DWARF is analyze's
// to add.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "core/formats/vmcoreinfo.h"
#include "core/kernel/btf.h"

namespace kdk {

class Layout {
 public:
  struct Field {
    uint64_t offset = 0;  // bytes
    uint64_t size = 0;    // bytes; 0 when the source does not tell
  };
  // A source of types. BTF is one; analyze adds DWARF as another.
  class TypeSource {
   public:
    virtual ~TypeSource() = default;
    virtual std::optional<Field> field(std::string_view type, std::string_view path) const = 0;
    virtual std::optional<uint64_t> size_of(std::string_view type) const = 0;
    virtual std::optional<int64_t> enumerator(std::string_view name) const = 0;
    virtual std::optional<uint64_t> array_length(std::string_view type, std::string_view path) const = 0;
  };

  explicit Layout(const Vmcoreinfo& vmcoreinfo) : vmcoreinfo_(vmcoreinfo) {}
  // Added sources are asked after VMCOREINFO, in the order added. Must outlive the layout.
  void add_source(const TypeSource& source) { sources_.push_back(&source); }
  bool has_types() const { return !sources_.empty(); }

  // Offset of type.path; `path` may be dotted. VMCOREINFO's OFFSET(type.path) first.
  std::optional<Field> field(std::string_view type, std::string_view path) const;
  // The first of several names (newest kernel form first) that exists.
  std::optional<Field> first_field(std::string_view type,
                                   std::initializer_list<std::string_view> paths) const;
  std::optional<uint64_t> offset(std::string_view type, std::string_view path) const;
  std::optional<uint64_t> size_of(std::string_view type) const;
  std::optional<int64_t> enumerator(std::string_view name) const;
  std::optional<uint64_t> array_length(std::string_view type, std::string_view path) const;
  // As offset(), but throws Error{missing} "no layout for task_struct.comm".
  uint64_t require_offset(std::string_view type, std::string_view path) const;

 private:
  const Vmcoreinfo& vmcoreinfo_;
  std::vector<const TypeSource*> sources_;
};

// BTF as a TypeSource.
class BtfTypes : public Layout::TypeSource {
 public:
  explicit BtfTypes(const Btf& btf) : btf_(btf) {}
  std::optional<Layout::Field> field(std::string_view type, std::string_view path) const override;
  std::optional<uint64_t> size_of(std::string_view type) const override;
  std::optional<int64_t> enumerator(std::string_view name) const override;
  std::optional<uint64_t> array_length(std::string_view type, std::string_view path) const override;

 private:
  const Btf& btf_;
};

}  // namespace kdk
