#include "analyze/symbols/relocate.h"

#include <elf.h>
#include <fmt/format.h>
#include <gelf.h>
#include <libelf.h>

#include <cstring>
#include <string_view>
#include <vector>

#include "core/base/bytes.h"

namespace kdk {
namespace {

// Elf64_Sym and Elf64_Rela, at alignment 1.
struct SymbolEntry {
  ul32 name;
  uint8_t info, other;
  ul16 section;
  ul64 value, size;
};
struct RelocationEntry {
  ul64 offset;
  ul32 type, symbol;  // r_info: the type is its lower half
  il64 addend;
};
static_assert(sizeof(SymbolEntry) == sizeof(Elf64_Sym) && sizeof(RelocationEntry) == sizeof(Elf64_Rela));

// Bytes that a relocation of data writes, and whether it counts from its own place.
struct Kind {
  unsigned bytes = 0;  // 0: not one of data
  bool relative = false;
};

Kind kind_of(uint16_t machine, uint32_t type) {
  if (machine == EM_X86_64) {
    switch (type) {
      case R_X86_64_64:
        return {8, false};
      case R_X86_64_32:
      case R_X86_64_32S:
        return {4, false};
      case R_X86_64_PC32:
        return {4, true};
      case R_X86_64_PC64:
        return {8, true};
      default:
        return {};
    }
  }
  switch (type) {
    case R_AARCH64_ABS64:
      return {8, false};
    case R_AARCH64_ABS32:
      return {4, false};
    case R_AARCH64_PREL64:
      return {8, true};
    case R_AARCH64_PREL32:
      return {4, true};
    default:
      return {};
  }
}

Bytes bytes_of(Elf_Scn* section) {
  const Elf_Data* data = section != nullptr ? elf_rawdata(section, nullptr) : nullptr;
  if (data == nullptr || data->d_buf == nullptr) return {};
  return {static_cast<const uint8_t*>(data->d_buf), data->d_size};
}

// The values of a symbol table, by index.
std::vector<uint64_t> symbol_values(Bytes table, std::span<const uint64_t> addresses) {
  std::vector<uint64_t> values;
  values.reserve(table.size() / sizeof(SymbolEntry));
  for (uint64_t at = 0; at + sizeof(SymbolEntry) <= table.size(); at += sizeof(SymbolEntry)) {
    const SymbolEntry entry = *load<SymbolEntry>(table, at);
    uint64_t base = 0;
    if (entry.section < addresses.size()) base = addresses[entry.section];
    values.push_back(entry.section == SHN_UNDEF ? 0 : base + entry.value);
  }
  return values;
}

void apply(uint16_t machine, Bytes relocations, const std::vector<uint64_t>& values, MutableBytes target) {
  for (uint64_t at = 0; at + sizeof(RelocationEntry) <= relocations.size(); at += sizeof(RelocationEntry)) {
    const RelocationEntry entry = *load<RelocationEntry>(relocations, at);
    const Kind kind = kind_of(machine, entry.type);
    const uint64_t offset = entry.offset;
    if (kind.bytes == 0 || entry.symbol >= values.size() || !in_bounds(target.size(), offset, kind.bytes)) {
      continue;
    }
    // Debug sections are at 0, so that their place is the offset.
    uint64_t value = values[entry.symbol] + static_cast<uint64_t>(int64_t{entry.addend});
    if (kind.relative) value -= offset;
    if (kind.bytes == 8) {
      store(target, offset, ul64(value));
    } else {
      store(target, offset, ul32(static_cast<uint32_t>(value)));
    }
  }
}

}  // namespace

void relocate_debug_sections(Elf* elf, uint16_t machine, std::span<const uint64_t> addresses) {
  if (machine != EM_X86_64 && machine != EM_AARCH64) {
    throw Error(Errc::unsupported, fmt::format("relocations of ELF machine {} are not known", machine));
  }
  size_t names = 0, section_count = 0;
  GElf_Ehdr header;
  if (elf_getshdrstrndx(elf, &names) != 0 || elf_getshdrnum(elf, &section_count) != 0 ||
      gelf_getehdr(elf, &header) == nullptr) {
    throw Error(Errc::format, elf_errmsg(-1));
  }
  // libelf reads the headers out of the same bytes: what claims to be debug information must not be them.
  const uint64_t headers_end = header.e_shoff + section_count * sizeof(Elf64_Shdr);
  auto holds_headers = [&](const GElf_Shdr& shdr) {
    return shdr.sh_offset < sizeof(Elf64_Ehdr) ||
           (shdr.sh_offset < headers_end && header.e_shoff < shdr.sh_offset + shdr.sh_size);
  };
  size_t table_index = 0;
  std::vector<uint64_t> values;
  for (Elf_Scn* scn = elf_nextscn(elf, nullptr); scn != nullptr; scn = elf_nextscn(elf, scn)) {
    GElf_Shdr relocations, shdr;
    if (gelf_getshdr(scn, &relocations) == nullptr || relocations.sh_type != SHT_RELA) continue;
    Elf_Scn* target = elf_getscn(elf, relocations.sh_info);
    if (target == nullptr || gelf_getshdr(target, &shdr) == nullptr || (shdr.sh_flags & SHF_ALLOC) != 0 ||
        shdr.sh_type == SHT_NOBITS || holds_headers(shdr)) {
      continue;
    }
    const char* name = elf_strptr(elf, names, shdr.sh_name);
    if (name == nullptr || !std::string_view(name).starts_with(".debug_")) continue;
    // Its relocations count from the unpacked bytes. libelf keeps those in memory of its own.
    if ((shdr.sh_flags & SHF_COMPRESSED) != 0 && elf_compress(target, 0, 0) < 0) {
      throw Error(Errc::format, fmt::format("{}: {}", name, elf_errmsg(-1)));
    }
    if ((relocations.sh_flags & SHF_COMPRESSED) != 0 && elf_compress(scn, 0, 0) < 0) {
      throw Error(Errc::format, fmt::format("relocations of {}: {}", name, elf_errmsg(-1)));
    }
    if (relocations.sh_link != table_index) {
      table_index = relocations.sh_link;
      values = symbol_values(bytes_of(elf_getscn(elf, table_index)), addresses);
    }
    Bytes bytes = bytes_of(target);
    apply(machine, bytes_of(scn), values, {const_cast<uint8_t*>(bytes.data()), bytes.size()});
  }
}

}  // namespace kdk
