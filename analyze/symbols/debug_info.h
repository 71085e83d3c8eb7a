// DebugInfo: one vmlinux with its symbol table, BTF and DWARF, opened lazily: what is not asked for is not
// read.
//
// No name index of the DWARF is built: a backtrace needs address -> compilation unit only, which
// .debug_aranges gives (0.16 MB of a 346 MB vmlinux). Types come from BTF, which is a fiftieth of the DWARF.
// Source: DWARF 5 sections 2.17, 3.3.8, 6.1.2, 6.2 through libdw; ELF through libelf. Everything in the file
// is untrusted.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/diagnose/frame.h"
#include "core/kernel/kernel.h"

namespace kdk {

class VmlinuxFile;
class DwarfReader;

// Source position of one address.
struct SourceInfo {
  std::string file;  // relative to the kernel tree when the file is inside it
  unsigned line = 0;
  std::vector<InlineFrame>
      inlines;  // innermost first; then file/line are the call site in the physical function
};

class DebugInfo {
 public:
  // Opens an ELF file with a symbol table or DWARF. Throws Error{io,missing,denied,format,unsupported} naming
  // it.
  static std::unique_ptr<DebugInfo> open(const std::filesystem::path& path);
  ~DebugInfo();

  const std::filesystem::path& path() const;
  const VmlinuxFile& file() const { return *file_; }
  // GNU build-id as lower-case hex; empty when the file has none.
  const std::string& build_id() const;
  // The linux_banner string ("Linux version ..."), without its newline; empty when it cannot be found.
  std::string banner() const;
  bool has_dwarf() const;
  // The separate file that has the debug information of this one. Throws Error{io,missing,denied,format}: it
  // cannot be read, is of another build, or has no DWARF.
  void add_debug_file(const std::filesystem::path& path);
  // The file with the DWARF: this one, or the separate one.
  const VmlinuxFile& dwarf_file() const { return debug_file_ ? *debug_file_ : *file_; }
  // Where supplementary files (.gnu_debugaltlink) are looked for by build-id.
  void set_build_id_directories(std::vector<std::filesystem::path> directories);
  // Why the DWARF is not all there, once source() has been asked; empty: it is.
  const std::string& dwarf_problem() const { return dwarf_problem_; }

  // Throws Error{format} naming both ids when this is not the vmlinux of the dump, Error{missing} when
  // neither build-id nor banner can be compared. Returns how the match is known: "build-id", "banner". Also
  // finds the KASLR offset, which the calls below need.
  std::string require_match(Kernel& kernel);
  // Run-time address - link address (modulo 2^64). 0 before require_match().
  uint64_t kaslr_offset() const;

  // Adds what the dump's kallsyms lacks: everything without kallsyms, data symbols without
  // CONFIG_KALLSYMS_ALL, nothing when it was complete. Returns the number added.
  size_t add_symbols(Kernel& kernel);
  // Adds the file's BTF as a source of types when the dump carried none. False when there is nothing to add;
  // `why_not` then gets a sentence (empty when the dump's own BTF is there).
  bool add_types(Kernel& kernel, std::string* why_not = nullptr);
  // What add_types() added; nullptr: nothing.
  const Btf* types() const { return btf_.get(); }

  // File, line and inlined functions at a run-time address. For a return address pass the address of the call
  // (pc - 1). nullopt when the DWARF does not cover it or is damaged there.
  std::optional<SourceInfo> source(uint64_t address);
  // The DWARF, by link addresses; nullptr when there is none that can be read.
  DwarfReader* dwarf();

 private:
  DebugInfo();
  std::unique_ptr<VmlinuxFile> file_, debug_file_;
  std::unique_ptr<DwarfReader> dwarf_;
  std::vector<std::filesystem::path> build_id_directories_;
  std::string dwarf_problem_;
  std::unique_ptr<Btf> btf_;
  std::unique_ptr<BtfTypes> types_;
  uint64_t kaslr_offset_ = 0;
  bool dwarf_tried_ = false;
};

}  // namespace kdk
