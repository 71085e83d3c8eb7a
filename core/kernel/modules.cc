#include "core/kernel/modules.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <functional>
#include <utility>

#include "core/base/log.h"
#include "core/kernel/module_find.h"
#include "core/kernel/module_symbols.h"

namespace kdk {
namespace {

constexpr size_t max_modules = 4096;
constexpr uint64_t max_range = uint64_t{1} << 30;  // bytes; the largest real module is some 20 MB
constexpr uint64_t max_memory_types = 16;          // MOD_MEM_NUM_TYPES is 7
constexpr uint64_t max_notes = 64, max_note_bytes = 4096;
constexpr size_t build_id_bytes = 20;

// Reads one struct module after the other, with the layout looked up once.
class ModuleReader {
 public:
  explicit ModuleReader(Kernel& kernel);
  Module read(VirtAddr address);

 private:
  std::string text(VirtAddr at, size_t limit) {
    return escape_untrusted(kernel_.memory().string(at, limit).value_or(""));
  }
  std::string text_behind(VirtAddr at);
  void read_memory_types(VirtAddr address, Module& module);
  void read_layout(VirtAddr layout, std::string_view prefix, Module& module);
  void add_range(Module& module, uint64_t base, uint64_t size, std::string kind);
  std::string build_id(VirtAddr address);

  Kernel& kernel_;
  Layout& layout_;
  std::vector<std::pair<int64_t, std::string>> states_;
  std::vector<std::string> memory_kinds_;
};

ModuleReader::ModuleReader(Kernel& kernel) : kernel_(kernel), layout_(kernel.layout()) {
  // enum module_state and enum mod_mem_type; where the types do not have them, as in the kernels so far.
  constexpr std::array<std::pair<std::string_view, std::string_view>, 4> states = {
      {{"MODULE_STATE_LIVE", "live"},
       {"MODULE_STATE_COMING", "coming"},
       {"MODULE_STATE_GOING", "going"},
       {"MODULE_STATE_UNFORMED", "unformed"}}};
  for (size_t i = 0; i < states.size(); ++i) {
    const int64_t value = layout_.enumerator(states[i].first).value_or(static_cast<int64_t>(i));
    states_.emplace_back(value, states[i].second);
  }
  constexpr std::array<std::pair<std::string_view, std::string_view>, 7> kinds = {
      {{"MOD_TEXT", "text"},
       {"MOD_DATA", "data"},
       {"MOD_RODATA", "rodata"},
       {"MOD_RO_AFTER_INIT", "ro_after_init"},
       {"MOD_INIT_TEXT", "init_text"},
       {"MOD_INIT_DATA", "init_data"},
       {"MOD_INIT_RODATA", "init_rodata"}}};
  memory_kinds_.resize(max_memory_types);
  for (size_t i = 0; i < kinds.size(); ++i) {
    const auto index =
        static_cast<uint64_t>(layout_.enumerator(kinds[i].first).value_or(static_cast<int64_t>(i)));
    if (index < memory_kinds_.size()) memory_kinds_[index] = kinds[i].second;
  }
}

std::string ModuleReader::text_behind(VirtAddr at) {
  const auto pointer = kernel_.memory().pointer(at);
  return pointer && pointer->value != 0 ? text(*pointer, 128) : std::string();
}

void ModuleReader::add_range(Module& module, uint64_t base, uint64_t size, std::string kind) {
  if (base == 0 || size == 0 || size > max_range || !checked_add(base, size)) return;
  module.ranges.push_back({base, size, std::move(kind)});
}

// Linux commit ac3b43283923 ("module: replace module_layout with module_memory") (in v6.4): one allocation
// per kind.
void ModuleReader::read_memory_types(VirtAddr address, Module& module) {
  const uint64_t mem = layout_.require_offset("module", "mem");
  const uint64_t base = layout_.require_offset("module_memory", "base");
  const uint64_t size = layout_.require_offset("module_memory", "size");
  const std::optional<uint64_t> stride = layout_.size_of("module_memory");
  if (!stride) throw Error(Errc::missing, "no size of struct module_memory");
  const uint64_t count = std::min(layout_.array_length("module", "mem").value_or(0), max_memory_types);
  for (uint64_t i = 0; i < count; ++i) {
    const VirtAddr entry = address + mem + i * *stride;
    const auto start = kernel_.memory().u64(entry + base);
    const auto bytes = kernel_.memory().u32(entry + size);
    if (!start || !bytes) throw Error(Errc::fault, "its memory ranges cannot be read", entry.value);
    module.size_bytes += *bytes;
    add_range(module, *start, *bytes, memory_kinds_[i]);
  }
}

// v4.5 to v6.3: struct module_layout {base, size, text_size, ro_size, ro_after_init_size}: the sizes are
// ends, each counted from base (include/linux/module.h).
void ModuleReader::read_layout(VirtAddr layout, std::string_view prefix, Module& module) {
  KernelMemory& memory = kernel_.memory();
  const auto base = memory.u64(layout + layout_.require_offset("module_layout", "base"));
  const auto size = memory.u32(layout + layout_.require_offset("module_layout", "size"));
  if (!base || !size) throw Error(Errc::fault, "its memory ranges cannot be read", layout.value);
  module.size_bytes += *size;
  if (*base == 0 || *size == 0) return;
  constexpr std::array<std::pair<std::string_view, std::string_view>, 3> ends = {
      {{"text_size", "text"}, {"ro_size", "rodata"}, {"ro_after_init_size", "ro_after_init"}}};
  uint64_t done = 0;
  for (const auto& [member, kind] : ends) {
    const auto at = layout_.offset("module_layout", member);
    const auto end = at ? memory.u32(layout + *at) : std::nullopt;
    if (!end || *end <= done || *end > *size) continue;
    add_range(module, *base + done, *end - done, fmt::format("{}{}", prefix, kind));
    done = *end;
  }
  add_range(module, *base + done, *size - done, fmt::format("{}data", prefix));
}

// struct module.build_id (CONFIG_STACKTRACE_BUILD_ID), else the notes that sysfs shows: their struct
// bin_attribute have the address and size of each note section.
std::string ModuleReader::build_id(VirtAddr address) {
  KernelMemory& memory = kernel_.memory();
  auto hex = [](Bytes bytes) {
    std::string out;
    for (uint8_t b : bytes) out += fmt::format("{:02x}", b);
    return out;
  };
  if (const auto field = layout_.field("module", "build_id")) {
    std::vector<uint8_t> id(std::min<uint64_t>(field->size != 0 ? field->size : build_id_bytes, 64));
    const bool known = memory.read(address + field->offset, id).status == ReadStatus::ok;
    if (known && std::any_of(id.begin(), id.end(), [](uint8_t b) { return b != 0; })) return hex(id);
  }
  const auto notes_attrs = layout_.offset("module", "notes_attrs");
  const auto attrs = layout_.offset("module_notes_attrs", "attrs");
  const auto stride = layout_.size_of("bin_attribute");
  const auto data = layout_.offset("bin_attribute", "private"),
             size = layout_.offset("bin_attribute", "size");
  if (!notes_attrs || !attrs || !stride || !data || !size) return {};
  const auto table = memory.pointer(address + *notes_attrs);
  if (!table || table->value == 0) return {};
  // Their number: a member up to v6.13, then a NULL-terminated list of pointers to them.
  uint64_t count = 0;
  if (const auto notes = layout_.offset("module_notes_attrs", "notes")) {
    count = memory.u32(*table + *notes).value_or(0);
  } else if (const auto list =
                 layout_.first_field("module_notes_attrs", {"grp.bin_attrs_new", "grp.bin_attrs"})) {
    const auto pointers = memory.pointer(*table + list->offset);
    while (pointers && count < max_notes && memory.u64(*pointers + count * 8).value_or(0) != 0) ++count;
  }
  for (uint64_t i = 0; i < std::min(count, max_notes); ++i) {
    const VirtAddr attribute = *table + *attrs + i * *stride;
    const auto note_at = memory.pointer(attribute + *data);
    const auto note_size = memory.u64(attribute + *size);
    if (!note_at || !note_size || *note_size > max_note_bytes) continue;
    std::vector<uint8_t> bytes(*note_size);
    if (!memory.read(*note_at, bytes)) continue;
    constexpr uint32_t nt_gnu_build_id = 3;
    for (const Note& note : parse_notes(bytes)) {
      if (note.name == "GNU" && note.type == nt_gnu_build_id) return hex(note.desc);
    }
  }
  return {};
}

// Throws Error when the module's name or memory cannot be read.
Module ModuleReader::read(VirtAddr address) {
  KernelMemory& memory = kernel_.memory();
  Module module;
  module.address = address.value;
  const auto name = layout_.field("module", "name");
  if (!name) throw Error(Errc::missing, "no layout for module.name");
  constexpr uint64_t module_name_len = 56;
  const auto raw = memory.string(address + name->offset,
                                 name->size != 0 ? std::min<uint64_t>(name->size, 256) : module_name_len);
  if (!raw) throw Error(Errc::fault, "its name cannot be read", address.value);
  module.name = escape_untrusted(*raw);
  if (const auto at = layout_.offset("module", "state")) {
    const auto value = memory.u32(address + *at);
    module.state = value ? fmt::format("unknown ({})", *value) : "unknown";
    for (const auto& [number, state] : states_) {
      if (value && int64_t{*value} == number) module.state = state;
    }
  }
  if (const auto at = layout_.offset("module", "taints"))
    module.taints = memory.u64(address + *at).value_or(0);
  // kernel/panic.c, taint_flags[]: one letter per bit; a module never has 'G'.
  constexpr std::string_view letters = "PFSRMBUDAWCIOELKXTNJ";
  for (size_t bit = 0; bit < letters.size(); ++bit) {
    if ((module.taints >> bit & 1) != 0) module.taint_letters += letters[bit];
  }
  if (const auto at = layout_.offset("module", "version")) module.version = text_behind(address + *at);
  if (const auto at = layout_.offset("module", "srcversion")) module.srcversion = text_behind(address + *at);

  if (layout_.field("module", "mem")) {
    read_memory_types(address, module);
  } else if (const auto core = layout_.offset("module", "core_layout")) {
    read_layout(address + *core, "", module);
    if (const auto data = layout_.offset("module", "data_layout")) read_layout(address + *data, "", module);
    if (const auto init = layout_.offset("module", "init_layout"))
      read_layout(address + *init, "init_", module);
  } else {
    throw Error(Errc::missing, "struct module has neither mem[] nor core_layout");
  }
  module.build_id = build_id(address);
  return module;
}

ModuleList walk_modules(Kernel& kernel, const std::function<void(const Module&, ModuleList&)>& visit) {
  ModuleList list;
  const std::optional<uint64_t> link = kernel.layout().offset("module", "list");
  if (!link) {
    list.why_not = kernel.layout().has_types()
                       ? "the kernel has no struct module: it was built without modules (CONFIG_MODULES=n)"
                       : "no layout for struct module: the dump has no usable BTF";
    return list;
  }
  std::optional<VirtAddr> head = kernel.symbol("modules");
  if (!head) {
    head = search_module_list(kernel);
    if (!head) {
      list.why_not = "the symbol \"modules\" is not known, and a search of the kernel's data found no module";
      return list;
    }
    list.problems.push_back(
        "the symbol \"modules\" is not known: the list was found by searching the kernel's data");
  }
  ModuleReader reader(kernel);
  const WalkEnd end = walk_list(kernel.memory(), *head, max_modules, [&](VirtAddr node) {
    const VirtAddr address = node - *link;
    try {
      Module module = reader.read(address);
      // A module that is not formed yet has nothing in place.
      if (module.state != "unformed") visit(module, list);
      list.modules.push_back(std::move(module));
    } catch (const Error& e) {
      list.problems.push_back(fmt::format("module at {:#x}: {}", address.value, e.message()));
    }
    return true;
  });
  if (end != WalkEnd::complete) {
    list.problems.push_back(
        fmt::format("the list of modules ends early after {}: {}", list.modules.size(), to_string(end)));
  }
  return list;
}

}  // namespace

ModuleList read_modules(Kernel& kernel) {
  const auto symbols = ModuleSymbolLayout::find(kernel.layout());
  ModuleList list = walk_modules(kernel, [&](const Module& module, ModuleList& out) {
    for (const Module::Range& r : module.ranges)
      kernel.symbols().add_range(r.base, r.base + r.size, module.name);
    std::string why =
        symbols ? add_module_symbols(kernel, *symbols, module) : "no layout for struct mod_kallsyms";
    if (!why.empty()) out.problems.push_back(fmt::format("no symbols of module {}: {}", module.name, why));
  });
  kernel.symbols().finish();
  return list;
}

ModuleList list_modules(Kernel& kernel) {
  return walk_modules(kernel, [](const Module&, ModuleList&) {});
}

}  // namespace kdk
