#include "analyze/symbols/debug_info.h"

#include <fmt/format.h>

#include <algorithm>

#include "analyze/symbols/dwarf.h"
#include "analyze/symbols/find.h"
#include "analyze/symbols/vmlinux.h"
#include "core/base/log.h"
#include "core/formats/notes.h"

namespace kdk {
namespace {

constexpr uint64_t max_banner = 512;
constexpr uint64_t max_notes = 64 << 10;

std::string first_line(std::string text) {
  return text.substr(0, text.find_first_of(std::string_view("\n\0", 2)));
}

// Run-time minus link address. VMCOREINFO says it twice; the two must agree.
uint64_t find_kaslr_offset(const Vmcoreinfo& info, const VmlinuxFile& file) {
  std::optional<uint64_t> told = info.hex("KERNELOFFSET");
  std::optional<uint64_t> runtime = info.symbol("_stext");
  std::optional<VmlinuxFile::Symbol> linked = runtime ? file.find_symbol("_stext") : std::nullopt;
  if (!linked) {
    if (told) return *told;
    throw Error(Errc::missing,
                "the KASLR offset is unknown: no KERNELOFFSET in VMCOREINFO and no _stext to compare");
  }
  uint64_t offset = *runtime - linked->address;
  if (told && *told != offset) {
    throw Error(Errc::format,
                fmt::format("_stext is at {:#x} in the dump, {:#x} + KERNELOFFSET {:#x} in this file",
                            *runtime, linked->address, *told));
  }
  return offset;
}

// The build-id note that the running kernel has in memory at the place this file says.
std::string build_id_in_memory(Kernel& kernel, const VmlinuxFile& file, uint64_t kaslr_offset) {
  std::optional<VmlinuxFile::Range> range = file.build_id_section();
  if (!range || range->size > max_notes) return {};
  std::vector<uint8_t> bytes(range->size);
  if (!kernel.memory().read(VirtAddr{range->address + kaslr_offset}, bytes)) return {};
  return build_id_of_notes(bytes);
}

}  // namespace

DebugInfo::DebugInfo() = default;
DebugInfo::~DebugInfo() = default;

std::unique_ptr<DebugInfo> DebugInfo::open(const std::filesystem::path& path) {
  std::unique_ptr<DebugInfo> info(new DebugInfo());
  info->file_ = std::make_unique<VmlinuxFile>(path);
  if (!info->has_dwarf() && !info->file_->has_section(".symtab")) {
    throw Error(Errc::format, path.string() + ": neither a symbol table nor debug information");
  }
  return info;
}

const std::filesystem::path& DebugInfo::path() const {
  return file_->path();
}
const std::string& DebugInfo::build_id() const {
  return file_->build_id();
}
bool DebugInfo::has_dwarf() const {
  return dwarf_file().has_dwarf();
}
void DebugInfo::set_build_id_directories(std::vector<std::filesystem::path> directories) {
  build_id_directories_ = std::move(directories);
}

void DebugInfo::add_debug_file(const std::filesystem::path& separate) {
  auto file = std::make_unique<VmlinuxFile>(separate);
  if (file->build_id().empty() || file->build_id() != build_id()) {
    throw Error(Errc::format, fmt::format("{}: its build-id is \"{}\", that of {} is \"{}\"",
                                          separate.string(), file->build_id(), path().string(), build_id()));
  }
  if (!file->has_dwarf()) {
    throw Error(Errc::format, separate.string() + ": has no debug information (DWARF)");
  }
  debug_file_ = std::move(file);
}
uint64_t DebugInfo::kaslr_offset() const {
  return kaslr_offset_;
}

std::string DebugInfo::banner() const {
  std::optional<VmlinuxFile::Symbol> symbol = file_->find_symbol("linux_banner");
  if (!symbol) return {};
  Bytes bytes = file_->bytes_at(symbol->address, symbol->size == 0 ? 64 : std::min(symbol->size, max_banner));
  return escape_untrusted(first_line(std::string(as_text(bytes))));
}

std::string DebugInfo::require_match(Kernel& kernel) {
  return with_context(path().string(), [&]() -> std::string {
    if (file_->machine() != kernel.memory().arch().elf_machine()) {
      throw Error(Errc::format, fmt::format("this vmlinux is for ELF machine {}, the dump is of {}",
                                            file_->machine(), kernel.memory().arch().name()));
    }
    std::string wanted = dump_build_id(kernel);
    if (!wanted.empty() && wanted == build_id()) {
      // The note's place in memory proves the offset; to look for _stext among all symbols takes longer.
      const std::optional<uint64_t> told = kernel.vmcoreinfo().hex("KERNELOFFSET");
      const bool proved = told && build_id_in_memory(kernel, *file_, *told) == wanted;
      kaslr_offset_ = proved ? *told : find_kaslr_offset(kernel.vmcoreinfo(), *file_);
      return "build-id";
    }
    uint64_t offset = 0;
    std::string in_memory;
    try {
      offset = find_kaslr_offset(kernel.vmcoreinfo(), *file_);
      in_memory = build_id_in_memory(kernel, *file_, offset);
    } catch (const Error&) {
      // Of another build, its addresses mean nothing: the ids below say so better.
      if (wanted.empty() || build_id().empty()) throw;
    }
    // VMCOREINFO of some stable releases holds garbage; the note in the image's memory does not.
    if (!in_memory.empty() && in_memory == build_id()) {
      kaslr_offset_ = offset;
      return "build-id";
    }
    if (!wanted.empty() && !build_id().empty()) {
      throw Error(Errc::format,
                  fmt::format("this vmlinux is of another build: its build-id is {}, the dump's is {}",
                              build_id(), wanted))
          .with_hint(fmt::format("find the vmlinux of release {}",
                                 escape_untrusted(kernel.vmcoreinfo().value("OSRELEASE").value_or("?"))));
    }
    std::string ours = banner(), theirs;
    if (std::optional<VmlinuxFile::Symbol> symbol = file_->find_symbol("linux_banner")) {
      std::optional<std::string> text =
          kernel.memory().string(VirtAddr{symbol->address + offset}, max_banner);
      if (text) theirs = escape_untrusted(first_line(*text));
    }
    if (ours.empty() || theirs.empty()) {
      throw Error(Errc::missing,
                  "cannot tell whether this vmlinux is the dump's: neither build-ids nor banners can be "
                  "compared");
    }
    if (ours != theirs) {
      throw Error(Errc::format,
                  fmt::format("this vmlinux is of another build: its banner is \"{}\", the dump has "
                              "\"{}\" there",
                              ours, theirs));
    }
    kaslr_offset_ = offset;
    return "banner";
  });
}

size_t DebugInfo::add_symbols(Kernel& kernel) {
  const KallsymsResult& kallsyms = kernel.kallsyms();
  if (kallsyms.found && kallsyms.all) return 0;
  SymbolTable& table = kernel.symbols();
  size_t count = 0;
  uint64_t begin = UINT64_MAX, end = 0;
  file_->for_each_symbol([&](const VmlinuxFile::Symbol& symbol) {
    bool text = symbol.type == 't' || symbol.type == 'T' || symbol.type == 'W';
    // Absolute symbols are constants, not addresses.
    if (symbol.type == 'a' || symbol.type == 'A' || (kallsyms.found && text)) return true;
    // The per-CPU area of x86-64 is linked at 0 (until v6.15): its symbols are offsets and do not move.
    const bool is_offset = symbol.address >> 63 == 0;
    const uint64_t address = is_offset ? symbol.address : symbol.address + kaslr_offset_;
    table.add(address, symbol.size, symbol.type, symbol.name);
    if (!is_offset) {
      begin = std::min(begin, address);
      end = std::max(end, address + symbol.size + 1);
    }
    ++count;
    return true;
  });
  table.add_range(begin, end, {});
  table.finish();
  return count;
}

bool DebugInfo::add_types(Kernel& kernel, std::string* why_not) {
  if (kernel.btf() || types_) return false;
  Bytes raw = file_->section(".BTF");
  if (raw.empty()) {
    if (why_not) *why_not = path().string() + ": no .BTF section";
    return false;
  }
  try {
    btf_ = Btf::parse(std::vector<uint8_t>(raw.begin(), raw.end()));
  } catch (const Error& e) {
    if (why_not) *why_not = fmt::format("{}: .BTF: {}", path().string(), e.message());
    return false;
  }
  types_ = std::make_unique<BtfTypes>(*btf_);
  kernel.layout().add_source(*types_);
  return true;
}

DwarfReader* DebugInfo::dwarf() {
  if (!dwarf_tried_) {
    dwarf_tried_ = true;
    if (has_dwarf()) dwarf_ = DwarfReader::open(dwarf_file(), build_id_directories_, &dwarf_problem_);
  }
  return dwarf_.get();
}

std::optional<SourceInfo> DebugInfo::source(uint64_t address) {
  DwarfReader* reader = dwarf();
  return reader != nullptr ? reader->source(address - kaslr_offset_) : std::nullopt;
}

}  // namespace kdk
