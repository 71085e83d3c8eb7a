#include "analyze/inspect/module_details.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/base/log.h"

namespace kdk {
namespace {

constexpr size_t max_users = 4096;
constexpr uint64_t max_sections = 1024;
constexpr size_t max_name = 256, max_arguments = 1024;

class Reader {
 public:
  Reader(Kernel& kernel, const Module& module)
      : memory_(kernel.memory()), layout_(kernel.layout()), module_(module), at_{module.address} {}

  ModuleDetails run() {
    read_references();
    out_.users = neighbours("source_list", "source");
    out_.needs = neighbours("target_list", "target");
    read_sections();
    read_symbol_count();
    if (auto args = layout_.offset("module", "args"))
      out_.arguments = text_behind(at_ + *args, max_arguments);
    out_.init_function = pointer("init");
    out_.exit_function = pointer("exit");
    return std::move(out_);
  }

 private:
  std::string text_behind(VirtAddr at, size_t limit) {
    const auto where = memory_.pointer(at);
    if (!where || where->value == 0) return {};
    return escape_untrusted(memory_.string(*where, limit).value_or(""));
  }
  std::optional<uint64_t> pointer(std::string_view member) {
    const auto offset = layout_.offset("module", member);
    return offset ? memory_.u64(at_ + *offset) : std::nullopt;
  }

  // Linux commit 2f35c41f58a9 ("module: Replace module_ref with atomic_t refcnt") (in v3.19): one of the
  // count is the module's own (MODULE_REF_BASE), taken back while it is unloaded.
  void read_references() {
    const auto offset = layout_.first_field("module", {"refcnt.counter", "refcnt"});
    const auto count = offset ? memory_.u32(at_ + offset->offset) : std::nullopt;
    if (count) out_.references = int64_t{static_cast<int32_t>(*count)} - 1;
  }

  // struct module_use hangs on both modules: on source_list of the one that is used, with `source` the user,
  // and on target_list of the user, with `target` the one that is used.
  std::optional<std::vector<std::string>> neighbours(const char* list, const char* other) {
    const auto head = layout_.offset("module", list), link = layout_.offset("module_use", list),
               who = layout_.offset("module_use", other), name = layout_.offset("module", "name");
    if (!head || !link || !who || !name) return std::nullopt;
    std::vector<std::string> names;
    const WalkEnd end = walk_list(memory_, at_ + *head, max_users, [&](VirtAddr node) {
      const auto module = memory_.pointer(node - *link + *who);
      const auto text = module ? memory_.string(*module + *name, max_name) : std::nullopt;
      names.push_back(text ? escape_untrusted(*text) : "?");
      return true;
    });
    if (end != WalkEnd::complete)
      out_.problems.push_back(fmt::format("{} ends early after {}: {}", list, names.size(), to_string(end)));
    return names;
  }

  // One bin_attribute per section under /sys/module/NAME/sections.
  // Linux commit d8959b947a8d ("module: sysfs: Drop member 'module_sect_attrs::nsections'") (in v6.14): the
  // NULL at the end of the group's pointers ends them. Linux commit 4b2c11e4aaf7 ("module: sysfs: Drop member
  // 'module_sect_attr::address'") (in v6.14): the address is the attribute's private.
  void read_sections() {
    const auto sect_attrs = layout_.offset("module", "sect_attrs");
    const auto attrs = layout_.offset("module_sect_attrs", "attrs");
    const auto private_data = layout_.offset("bin_attribute", "private");
    const auto attribute_name = layout_.offset("bin_attribute", "attr.name");
    const auto table = sect_attrs ? memory_.pointer(at_ + *sect_attrs) : std::nullopt;
    if (!attrs || !attribute_name || !table || table->value == 0) return;

    const auto own_address = layout_.offset("module_sect_attr", "address");
    const auto battr = layout_.offset("module_sect_attr", "battr");
    const auto stride = own_address ? layout_.size_of("module_sect_attr") : layout_.size_of("bin_attribute");
    if (!stride || (!own_address && !private_data)) return;
    const auto address_at = own_address.value_or(private_data.value_or(0));

    uint64_t count = 0;
    if (const auto number = layout_.offset("module_sect_attrs", "nsections")) {
      count = memory_.u32(*table + *number).value_or(0);
    } else if (const auto list =
                   layout_.first_field("module_sect_attrs", {"grp.bin_attrs_new", "grp.bin_attrs"})) {
      const auto pointers = memory_.pointer(*table + list->offset);
      while (pointers && count < max_sections && memory_.u64(*pointers + count * 8).value_or(0) != 0) ++count;
    }
    if (count > max_sections) {
      out_.problems.push_back(fmt::format("{} sections are too many", count));
      count = max_sections;
    }
    std::vector<ModuleSection> sections;
    for (uint64_t i = 0; i < count; ++i) {
      const VirtAddr entry = *table + *attrs + i * *stride;
      const auto address = memory_.u64(entry + address_at);
      if (!address) {
        out_.problems.push_back(fmt::format("section {} cannot be read", i));
        break;
      }
      ModuleSection section;
      section.name = text_behind(entry + battr.value_or(0) + *attribute_name, max_name);
      section.address = *address;
      section.gone =
          std::none_of(module_.ranges.begin(), module_.ranges.end(), [&](const Module::Range& range) {
            // An empty section may stand at the end.
            return *address >= range.base && *address <= range.base + range.size;
          });
      sections.push_back(std::move(section));
    }
    out_.sections = std::move(sections);
  }

  void read_symbol_count() {
    const auto kallsyms = pointer("kallsyms");
    const auto count = layout_.offset("mod_kallsyms", "num_symtab");
    if (!kallsyms || *kallsyms == 0 || !count) return;
    if (const auto number = memory_.u32(VirtAddr{*kallsyms} + *count)) out_.symbols = *number;
  }

  KernelMemory& memory_;
  const Layout& layout_;
  const Module& module_;
  VirtAddr at_;
  ModuleDetails out_;
};

}  // namespace

ModuleDetails read_module_details(Kernel& kernel, const Module& module) {
  return Reader(kernel, module).run();
}

}  // namespace kdk
