// A vmlinux, or the file of a module, as an ELF container: build-id, symbols, sections. libelf types do not
// leave this folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/bytes.h"
#include "core/base/file.h"

struct Elf;

namespace kdk {

class VmlinuxFile {
 public:
  // Throws Error{io,missing,denied,format,unsupported} naming the file. Only 64-bit little-endian files are
  // taken. A file that is packed as a whole (.xz, .zst, .gz) is unpacked in memory.
  explicit VmlinuxFile(const std::filesystem::path& path);
  ~VmlinuxFile();
  VmlinuxFile(const VmlinuxFile&) = delete;
  VmlinuxFile& operator=(const VmlinuxFile&) = delete;

  const std::filesystem::path& path() const { return path_; }
  Elf* elf() const { return elf_; }
  uint16_t machine() const { return machine_; }
  // ET_REL: sections have no addresses yet and relocations are to be applied. Modules are.
  bool relocatable() const { return relocatable_; }
  const std::string& build_id() const { return build_id_; }
  // Link address and size.
  struct Range {
    uint64_t address = 0;
    uint64_t size = 0;
  };
  // The section that holds the build-id note, as it is mapped in the running kernel.
  std::optional<Range> build_id_section() const { return build_id_section_; }

  // Every section by its index, with the null section: what a relocatable file is made of.
  struct Part {
    std::string_view name;
    uint64_t size = 0;
    bool allocated = false;
  };
  std::vector<Part> parts() const;

  bool has_section(std::string_view name) const;
  // DWARF to read, or names of it that stand for what a separate file has.
  bool has_dwarf() const { return has_section(".debug_info"); }
  // File name in .gnu_debuglink: where the debug information was put when it was stripped off; empty when
  // there is none.
  std::string debug_link() const;

  // Bytes of a section as they stand in the file; empty when it is absent, has none (NOBITS) or is
  // compressed.
  Bytes section(std::string_view name) const;
  // Where a section is linked to; nullopt when it is absent.
  std::optional<Range> section_range(std::string_view name) const;
  // `size` bytes at a link address, out of a section that has file content there; empty when there is none.
  Bytes bytes_at(uint64_t address, uint64_t size) const;

  struct Symbol {
    uint64_t address = 0;  // link address; in a relocatable file the offset in its section
    uint64_t size = 0;
    char type = '?';       // nm letter
    uint16_t section = 0;  // index
    std::string_view name;
  };
  // Calls `visit` with each defined symbol that has a name and an address until it returns false.
  void for_each_symbol(const std::function<bool(const Symbol&)>& visit) const;
  std::optional<Symbol> find_symbol(std::string_view name) const;

  // Applies the relocations of a relocatable file's debug sections, once. `addresses` are those of the
  // sections by index, 0 where not loaded. Costs time and memory by the size of the debug information. Throws
  // Error{format,unsupported}.
  void relocate(std::span<const uint64_t> addresses);

 private:
  struct Section {
    std::string name;
    uint32_t type = 0;
    uint64_t flags = 0, address = 0, offset = 0, size = 0, link = 0, entry_size = 0;
  };
  struct SymbolEntry;
  struct SymbolBytes {
    Bytes entries;
    std::string_view names;
  };
  SymbolBytes symbol_bytes() const;
  std::optional<Symbol> symbol_of(const SymbolEntry& entry, std::string_view names) const;
  const Section* find_section(std::string_view name) const;
  Bytes content(const Section& section) const;
  void read_sections();
  // libelf changes section headers when it unpacks sections, and relocations change sections: both in the bytes
  // themselves. The mapping is private, so pages that change are copied.
  void make_writable();
  void read_build_id();
  char symbol_type(uint8_t info, uint16_t section_index) const;

  std::filesystem::path path_;
  Bytes bytes() const { return unpacked_.empty() ? mapping_.bytes() : Bytes(unpacked_); }

  Fd fd_;
  MappedFile mapping_;
  std::vector<uint8_t> unpacked_;
  Elf* elf_ = nullptr;
  uint16_t machine_ = 0;
  bool relocatable_ = false, relocated_ = false;
  std::string build_id_;
  std::optional<Range> build_id_section_;
  std::vector<Section> sections_;
};

}  // namespace kdk
