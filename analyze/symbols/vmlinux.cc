#include "analyze/symbols/vmlinux.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gelf.h>
#include <libelf.h>
#include <sys/mman.h>

#include <algorithm>
#include <cctype>

#include "analyze/symbols/relocate.h"
#include "analyze/symbols/zstd_sections.h"
#include "core/formats/notes.h"
#include "core/formats/unpack_module.h"

namespace kdk {
namespace {

constexpr size_t max_sections = 65536;
constexpr uint64_t max_notes = 1 << 20;
// The largest vmlinux with debug information is some 500 MB.
constexpr uint64_t max_unpacked = uint64_t{2} << 30;

std::string hex_of(Bytes bytes) {
  std::string out;
  for (uint8_t b : bytes) out += fmt::format("{:02x}", b);
  return out;
}

}  // namespace

// Elf64_Sym, at alignment 1 (ELF-64 object file format, symbol table).
struct VmlinuxFile::SymbolEntry {
  ul32 name;
  uint8_t info;
  uint8_t other;
  ul16 section;
  ul64 value;
  ul64 size;
};

VmlinuxFile::VmlinuxFile(const std::filesystem::path& path) : path_(path) {
  with_context(path.string(), [&] {
    fd_ = Fd::open(path, O_RDONLY);
    mapping_ = MappedFile::map(fd_, path.string());
    if (elf_version(EV_CURRENT) == EV_NONE) throw Error(Errc::unsupported, "libelf is too old");
    if (is_packed_module(mapping_.bytes())) {
      unpacked_ = unpack_module(mapping_.bytes(), "packed", max_unpacked);
      mapping_ = {};
    }
    if (std::optional<std::vector<uint8_t>> image = with_zstd_sections_unpacked(bytes(), max_unpacked)) {
      unpacked_ = std::move(*image);
      mapping_ = {};
    }
    Bytes file = bytes();
    // A few pages of hundreds of megabytes are looked at, here and there: no read-ahead, no faulting in of
    // neighbours.
    if (!mapping_.bytes().empty()) ::madvise(const_cast<uint8_t*>(file.data()), file.size(), MADV_RANDOM);
    // Only read from: the interface is older than const.
    elf_ = elf_memory(reinterpret_cast<char*>(const_cast<uint8_t*>(file.data())), file.size());
    if (!elf_ || elf_kind(elf_) != ELF_K_ELF) {
      elf_end(elf_);
      throw Error(Errc::format, "not an ELF file");
    }
    try {
      read_sections();
      if (std::ranges::any_of(sections_, [](const Section& s) { return (s.flags & SHF_COMPRESSED) != 0; })) {
        make_writable();
      }
      read_build_id();
    } catch (...) {  // the destructor does not run
      elf_end(elf_);
      throw;
    }
  });
}

VmlinuxFile::~VmlinuxFile() {
  elf_end(elf_);
}

void VmlinuxFile::read_sections() {
  GElf_Ehdr header;
  if (!gelf_getehdr(elf_, &header)) throw Error(Errc::format, fmt::format("ELF header: {}", elf_errmsg(-1)));
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB) {
    throw Error(Errc::unsupported, "only 64-bit little-endian ELF files are supported");
  }
  machine_ = header.e_machine;
  relocatable_ = header.e_type == ET_REL;
  size_t names = 0;
  if (elf_getshdrstrndx(elf_, &names) != 0)
    throw Error(Errc::format, fmt::format("sections: {}", elf_errmsg(-1)));
  for (Elf_Scn* scn = elf_nextscn(elf_, nullptr); scn; scn = elf_nextscn(elf_, scn)) {
    GElf_Shdr shdr;
    if (!gelf_getshdr(scn, &shdr))
      throw Error(Errc::format, fmt::format("section header: {}", elf_errmsg(-1)));
    // The symbol table counts sections from 1.
    sections_.resize(elf_ndxscn(scn) + 1);
    if (sections_.size() > max_sections) throw Error(Errc::format, "too many sections");
    const char* name = elf_strptr(elf_, names, shdr.sh_name);
    Section& section = sections_.back();
    if (name) section.name = name;
    section.type = shdr.sh_type;
    section.flags = shdr.sh_flags;
    section.address = shdr.sh_addr;
    section.offset = shdr.sh_offset;
    section.size = shdr.sh_size;
    section.link = shdr.sh_link;
    section.entry_size = shdr.sh_entsize;
  }
}

void VmlinuxFile::read_build_id() {
  for (const Section& section : sections_) {
    if (section.type != SHT_NOTE || section.size > max_notes) continue;
    for (const Note& note : parse_notes(content(section))) {
      if (note.name != "GNU" || note.type != NT_GNU_BUILD_ID) continue;
      build_id_ = hex_of(note.desc);
      if (section.flags & SHF_ALLOC) build_id_section_ = Range{section.address, section.size};
      return;
    }
  }
}

const VmlinuxFile::Section* VmlinuxFile::find_section(std::string_view name) const {
  auto found =
      std::find_if(sections_.begin(), sections_.end(), [&](const Section& s) { return s.name == name; });
  return found == sections_.end() ? nullptr : &*found;
}

Bytes VmlinuxFile::content(const Section& section) const {
  if (section.type == SHT_NOBITS || (section.flags & SHF_COMPRESSED)) return {};
  return subspan(bytes(), section.offset, section.size).value_or(Bytes());
}

std::vector<VmlinuxFile::Part> VmlinuxFile::parts() const {
  std::vector<Part> parts;
  for (const Section& section : sections_) {
    parts.push_back({section.name, section.size, (section.flags & SHF_ALLOC) != 0});
  }
  return parts;
}

std::string VmlinuxFile::debug_link() const {
  std::string_view text = as_text(section(".gnu_debuglink"));
  return std::string(text.substr(0, text.find('\0')));
}

bool VmlinuxFile::has_section(std::string_view name) const {
  const Section* section = find_section(name);
  return section && section->type != SHT_NOBITS && section->size != 0;
}

Bytes VmlinuxFile::section(std::string_view name) const {
  const Section* section = find_section(name);
  return section ? content(*section) : Bytes();
}

std::optional<VmlinuxFile::Range> VmlinuxFile::section_range(std::string_view name) const {
  const Section* section = find_section(name);
  return section ? std::optional(Range{section->address, section->size}) : std::nullopt;
}

Bytes VmlinuxFile::bytes_at(uint64_t address, uint64_t size) const {
  for (const Section& section : sections_) {
    if (!(section.flags & SHF_ALLOC) || address < section.address) continue;
    uint64_t offset = address - section.address;
    if (!in_bounds(section.size, offset, size)) continue;
    if (std::optional<Bytes> bytes = subspan(content(section), offset, size)) return *bytes;
  }
  return {};
}

// As nm prints it; only the letters that symbols.h tells apart matter.
char VmlinuxFile::symbol_type(uint8_t info, uint16_t section_index) const {
  char letter = '?';
  if (section_index == SHN_ABS) {
    letter = 'a';
  } else if (section_index < sections_.size()) {
    const Section& section = sections_[section_index];
    if (section.flags & SHF_EXECINSTR) {
      letter = 't';
    } else if (section.type == SHT_NOBITS) {
      letter = 'b';
    } else {
      letter = section.flags & SHF_WRITE ? 'd' : 'r';
    }
  }
  unsigned binding = ELF64_ST_BIND(info);
  if (binding == STB_WEAK && letter == 't') return 'W';
  return binding == STB_LOCAL ? letter : static_cast<char>(std::toupper(letter));
}

VmlinuxFile::SymbolBytes VmlinuxFile::symbol_bytes() const {
  const Section* table = find_section(".symtab");
  if (!table || table->link >= sections_.size()) return {};
  return {content(*table), as_text(content(sections_[table->link]))};
}

std::optional<VmlinuxFile::Symbol> VmlinuxFile::symbol_of(const SymbolEntry& entry,
                                                          std::string_view names) const {
  unsigned kind = ELF64_ST_TYPE(entry.info);
  if (entry.section == SHN_UNDEF || kind == STT_FILE || kind == STT_SECTION || entry.name >= names.size()) {
    return std::nullopt;
  }
  std::string_view name = names.substr(entry.name);
  name = name.substr(0, name.find('\0'));
  // "$x", "$d" and ".L" labels mark code and data for the assembler, not functions.
  if (name.empty() || name.starts_with('$') || name.starts_with(".L")) return std::nullopt;
  return Symbol{entry.value, entry.size, symbol_type(entry.info, entry.section), entry.section, name};
}

void VmlinuxFile::for_each_symbol(const std::function<bool(const Symbol&)>& visit) const {
  SymbolBytes table = symbol_bytes();
  for (uint64_t offset = 0; offset + sizeof(SymbolEntry) <= table.entries.size();
       offset += sizeof(SymbolEntry)) {
    std::optional<Symbol> symbol = symbol_of(*load<SymbolEntry>(table.entries, offset), table.names);
    if (symbol && !visit(*symbol)) return;
  }
}

std::optional<VmlinuxFile::Symbol> VmlinuxFile::find_symbol(std::string_view name) const {
  SymbolBytes table = symbol_bytes();
  for (uint64_t offset = 0; offset + sizeof(SymbolEntry) <= table.entries.size();
       offset += sizeof(SymbolEntry)) {
    SymbolEntry entry = *load<SymbolEntry>(table.entries, offset);
    // Compared in place: of 200,000 names hardly one is worth measuring.
    if (entry.name >= table.names.size() || !table.names.substr(entry.name).starts_with(name)) continue;
    std::optional<Symbol> symbol = symbol_of(entry, table.names);
    if (symbol && symbol->name == name) return symbol;
  }
  return std::nullopt;
}

void VmlinuxFile::make_writable() {
  const Bytes mapped = mapping_.bytes();
  if (!mapped.empty() &&
      ::mprotect(const_cast<uint8_t*>(mapped.data()), mapped.size(), PROT_READ | PROT_WRITE) != 0) {
    throw error_from_errno(errno, "mprotect");
  }
}

void VmlinuxFile::relocate(std::span<const uint64_t> addresses) {
  if (!relocatable_ || relocated_) return;
  relocated_ = true;
  with_context(path_.string(), [&] {
    make_writable();
    relocate_debug_sections(elf_, machine_, addresses);
  });
}

}  // namespace kdk
