#include "tests/unit/analyze/elf_builder.h"

#include <gtest/gtest.h>

#include <fstream>

namespace kdk::test {
namespace {

template <typename T>
void append(std::vector<uint8_t>& out, T value) {
  out.resize(out.size() + sizeof value);
  store(MutableBytes(out), out.size() - sizeof value, value);
}

void append(std::vector<uint8_t>& out, std::string_view text) {
  out.insert(out.end(), text.begin(), text.end());
}

}  // namespace

void write_bytes(const std::filesystem::path& path, Bytes bytes) {
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out << as_text(bytes);
  ASSERT_TRUE(out.flush()) << path;
}

std::vector<uint8_t> bytes_of_hex(std::string_view hex) {
  std::vector<uint8_t> out;
  for (size_t i = 0; i + 1 < hex.size(); i += 2) {
    out.push_back(static_cast<uint8_t>(std::stoul(std::string(hex.substr(i, 2)), nullptr, 16)));
  }
  return out;
}

std::vector<uint8_t> elf_note(std::string_view name, uint32_t type, Bytes desc) {
  std::vector<uint8_t> out;
  append(out, ul32(static_cast<uint32_t>(name.size() + 1)));
  append(out, ul32(static_cast<uint32_t>(desc.size())));
  append(out, ul32(type));
  append(out, name);
  do out.push_back(0);
  while (out.size() % 4 != 0);
  out.insert(out.end(), desc.begin(), desc.end());
  while (out.size() % 4 != 0) out.push_back(0);
  return out;
}

uint16_t ElfBuilder::section(Section section) {
  sections_.push_back(std::move(section));
  return static_cast<uint16_t>(sections_.size());  // index 0 is the null section
}

void ElfBuilder::symbol(std::string_view name, uint64_t address, uint64_t size, uint8_t info,
                        uint16_t section) {
  append(symbols_, ul32(static_cast<uint32_t>(names_.size())));
  symbols_.push_back(info);
  symbols_.push_back(0);
  append(symbols_, ul16(section));
  append(symbols_, ul64(address));
  append(symbols_, ul64(size));
  names_ += name;
  names_ += '\0';
}

void ElfBuilder::build_id(std::string_view hex, uint64_t address) {
  section({.name = ".notes",
           .type = 7,
           .flags = 2,
           .address = address,
           .bytes = elf_note("GNU", 3, bytes_of_hex(hex))});
}

std::vector<uint8_t> ElfBuilder::bytes() const {
  std::vector<Section> all = sections_;
  uint16_t string_index = static_cast<uint16_t>(all.size() + 2);
  all.push_back({.name = ".symtab", .type = 2, .bytes = symbols_});
  all.push_back({.name = ".strtab", .type = 3, .bytes = std::vector<uint8_t>(names_.begin(), names_.end())});
  std::string section_names(1, '\0');
  std::vector<uint32_t> name_offsets;
  for (const Section& section : all) {
    name_offsets.push_back(static_cast<uint32_t>(section_names.size()));
    section_names += section.name + '\0';
  }
  uint32_t own_name = static_cast<uint32_t>(section_names.size());
  section_names += std::string(".shstrtab") + '\0';
  name_offsets.push_back(own_name);
  all.push_back({.name = ".shstrtab",
                 .type = 3,
                 .bytes = std::vector<uint8_t>(section_names.begin(), section_names.end())});

  std::vector<uint8_t> out(64);
  std::vector<uint64_t> offsets;
  for (const Section& section : all) {
    while (out.size() % 16 != 0) out.push_back(0);
    offsets.push_back(out.size());
    out.insert(out.end(), section.bytes.begin(), section.bytes.end());
  }
  while (out.size() % 16 != 0) out.push_back(0);
  uint64_t headers = out.size();
  out.resize(out.size() + 64);  // the null section
  for (size_t i = 0; i < all.size(); ++i) {
    append(out, ul32(name_offsets[i]));
    append(out, ul32(all[i].type));
    append(out, ul64(all[i].flags));
    append(out, ul64(all[i].address));
    append(out, ul64(offsets[i]));
    append(out, ul64(all[i].bytes.size()));
    append(out, ul32(all[i].type == 2 ? string_index : 0u));
    append(out, ul32(0u));
    append(out, ul64(uint64_t{4}));
    append(out, ul64(all[i].type == 2 ? uint64_t{24} : uint64_t{0}));
  }
  const uint8_t ident[] = {0x7f, 'E', 'L', 'F', 2, 1, 1};
  std::copy(std::begin(ident), std::end(ident), out.begin());
  MutableBytes header(out);
  store(header, 16, ul16(uint16_t{3}));  // ET_DYN, as arm64's vmlinux
  store(header, 18, ul16(machine_));
  store(header, 20, ul32(1u));
  store(header, 40, ul64(headers));
  store(header, 52, ul16(uint16_t{64}));
  store(header, 58, ul16(uint16_t{64}));
  store(header, 60, ul16(static_cast<uint16_t>(all.size() + 1)));
  store(header, 62, ul16(static_cast<uint16_t>(all.size())));
  return out;
}

}  // namespace kdk::test
