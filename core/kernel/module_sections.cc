#include "core/kernel/module_sections.h"

#include <optional>

namespace kdk {
namespace {

constexpr uint64_t max_sections = 8192;  // -ffunction-sections makes thousands
constexpr size_t max_name = 256;

// struct module_sect_attrs, in either form.
struct SectionTable {
  VirtAddr first;  // entry
  uint64_t stride = 0, name = 0, address = 0;
  uint64_t count = 0;
};

std::optional<SectionTable> find_table(Kernel& kernel, VirtAddr attributes) {
  Layout& layout = kernel.layout();
  KernelMemory& memory = kernel.memory();
  const auto entries = layout.offset("module_sect_attrs", "attrs");
  if (!entries) return std::nullopt;
  SectionTable table;
  table.first = attributes + *entries;
  // Linux commit 4b2c11e4aaf7 ("module: sysfs: Drop member 'module_sect_attr::address'") and 34f5ec0f8252
  // ("module: sysfs: Drop 'struct module_sect_attr'") (in v6.14): the entries are the struct bin_attribute
  // themselves, the address is their `private`, and a list of pointers to them that ends with NULL counts them.
  const bool own_struct = layout.size_of("module_sect_attr").has_value();
  const char* type = own_struct ? "module_sect_attr" : "bin_attribute";
  const auto stride = layout.size_of(type);
  // Linux commit ed66f991bb19 ("module: Refactor section attr into bin attribute") (in v5.8): before that the
  // entry had the name itself.
  const auto name = own_struct ? layout.first_field(type, {"battr.attr.name", "name"})
                               : layout.first_field(type, {"attr.name"});
  const auto address = layout.offset(type, own_struct ? "address" : "private");
  if (!stride || *stride == 0 || !name || !address) return std::nullopt;
  table.stride = *stride;
  table.name = name->offset;
  table.address = *address;
  if (const auto number = layout.offset("module_sect_attrs", "nsections")) {
    table.count = memory.u32(attributes + *number).value_or(0);
  } else if (const auto list =
                 layout.first_field("module_sect_attrs", {"grp.bin_attrs_new", "grp.bin_attrs"})) {
    const auto pointers = memory.pointer(attributes + list->offset);
    while (pointers && table.count < max_sections &&
           memory.u64(*pointers + table.count * 8).value_or(0) != 0) {
      ++table.count;
    }
  }
  if (table.count > max_sections) return std::nullopt;
  return table;
}

}  // namespace

std::vector<ModuleSection> read_module_sections(Kernel& kernel, const Module& module) {
  std::vector<ModuleSection> sections;
  const auto member = kernel.layout().offset("module", "sect_attrs");
  if (!member) return sections;
  KernelMemory& memory = kernel.memory();
  const auto attributes = memory.pointer(VirtAddr{module.address} + *member);
  if (!attributes || attributes->value == 0) return sections;
  const std::optional<SectionTable> table = find_table(kernel, *attributes);
  if (!table) return sections;
  for (uint64_t i = 0; i < table->count; ++i) {
    const VirtAddr entry = table->first + i * table->stride;
    const auto name_at = memory.pointer(entry + table->name);
    const auto address = memory.u64(entry + table->address);
    if (!name_at || !address) continue;
    std::optional<std::string> name = memory.string(*name_at, max_name);
    if (name && !name->empty()) sections.push_back({std::move(*name), *address});
  }
  return sections;
}

}  // namespace kdk
