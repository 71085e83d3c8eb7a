#include "analyze/symbols/lone_unit.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <gelf.h>
#include <libelf.h>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace kdk {
namespace {

// Bytes of the unit that begins at `offset`, header included. Source: DWARF 5 section 7.5.1.1.
std::optional<Bytes> unit_bytes(Bytes debug_info, uint64_t offset) {
  const auto length = load<ul32>(debug_info, offset);
  if (!length) return std::nullopt;
  if (*length != 0xffffffff) return subspan(debug_info, offset, sizeof(ul32) + uint64_t{*length});
  const auto long_length = load<ul64>(debug_info, offset + sizeof(ul32));
  const auto whole = long_length ? checked_add(*long_length, sizeof(ul32) + sizeof(ul64)) : std::nullopt;
  return whole ? subspan(debug_info, offset, *whole) : std::nullopt;
}

// ULEB128 and SLEB128 (DWARF 5 section 7.6). Values above 64 bits do not matter to who asks here.
std::optional<uint64_t> leb128(Bytes bytes, size_t& at) {
  uint64_t value = 0;
  for (unsigned shift = 0; at < bytes.size(); shift += 7) {
    const uint8_t byte = bytes[at++];
    if (shift < 64) value |= uint64_t{byte & 0x7fu} << shift;
    if ((byte & 0x80) == 0) return value;
  }
  return std::nullopt;
}

// Whether no attribute leads out of a unit with these abbreviations (DWARF 5 section 7.5.3), but into a
// supplementary file, which is another matter.
bool is_self_contained(Bytes abbreviations) {
  size_t at = 0;
  while (const auto code = leb128(abbreviations, at)) {
    if (*code == 0) return true;                                                 // the end of the table
    if (!leb128(abbreviations, at) || at == abbreviations.size()) return false;  // tag
    ++at;                                                                        // has children
    for (bool last = false; !last;) {
      const auto name = leb128(abbreviations, at), form = leb128(abbreviations, at);
      if (!name || !form) return false;
      switch (*form) {
        case DW_FORM_ref_addr:  // anywhere in .debug_info
        case DW_FORM_ref_sig8:  // a type unit
        case DW_FORM_indirect:  // any form
          return false;
        case DW_FORM_implicit_const:
          if (!leb128(abbreviations, at)) return false;
          break;
        default:
          break;
      }
      last = *name == 0 && *form == 0;
    }
  }
  return false;
}

// The sections that the units of a file have in common, and that describe what a unit holds.
bool is_shared(std::string_view name) {
  return name.starts_with(".debug_") && name != ".debug_info" && name != ".debug_aranges" &&
         name != ".debug_frame" && name != ".debug_types";
}

struct Section {
  std::string_view name;
  Bytes content;
};

}  // namespace

struct LoneUnit::Impl {
  // libelf adds sections only to a file that has some already.
  struct Image {
    Elf64_Ehdr header{};
    Elf64_Shdr null_section{};
  };
  Image image;
  std::string names;  // each ended by a NUL; what sections are called is read out of it
  Elf* elf = nullptr;
  Dwarf* dwarf = nullptr;

  Impl() = default;
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl() {
    dwarf_end(dwarf);
    elf_end(elf);
  }

  // False: libelf refused.
  bool make_elf(uint16_t machine, std::vector<Section> sections) {
    std::copy_n(ELFMAG, SELFMAG, image.header.e_ident);
    image.header.e_ident[EI_CLASS] = ELFCLASS64;
    image.header.e_ident[EI_DATA] = ELFDATA2LSB;
    image.header.e_ident[EI_VERSION] = EV_CURRENT;
    image.header.e_type = ET_EXEC;
    image.header.e_machine = machine;
    image.header.e_version = EV_CURRENT;
    image.header.e_ehsize = sizeof(Elf64_Ehdr);
    image.header.e_shentsize = sizeof(Elf64_Shdr);
    image.header.e_shoff = offsetof(Image, null_section);
    image.header.e_shnum = 1;
    elf = elf_memory(reinterpret_cast<char*>(&image), sizeof(image));
    if (elf == nullptr) return false;

    sections.push_back({".shstrtab", {}});
    names.push_back('\0');
    std::vector<uint32_t> name_offsets;
    for (const Section& section : sections) {
      name_offsets.push_back(static_cast<uint32_t>(names.size()));
      names.append(section.name).push_back('\0');
    }
    sections.back().content = as_bytes(names);
    size_t index = 0;
    for (size_t i = 0; i < sections.size(); ++i) {
      index = add(name_offsets[i], i + 1 == sections.size() ? SHT_STRTAB : SHT_PROGBITS, sections[i].content);
      if (index == 0) return false;
    }
    GElf_Ehdr header;
    if (gelf_getehdr(elf, &header) == nullptr) return false;
    header.e_shstrndx = static_cast<Elf64_Half>(index);
    return gelf_update_ehdr(elf, &header) != 0;
  }

  // The section's index; 0: libelf refused.
  size_t add(uint32_t name_offset, uint32_t type, Bytes content) {
    Elf_Scn* section = elf_newscn(elf);
    Elf_Data* data = section != nullptr ? elf_newdata(section) : nullptr;
    GElf_Shdr header;
    if (data == nullptr || gelf_getshdr(section, &header) == nullptr) return 0;
    // Only read from: the interface is older than const.
    data->d_buf = const_cast<uint8_t*>(content.data());
    data->d_size = content.size();
    data->d_type = ELF_T_BYTE;
    data->d_version = EV_CURRENT;
    data->d_align = 1;
    header.sh_name = name_offset;
    header.sh_type = type;
    header.sh_size = content.size();
    return gelf_update_shdr(section, &header) != 0 ? elf_ndxscn(section) : 0;
  }
};

LoneUnit::LoneUnit(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
LoneUnit::~LoneUnit() = default;

Dwarf* LoneUnit::dwarf() const {
  return impl_->dwarf;
}

std::unique_ptr<LoneUnit> LoneUnit::open(const VmlinuxFile& file, uint64_t offset, Dwarf* supplement) {
  const std::optional<Bytes> unit = unit_bytes(file.section(".debug_info"), offset);
  if (!unit) return nullptr;
  std::vector<Section> sections{{".debug_info", *unit}};
  for (const VmlinuxFile::Part& part : file.parts()) {
    if (!is_shared(part.name) || part.size == 0) continue;
    const Bytes content = file.section(part.name);
    if (content.empty()) return nullptr;
    sections.push_back({part.name, content});
  }
  auto impl = std::make_unique<Impl>();
  if (!impl->make_elf(file.machine(), std::move(sections))) return nullptr;
  impl->dwarf = dwarf_begin_elf(impl->elf, DWARF_C_READ, nullptr);
  if (impl->dwarf == nullptr) return nullptr;
  if (supplement != nullptr) dwarf_setalt(impl->dwarf, supplement);

  Dwarf_Off next = 0, abbreviations = 0;
  size_t header_size = 0;
  if (dwarf_nextcu(impl->dwarf, 0, &next, &header_size, &abbreviations, nullptr, nullptr) != 0)
    return nullptr;
  const Bytes table = file.section(".debug_abbrev");
  if (abbreviations > table.size() || !is_self_contained(table.subspan(abbreviations))) return nullptr;
  return std::unique_ptr<LoneUnit>(new LoneUnit(std::move(impl)));
}

}  // namespace kdk
