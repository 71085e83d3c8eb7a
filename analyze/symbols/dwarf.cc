#include "analyze/symbols/dwarf.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <elfutils/libdwelf.h>
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <vector>

#include "analyze/symbols/aranges.h"
#include "analyze/symbols/dwarf_scopes.h"
#include "analyze/symbols/find.h"
#include "analyze/symbols/lone_unit.h"
#include "core/base/log.h"

namespace kdk {
namespace {

// A function of the kernel has a few dozen nested scopes at most; hostile DWARF could nest for ever.
constexpr unsigned max_depth = 64;
// DIEs looked at for one address: the largest unit of a stock kernel has some 50,000.
constexpr size_t max_dies = 2'000'000;
constexpr size_t max_unit_ranges = 1'000'000;

std::string die_name(Dwarf_Die* die) {
  const char* name = dwarf_diename(die);  // follows abstract_origin and specification
  return name ? escape_untrusted(name) : std::string();
}

uint64_t unsigned_attribute(Dwarf_Die* die, unsigned which) {
  Dwarf_Attribute attribute;
  Dwarf_Word value = 0;
  if (!dwarf_attr_integrate(die, which, &attribute) || dwarf_formudata(&attribute, &value) != 0) return 0;
  return value;
}

const char* string_attribute(Dwarf_Die* die, unsigned which) {
  Dwarf_Attribute attribute;
  return dwarf_attr_integrate(die, which, &attribute) ? dwarf_formstring(&attribute) : nullptr;
}

// A unit and its way of naming files.
class Unit {
 public:
  explicit Unit(Dwarf_Die die) : die_(die) {
    const char* directory = string_attribute(&die_, DW_AT_comp_dir);
    if (directory) directory_ = std::filesystem::path(directory).lexically_normal();
    if (dwarf_getsrcfiles(&die_, &files_, &file_count_) != 0) files_ = nullptr;
  }
  Dwarf_Die* die() { return &die_; }

  // Position of the line table row that holds `address`.
  bool line_at(uint64_t address, std::string& file, unsigned& line) {
    Dwarf_Line* row = dwarf_getsrc_die(&die_, address);
    int number = 0;
    if (!row || dwarf_lineno(row, &number) != 0) return false;
    const char* name = dwarf_linesrc(row, nullptr, nullptr);
    if (!name) return false;
    file = display_path(name);
    line = number > 0 ? static_cast<unsigned>(number) : 0;
    return true;
  }

  std::string file_name(uint64_t index) {
    if (!files_ || index >= file_count_) return {};
    const char* name = dwarf_filesrc(files_, index, nullptr, nullptr);
    return name ? display_path(name) : std::string();
  }

 private:
  // Kernel developers know files by their path in the tree. The unit was compiled in the tree or in a build
  // directory below it, so what the path shares with that directory is cut.
  std::string display_path(std::string_view name) const {
    std::filesystem::path path = std::filesystem::path(name).lexically_normal();
    if (path.is_absolute()) {
      auto [rest, differs] = std::mismatch(path.begin(), path.end(), directory_.begin(), directory_.end());
      // "/" alone or "/build" in common says nothing.
      if (std::distance(path.begin(), rest) > 2 && rest != path.end()) {
        std::filesystem::path relative;
        for (; rest != path.end(); ++rest) relative /= *rest;
        path = relative;
      }
    }
    return escape_untrusted(path.string());
  }

  Dwarf_Die die_;
  std::filesystem::path directory_;
  Dwarf_Files* files_ = nullptr;
  size_t file_count_ = 0;
};

// Collects the scopes around an address, outermost first.
class ScopeSearch {
 public:
  explicit ScopeSearch(uint64_t address) : address_(address) {}

  // Finds the function below `parent` and descends into it.
  void search(Dwarf_Die* parent, unsigned depth) {
    Dwarf_Die child;
    if (depth > max_depth || dwarf_child(parent, &child) != 0) return;
    do {
      if (++visited_ > max_dies) return;
      int tag = dwarf_tag(&child);
      // Rust units nest their functions in namespaces, which have no addresses of their own.
      if (tag == DW_TAG_namespace) {
        search(&child, depth + 1);
        if (found_) return;
        continue;
      }
      if (tag != DW_TAG_subprogram && tag != DW_TAG_inlined_subroutine && tag != DW_TAG_lexical_block)
        continue;
      if (dwarf_haspc(&child, address_) != 1) continue;
      found_ = true;
      path_.push_back(child);
      search(&child, depth + 1);
      return;  // scopes do not overlap: the first that holds the address is the only one
    } while (dwarf_siblingof(&child, &child) == 0);
  }

  bool found() const { return found_; }
  // The function and the scopes inside it, outermost first.
  std::vector<Dwarf_Die>& path() { return path_; }

 private:
  uint64_t address_;
  size_t visited_ = 0;
  bool found_ = false;
  std::vector<Dwarf_Die> path_;
};

}  // namespace

struct DwarfReader::Impl {
  explicit Impl(const VmlinuxFile& vmlinux)
      : file(vmlinux), aranges(read_aranges(file.section(".debug_aranges"))) {}

  const VmlinuxFile& file;
  Dwarf* dwarf = nullptr;
  std::unique_ptr<VmlinuxFile> supplement;
  Dwarf* supplement_dwarf = nullptr;
  std::vector<UnitRange> aranges;
  std::map<uint64_t, std::unique_ptr<LoneUnit>> lone_units;  // by offset; nullptr: cannot be read alone
  bool unit_ranges_read = false;
  std::vector<UnitRange> unit_ranges;  // only filled when .debug_aranges does not know an address

  ~Impl() {
    lone_units.clear();
    dwarf_end(dwarf);
    dwarf_end(supplement_dwarf);
  }
  std::string add_supplement(const std::vector<std::filesystem::path>& directories);
  bool unit_of(uint64_t address, Dwarf_Die& unit);
  bool lone_unit_of(uint64_t address, Dwarf_Die& unit);
  void read_unit_ranges();
};

namespace {

const UnitRange* find_range(const std::vector<UnitRange>& ranges, uint64_t address) {
  const auto next = std::ranges::upper_bound(ranges, address, {}, &UnitRange::begin);
  if (next == ranges.begin() || address >= std::prev(next)->end) return nullptr;
  return &*std::prev(next);
}

// The root DIE of the unit whose header is at `offset` of .debug_info.
bool root_of(Dwarf* dwarf, uint64_t offset, Dwarf_Die& root) {
  Dwarf_Off next = 0;
  size_t header_size = 0;
  return dwarf_nextcu(dwarf, offset, &next, &header_size, nullptr, nullptr, nullptr) == 0 &&
         dwarf_offdie(dwarf, offset + header_size, &root) != nullptr;
}

}  // namespace

// Every unit's own ranges, from its root DIE alone.
void DwarfReader::Impl::read_unit_ranges() {
  unit_ranges_read = true;
  Dwarf_CU* cu = nullptr;
  Dwarf_Die die;
  while (unit_ranges.size() < max_unit_ranges &&
         dwarf_get_units(dwarf, cu, &cu, nullptr, nullptr, &die, nullptr) == 0) {
    Dwarf_Addr base = 0, begin = 0, end = 0;
    for (ptrdiff_t at = 0; (at = dwarf_ranges(&die, at, &base, &begin, &end)) > 0;) {
      if (begin < end) unit_ranges.push_back({begin, end, dwarf_dieoffset(&die) - dwarf_cuoffset(&die)});
      if (unit_ranges.size() >= max_unit_ranges) break;
    }
  }
  std::ranges::stable_sort(unit_ranges, {}, &UnitRange::begin);
}

bool DwarfReader::Impl::unit_of(uint64_t address, Dwarf_Die& unit) {
  if (const UnitRange* range = find_range(aranges, address)) return root_of(dwarf, range->unit, unit);
  // libdw unpacks the section when it is compressed.
  if (aranges.empty() && dwarf_addrdie(dwarf, address, &unit) != nullptr) return true;
  if (!unit_ranges_read) read_unit_ranges();
  const UnitRange* range = find_range(unit_ranges, address);
  return range != nullptr && root_of(dwarf, range->unit, unit);
}

// The same, by what .debug_aranges alone says and without reading any other unit. False: ask unit_of().
bool DwarfReader::Impl::lone_unit_of(uint64_t address, Dwarf_Die& unit) {
  const UnitRange* range = find_range(aranges, address);
  if (range == nullptr) return false;
  const auto [place, is_new] = lone_units.try_emplace(range->unit);
  if (is_new) place->second = LoneUnit::open(file, range->unit, supplement_dwarf);
  return place->second != nullptr && root_of(place->second->dwarf(), 0, unit);
}

DwarfReader::DwarfReader(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
DwarfReader::~DwarfReader() = default;

// Returns why the supplementary file that is needed is not there; empty when none is needed, or it is.
std::string DwarfReader::Impl::add_supplement(const std::vector<std::filesystem::path>& directories) {
  const char* name = nullptr;
  const void* id = nullptr;
  const ssize_t id_size = dwelf_dwarf_gnu_debugaltlink(dwarf, &name, &id);
  if (id_size <= 0 || name == nullptr) return {};
  std::string build_id;
  for (ssize_t i = 0; i < id_size; ++i) build_id += fmt::format("{:02x}", static_cast<const uint8_t*>(id)[i]);
  std::error_code ignored;
  std::vector<std::filesystem::path> candidates = {
      std::filesystem::canonical(file.path(), ignored).parent_path() / name};
  if (const auto by_id = path_of_build_id(build_id)) {
    for (const std::filesystem::path& directory : directories) candidates.push_back(directory / *by_id);
  }
  for (const std::filesystem::path& directory : directories) {
    candidates.push_back(directory / ".dwz" / std::filesystem::path(name).filename());
  }
  for (const std::filesystem::path& path : candidates) {
    if (!std::filesystem::is_regular_file(path, ignored)) continue;
    try {
      auto other = std::make_unique<VmlinuxFile>(path);
      if (other->build_id() != build_id) continue;
      supplement_dwarf = dwarf_begin_elf(other->elf(), DWARF_C_READ, nullptr);
      if (supplement_dwarf == nullptr) continue;
      supplement = std::move(other);
      dwarf_setalt(dwarf, supplement_dwarf);
      return {};
    } catch (const Error&) {  // not it; the answer names what is missing
    }
  }
  return fmt::format(
      "{}: the file with what it shares with others, {} (build-id {}), was not found: names are missing",
      file.path().string(), name, build_id);
}

std::unique_ptr<DwarfReader> DwarfReader::open(const VmlinuxFile& file,
                                               const std::vector<std::filesystem::path>& directories,
                                               std::string* problem) {
  auto impl = std::make_unique<Impl>(file);
  impl->dwarf = dwarf_begin_elf(file.elf(), DWARF_C_READ, nullptr);
  if (!impl->dwarf) {
    if (problem)
      *problem = fmt::format("{}: no debug information: {}", file.path().string(), dwarf_errmsg(-1));
    return nullptr;
  }
  std::string missing = impl->add_supplement(directories);
  if (problem && !missing.empty()) *problem = std::move(missing);
  return std::unique_ptr<DwarfReader>(new DwarfReader(std::move(impl)));
}

std::optional<SourceInfo> DwarfReader::source(uint64_t address) {
  Dwarf_Die unit_die;
  if (!impl_->lone_unit_of(address, unit_die) && !impl_->unit_of(address, unit_die)) return std::nullopt;
  Unit unit(unit_die);
  SourceInfo info;
  bool has_line = unit.line_at(address, info.file, info.line);
  ScopeSearch scopes(address);
  scopes.search(unit.die(), 0);
  if (!has_line && !scopes.found()) return std::nullopt;

  // From the innermost out: each inlined function is at the position reached so far, and was called from the
  // next.
  std::vector<Dwarf_Die>& path = scopes.path();
  for (auto die = path.rbegin(); die != path.rend(); ++die) {
    if (dwarf_tag(&*die) != DW_TAG_inlined_subroutine) continue;
    info.inlines.push_back({die_name(&*die), info.file, info.line});
    info.file = unit.file_name(unsigned_attribute(&*die, DW_AT_call_file));
    uint64_t line = unsigned_attribute(&*die, DW_AT_call_line);
    info.line = line <= UINT32_MAX ? static_cast<unsigned>(line) : 0;
  }
  return info;
}

std::vector<Dwarf_Die> scopes_at(DwarfReader& reader, uint64_t address) {
  Dwarf_Die unit;
  if (!reader.impl().unit_of(address, unit)) return {};
  ScopeSearch scopes(address);
  scopes.search(&unit, 0);
  // A function that was inlined everywhere has no address: the first scope is the one that has the frame.
  if (scopes.path().empty() || dwarf_tag(&scopes.path()[0]) != DW_TAG_subprogram) return {};
  return std::move(scopes.path());
}

std::string name_of(Dwarf_Die die) {
  return die_name(&die);
}

}  // namespace kdk
