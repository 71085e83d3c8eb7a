#include "capture/initramfs/program_files.h"

#include <elf.h>
#include <fmt/format.h>

#include <cstring>
#include <fstream>
#include <set>

#include "core/base/error.h"

namespace kdk {
namespace {

namespace fs = std::filesystem;

class ElfFile {
 public:
  ElfFile(Bytes file, std::string_view name) : file_(file), name_(name) {
    header_ = at<Elf64_Ehdr>(0);
    if (std::memcmp(header_.e_ident, ELFMAG, SELFMAG) != 0 || header_.e_ident[EI_CLASS] != ELFCLASS64 ||
        header_.e_ident[EI_DATA] != ELFDATA2LSB) {
      throw bad("is no 64-bit ELF program");
    }
  }

  ElfNeeds needs() const {
    ElfNeeds out;
    std::vector<uint64_t> names;
    uint64_t strings = 0;
    for (unsigned i = 0; i < header_.e_phnum; ++i) {
      const auto segment = at<Elf64_Phdr>(added(header_.e_phoff, uint64_t{i} * header_.e_phentsize));
      if (segment.p_type == PT_INTERP) out.interpreter = text_at(segment.p_offset);
      if (segment.p_type != PT_DYNAMIC) continue;
      for (uint64_t done = 0; done + sizeof(Elf64_Dyn) <= segment.p_filesz; done += sizeof(Elf64_Dyn)) {
        const auto entry = at<Elf64_Dyn>(added(segment.p_offset, done));
        if (entry.d_tag == DT_NULL) break;
        if (entry.d_tag == DT_NEEDED) names.push_back(entry.d_un.d_val);
        if (entry.d_tag == DT_STRTAB) strings = entry.d_un.d_ptr;
      }
    }
    for (const uint64_t name : names) out.libraries.push_back(text_at(offset_of(added(strings, name))));
    return out;
  }

 private:
  Error bad(std::string_view why) const { return {Errc::format, fmt::format("{}: {}", name_, why)}; }

  uint64_t added(uint64_t a, uint64_t b) const {
    if (a > UINT64_MAX - b) throw bad("a place in it is out of range");
    return a + b;
  }

  template <typename T>
  T at(uint64_t offset) const {
    if (offset > file_.size() || file_.size() - offset < sizeof(T)) throw bad("is cut off");
    T out;
    std::memcpy(&out, file_.data() + offset, sizeof out);
    return out;
  }

  std::string text_at(uint64_t offset) const {
    if (offset >= file_.size()) throw bad("a name in it is out of range");
    const Bytes rest = file_.subspan(offset, std::min<uint64_t>(file_.size() - offset, 4096));
    const void* end = std::memchr(rest.data(), 0, rest.size());
    if (end == nullptr) throw bad("a name in it has no end");
    return {reinterpret_cast<const char*>(rest.data()),
            static_cast<size_t>(static_cast<const uint8_t*>(end) - rest.data())};
  }

  // The dynamic section speaks of addresses.
  uint64_t offset_of(uint64_t address) const {
    for (unsigned i = 0; i < header_.e_phnum; ++i) {
      const auto segment = at<Elf64_Phdr>(added(header_.e_phoff, uint64_t{i} * header_.e_phentsize));
      if (segment.p_type == PT_LOAD && address >= segment.p_vaddr &&
          address - segment.p_vaddr < segment.p_filesz)
        return added(segment.p_offset, address - segment.p_vaddr);
    }
    throw bad("a name in it is in no segment");
  }

  const Bytes file_;
  const std::string_view name_;
  Elf64_Ehdr header_;
};

// Where the loader looks: its own directory, which it was built for, the usual ones, and what its
// configuration names.
std::vector<fs::path> library_directories(const SysRoot& root, const fs::path& own) {
  std::vector<fs::path> out = {own};
  for (const char* directory : {"/lib64", "/usr/lib64", "/lib", "/usr/lib"}) {
    out.emplace_back(directory);
    if (own.filename() != out.back().filename()) out.push_back(fs::path(directory) / own.filename());
  }
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(root.path("/etc/ld.so.conf.d"), error)) {
    std::ifstream file(entry.path());
    for (std::string line; std::getline(file, line);)
      if (line.starts_with('/')) out.emplace_back(line);
  }
  return out;
}

bool is_file(const fs::path& path) {
  std::error_code error;
  return fs::is_regular_file(path, error);
}

}  // namespace

ElfNeeds elf_needs(Bytes file, std::string_view name) {
  return ElfFile(file, name).needs();
}

std::vector<ProgramFile> program_files(const SysRoot& root, const fs::path& program) {
  const ElfNeeds first = elf_needs(read_file(root.path(program.string())), program.string());
  std::vector<ProgramFile> out;
  if (first.interpreter.empty()) return out;
  const fs::path loader = root.path(first.interpreter);
  if (!is_file(loader))
    throw Error(Errc::missing,
                fmt::format("{}: its loader {} is not there", program.string(), first.interpreter));
  out.push_back({loader, fs::path(first.interpreter).relative_path().string()});
  std::error_code error;
  const fs::path top = fs::canonical(root.root(), error);
  const fs::path own = "/" / fs::canonical(loader).parent_path().lexically_relative(top);
  const std::vector<fs::path> directories = library_directories(root, own);

  std::vector<std::string> pending = first.libraries;
  // Until glibc 2.34 names of users and hosts are read by a library that nobody is linked with.
  pending.emplace_back("libnss_files.so.2");
  std::set<std::string> seen = {fs::path(first.interpreter).filename().string()};
  while (!pending.empty()) {
    const std::string name = std::move(pending.back());
    pending.pop_back();
    if (name.find('/') != std::string::npos || !seen.insert(name).second) continue;
    fs::path found;
    for (const fs::path& directory : directories) {
      const fs::path here = root.path((directory / name).string());
      if (found.empty() && is_file(here)) found = here;
    }
    if (found.empty()) {
      if (name.starts_with("libnss_")) continue;
      throw Error(Errc::missing, fmt::format("{}: needs {}, which is not installed", program.string(), name));
    }
    out.push_back({found, (own / name).relative_path().string()});
    const ElfNeeds needs = elf_needs(read_file(found), found.string());
    pending.insert(pending.end(), needs.libraries.begin(), needs.libraries.end());
  }
  return out;
}

fs::path find_program(const SysRoot& root, const std::string& name) {
  if (name.starts_with('/')) {
    if (is_file(root.path(name))) return name;
    throw Error(Errc::missing, name + ": there is no such program");
  }
  for (const char* directory : {"/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"}) {
    const fs::path path = fs::path(directory) / name;
    if (is_file(root.path(path.string()))) return path;
  }
  throw Error(Errc::missing, name + ": there is no such program").with_hint("install it, or give its path");
}

}  // namespace kdk
