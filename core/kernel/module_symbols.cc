#include "core/kernel/module_symbols.h"

#include <fmt/format.h>

#include <algorithm>

namespace kdk {
namespace {

constexpr uint32_t max_symbols = 1 << 18;  // per module; the largest real ones have some 50 thousand
constexpr uint64_t max_strtab = uint64_t{16} << 20;  // bytes
constexpr size_t max_name = 1024;

// Elf64_Sym as the kernel keeps it.
struct ElfSymbol {
  ul32 st_name;
  uint8_t st_info;
  uint8_t st_other;
  ul16 st_shndx;
  ul64 st_value;  // run-time address
  ul64 st_size;
};
static_assert(sizeof(ElfSymbol) == 24);

bool is_letter(uint64_t c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

struct Tables {
  std::vector<ElfSymbol> symbols;
  std::vector<uint8_t> types;  // nm letters; empty when the kernel has no typetab
  std::string names;           // strtab, from its start to past the last name used
};

// Reads the tables that the struct mod_kallsyms at `address` points to; a sentence when that fails.
std::string read_tables(KernelMemory& memory, const ModuleSymbolLayout& layout, VirtAddr address,
                        Tables& out) {
  const auto symtab = memory.pointer(address + layout.symtab),
             strtab = memory.pointer(address + layout.strtab);
  const auto count = memory.u32(address + layout.num_symtab);
  if (!symtab || !strtab || !count) return "its mod_kallsyms cannot be read";
  if (*count > max_symbols) return fmt::format("{} symbols are too many", *count);
  out.symbols.resize(*count);
  const auto bytes = std::as_writable_bytes(std::span(out.symbols));
  const ReadResult r = memory.read(*symtab, {reinterpret_cast<uint8_t*>(bytes.data()), bytes.size()});
  if (!r) return fmt::format("its symbols: address {:#x}: {}", r.address, to_string(r.status));

  if (layout.typetab) {
    out.types.resize(*count);
    const auto typetab = memory.pointer(address + *layout.typetab);
    if (!typetab || !memory.read(*typetab, out.types)) return "the types of its symbols cannot be read";
  }
  uint64_t end = 0;
  for (const ElfSymbol& s : out.symbols) end = std::max<uint64_t>(end, s.st_name);
  if (end >= max_strtab) return "its symbol names are too far apart";
  // The last name's length is not known: read on, and take what is there.
  out.names.resize(end + max_name);
  const ReadResult names =
      memory.read(*strtab, {reinterpret_cast<uint8_t*>(out.names.data()), out.names.size()});
  if (!names && names.bytes < end) {
    return fmt::format("its symbol names: address {:#x}: {}", names.address, to_string(names.status));
  }
  if (!names) out.names.resize(names.bytes);
  return {};
}

}  // namespace

std::optional<ModuleSymbolLayout> ModuleSymbolLayout::find(Layout& layout) {
  const auto kallsyms = layout.offset("module", "kallsyms"), symtab = layout.offset("mod_kallsyms", "symtab");
  const auto count = layout.offset("mod_kallsyms", "num_symtab"),
             strtab = layout.offset("mod_kallsyms", "strtab");
  if (!kallsyms || !symtab || !count || !strtab) return std::nullopt;
  return ModuleSymbolLayout{*kallsyms, layout.offset("module", "core_kallsyms"), *symtab, *count,
                            *strtab,   layout.offset("mod_kallsyms", "typetab")};
}

std::string add_module_symbols(Kernel& kernel, const ModuleSymbolLayout& layout, const Module& module) {
  KernelMemory& memory = kernel.memory();
  const VirtAddr address{module.address};
  Tables tables;
  // While a module is being initialised `kallsyms` is its full table, later it is core_kallsyms.
  const auto in_use = memory.pointer(address + layout.kallsyms);
  std::string why = "its mod_kallsyms cannot be read";
  if (in_use && in_use->value != 0) why = read_tables(memory, layout, *in_use, tables);
  if (!why.empty() && layout.core_kallsyms) {
    tables = {};
    why = read_tables(memory, layout, address + *layout.core_kallsyms, tables);
  }
  if (!why.empty()) return why;

  for (size_t i = 0; i < tables.symbols.size(); ++i) {
    const ElfSymbol& s = tables.symbols[i];
    const uint64_t value = s.st_value;
    if (s.st_shndx == 0 || s.st_name >= tables.names.size()) continue;
    const bool inside = std::any_of(module.ranges.begin(), module.ranges.end(), [&](const Module::Range& r) {
      return value >= r.base && value - r.base < r.size;
    });
    std::string_view name(tables.names);
    name.remove_prefix(s.st_name);
    name = name.substr(0, name.find('\0'));
    // Mapping symbols ($x, $d, .L...) name no function: the kernel's own look-up skips them too.
    if (!inside || name.empty() || name.size() > max_name || name[0] == '$' || name.starts_with(".L"))
      continue;
    if (std::any_of(name.begin(), name.end(), [](char c) { return c <= ' ' || c >= 0x7f; })) continue;
    // The nm letter: an own table since v5.2 (kernel/module.c, mod_kallsyms.typetab); v5.0 and v5.1 had it in
    // st_size, older kernels in st_info.
    uint64_t size = s.st_size;
    char type = '?';
    if (i < tables.types.size()) {
      type = static_cast<char>(tables.types[i]);
    } else if (is_letter(s.st_info)) {
      type = static_cast<char>(s.st_info);
    } else if (is_letter(size)) {
      type = static_cast<char>(size);
      size = 0;
    }
    if (!is_letter(static_cast<unsigned char>(type))) type = '?';
    kernel.symbols().add(value, size, type, name, module.name);
  }
  return {};
}

}  // namespace kdk
