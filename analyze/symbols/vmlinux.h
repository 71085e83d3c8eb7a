// A vmlinux as an ELF container: build-id, symbols, sections. libelf types do not leave vmlinux.cc and
// dwarf.cc.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
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
  // taken.
  explicit VmlinuxFile(const std::filesystem::path& path);
  ~VmlinuxFile();
  VmlinuxFile(const VmlinuxFile&) = delete;
  VmlinuxFile& operator=(const VmlinuxFile&) = delete;

  const std::filesystem::path& path() const { return path_; }
  Elf* elf() const { return elf_; }
  uint16_t machine() const { return machine_; }
  const std::string& build_id() const { return build_id_; }
  // Link address and size.
  struct Range {
    uint64_t address = 0;
    uint64_t size = 0;
  };
  // The section that holds the build-id note, as it is mapped in the running kernel.
  std::optional<Range> build_id_section() const { return build_id_section_; }

  bool has_section(std::string_view name) const;
  // Bytes of a section as they stand in the file; empty when it is absent, has none (NOBITS) or is
  // compressed.
  Bytes section(std::string_view name) const;
  // Where a section is linked to; nullopt when it is absent.
  std::optional<Range> section_range(std::string_view name) const;
  // `size` bytes at a link address, out of a section that has file content there; empty when there is none.
  Bytes bytes_at(uint64_t address, uint64_t size) const;

  struct Symbol {
    uint64_t address = 0;  // link address
    uint64_t size = 0;
    char type = '?';  // nm letter
    std::string_view name;
  };
  // Calls `visit` with each defined symbol that has a name and an address until it returns false.
  void for_each_symbol(const std::function<bool(const Symbol&)>& visit) const;
  std::optional<Symbol> find_symbol(std::string_view name) const;

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
  void read_build_id();
  char symbol_type(uint8_t info, uint16_t section_index) const;

  std::filesystem::path path_;
  Fd fd_;
  MappedFile mapping_;
  Elf* elf_ = nullptr;
  uint16_t machine_ = 0;
  std::string build_id_;
  std::optional<Range> build_id_section_;
  std::vector<Section> sections_;
};

}  // namespace kdk
