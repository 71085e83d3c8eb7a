// ORC tables: the kernel's own rules for unwinding on x86-64, one row per range of code. The running kernel
// has them in memory, so a dump brings its own; a vmlinux has them as sections.
// Source: arch/x86/include/asm/orc_types.h, arch/x86/kernel/unwind_orc.c.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/base/bytes.h"

namespace kdk {

// Which register a rule starts from. The numbers stored in a table differ between formats; these do not.
enum class OrcReg : uint8_t { undefined, ax, dx, di, bp, sp, r10, r13, prev_sp, bp_indirect, sp_indirect };

enum class OrcType : uint8_t {
  undefined,     // code that objtool has not seen
  end_of_stack,  // nothing called this
  call,          // the return address lies below the caller's stack pointer
  regs,          // a struct pt_regs
  regs_partial,  // its last five words: rip, cs, rflags, rsp, ss
};

// The rule of one row.
struct OrcRule {
  OrcType type = OrcType::undefined;
  OrcReg sp_reg = OrcReg::undefined, bp_reg = OrcReg::undefined;
  int16_t sp_offset = 0, bp_offset = 0;  // bytes
  // The caller's pc is where it was interrupted, not a return address.
  bool signal = false;
};

// How rows are encoded.
enum class OrcFormat : uint8_t { v1, v2, v3, v4 };

// The sections .orc_unwind_ip, .orc_unwind and .orc_header (may be empty) of an ELF file, relocations
// applied. The bytes must outlive the table made of them.
struct OrcSections {
  uint64_t ip_address = 0;  // run-time address of .orc_unwind_ip
  Bytes ips, entries, header;
};

class OrcTable {
 public:
  // Reads bytes at a run-time address; false when they are not all there.
  using Read = std::function<bool(uint64_t address, MutableBytes out)>;
  struct Location {
    uint64_t ips = 0;      // address of the first .orc_unwind_ip word
    uint64_t entries = 0;  // address of the first .orc_unwind row
    uint64_t count = 0;
  };

  // A table in memory, in address order as the running kernel needs it. Only what is looked up is read.
  OrcTable(const Location& location, OrcFormat format, Read read);
  // Rows may be in any order (vmlinux of kernels that sorted them at boot); they are sorted by the first
  // find(). nullptr and a sentence in `why_not` when the sections do not fit together or their format cannot
  // be told.
  static std::unique_ptr<OrcTable> from_sections(const OrcSections& sections, std::string* why_not = nullptr);

  OrcFormat format() const { return format_; }
  uint64_t count() const { return location_.count; }
  // The rule for the instruction at `pc`; nullopt when the table begins above it, or cannot be read there, or
  // the row is not one of its format. The last row has no end: which code the table is about is the caller's
  // to know.
  std::optional<OrcRule> find(uint64_t pc) const;

 private:
  std::optional<uint64_t> address(uint64_t index) const;
  void sort() const;

  Location location_;
  OrcFormat format_;
  Read read_;
  mutable bool sorted_ = true;
  mutable std::vector<uint32_t> order_;  // rows in address order; empty: as stored
};

// The format by the 20-byte hash of .orc_header, which the kernel has since v6.4; nullopt for an unknown one.
// Linux commit b9f174c811e3 ("x86/unwind/orc: Add ELF section with ORC version identifier") (in v6.4).
std::optional<OrcFormat> orc_format_of_header(Bytes header);

// The format in which the rows at `location` make sense: every row valid, and most of them plain calls. Reads
// from the start until only one format is left. nullopt when none is, or several still are at the end.
std::optional<OrcFormat> orc_format_of_rows(const OrcTable::Location& location, const OrcTable::Read& read);

// One row of `format`; nullopt when it is not valid.
std::optional<OrcRule> decode_orc_row(Bytes row, OrcFormat format);
constexpr size_t orc_row_size = 6, orc_header_size = 20;

}  // namespace kdk
