// A small vmlinux: an ELF file with the sections a test asks for.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/bytes.h"

namespace kdk::test {

class ElfBuilder {
 public:
  explicit ElfBuilder(uint16_t machine = 183) : machine_(machine) {}  // EM_AARCH64

  struct Section {
    std::string name;
    uint32_t type = 1;  // SHT_PROGBITS
    uint64_t flags = 0;
    uint64_t address = 0;
    std::vector<uint8_t> bytes;
  };
  // Returns the section's index.
  uint16_t section(Section section);
  void symbol(std::string_view name, uint64_t address, uint64_t size, uint8_t info, uint16_t section);
  void build_id(std::string_view hex, uint64_t address);
  std::vector<uint8_t> bytes() const;

 private:
  uint16_t machine_;
  std::vector<Section> sections_;
  std::vector<uint8_t> symbols_ = std::vector<uint8_t>(24);
  std::string names_ = std::string(1, '\0');
};

// An ELF note, padded to four bytes.
std::vector<uint8_t> elf_note(std::string_view name, uint32_t type, Bytes desc);
// Without syncing: tests write thousands of files.
void write_bytes(const std::filesystem::path& path, Bytes bytes);
std::vector<uint8_t> bytes_of_hex(std::string_view hex);

}  // namespace kdk::test
