// What an architecture is to the rest of kdumpkit: one Arch object in one file (arch/arm64.cc,
// arch/x86_64.cc). Everything else treats architecture, page size and address width as data read from the
// dump, never as #ifdef, so any dump opens on any host.
//
// To add an architecture (docs/adding-an-architecture.md has each step with its evidence):
//   1. arch/<name>.h: register numbers, in DWARF order as far as that goes, for the files that are its own.
//   2. arch/<name>.cc: subclass Arch: names and roles of registers, elf_prstatus and pt_regs, user mode,
//   strip().
//   3. arch/<name>_translate.cc: derive from TableTranslator (table_walk.h): the shape of the tables and what
//   one
//      entry means; where root table, image and linear map are, from VMCOREINFO, proved by a walk.
//   4. list it in all_archs() in arch/arch.cc.
//   5. tests/support: its Paging (machine_paging.cc) and layout (dump_builder.cc), written from the manuals;
//   then
//      tests/unit/arch/<name>{,_translate}_test.cc for every geometry, a fuzz target over the walk.
//   6. hold it against an oracle on real dumps: every leaf of the tables, gaps, kallsyms against nm, per-CPU
//      addresses, log.
//   7. its stacks and its walk: core/diagnose/unwind.h says what is asked.
//   8. hypervisor notes with the page tables in use, if there are any: active_tables().
//   9. how its kernel reports faults: core/diagnose/fault_decoder.h; what a call leaves alone: call_saved in
//      analyze/unwind/cfi.cc; its oops texts in tests/unit/diagnose, its words in tests/support/scene_arch.h.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/bytes.h"
#include "core/base/types.h"
#include "core/formats/notes.h"
#include "core/formats/vmcoreinfo.h"

namespace kdk {

class Arch;

// Register values of one context. Index = the architecture's own numbering (Arch::register_names()): the
// general registers as in DWARF, all of them before pc.
struct Registers {
  static constexpr size_t max_count = 40;
  std::array<uint64_t, max_count> value{};
  std::bitset<max_count> known;

  void set(size_t index, uint64_t v) {
    value[index] = v;
    known.set(index);
  }
  std::optional<uint64_t> get(size_t index) const {
    if (index >= max_count || !known.test(index)) return std::nullopt;
    return value[index];
  }
};

// Which register plays which part.
struct RegisterRoles {
  size_t pc = 0;
  size_t sp = 0;
  size_t frame_pointer = 0;
  std::optional<size_t> link;  // return address register (arm64 x30)
  size_t status = 0;           // pstate, rflags
};

// Physical memory of the dumped machine.
class PhysReader {
 public:
  virtual ~PhysReader() = default;
  // Reads all of `out` or returns false (excluded, missing or unreadable page). May cross pages. Never
  // throws.
  virtual bool read_phys(PhysAddr address, MutableBytes out) noexcept = 0;
};

struct Translation {
  enum class Status : uint8_t {
    mapped,
    unmapped,           // a valid table says so
    table_unavailable,  // a page table page is excluded, missing or unreadable: cannot know
    not_kernel,         // not an address this translator covers (user half, non-canonical)
  };
  Status status = Status::unmapped;
  PhysAddr pa;
  // Bytes from the address to the end of its block or page: one lookup serves all of them.
  uint64_t contiguous = 0;
  explicit operator bool() const { return status == Status::mapped; }
};
std::string_view to_string(Translation::Status status);

// Facts about the virtual address space that callers may show or reason with. Offsets are modulo 2^64.
struct VaLayout {
  unsigned va_bits = 0;  // of addresses, both halves: in use at the crash, not what the build could do
  unsigned pa_bits = 0;  // output address size of the tables
  unsigned page_shift = 0;
  uint64_t kernel_start = 0;  // lowest kernel virtual address
  uint64_t page_offset = 0;   // first linear-map address; 0 when unknown
  uint64_t phys_offset = 0;   // physical address of page_offset
  uint64_t image_offset = 0;  // virtual less physical address of the kernel image
  // Bits of a kernel pointer that hold a signature: 1 in the address itself. 0 where pointers are not signed.
  uint64_t signature_mask = 0;
};

// Kernel virtual -> physical through the image offset, the linear map and the page tables found from
// VMCOREINFO.
class Translator {
 public:
  virtual ~Translator() = default;
  virtual const VaLayout& layout() const = 0;
  // `va` may carry a tag or PAC; they are stripped first. Never throws. Not thread-safe (walk cache).
  virtual Translation translate(VirtAddr va) noexcept = 0;

  // The same through the tables at `root` and nothing else, for tables that a CPU was seen to use.
  virtual Translation translate_in(PhysAddr root, VirtAddr va) noexcept = 0;

  // One valid entry of the page tables that map kernel space.
  struct TableEntry {
    VirtAddr va;        // first address it covers
    uint64_t size = 0;  // bytes of address space it covers
    PhysAddr pa;        // of the next table when `table`, else of the memory it maps
    bool table = false;
  };
  // Visits the root table (an entry with `table` set), then every valid entry in address order; `visit`
  // answers whether to descend into a table. No arithmetic short cuts: what is visited is what the tables
  // say. Returns false when a table could not be read (its entries are skipped). A table reached a second
  // time at the same level is visited but not descended into again (shared or circular tables), which bounds
  // the work; throws only what `visit` throws.
  virtual bool walk_tables(const std::function<bool(const TableEntry&)>& visit) = 0;

  // The walk for one address, entry by entry: what the tables say at each level, down to where it ends.
  struct Step {
    enum class Kind : uint8_t {
      table,       // leads to the next table
      leaf,        // maps memory
      invalid,     // maps nothing
      unreadable,  // the table is not in the dump
    };
    unsigned height = 0;     // 0: the last level
    std::string_view level;  // the kernel's name of it: pgd p4d pud pmd pte
    Kind kind = Kind::unreadable;
    PhysAddr entry;                       // where the entry is
    uint64_t raw = 0;                     // the entry, unless unreadable
    uint64_t size = 0;                    // bytes of address space that it covers
    PhysAddr to;                          // of the next table or, of a leaf, where the address itself is
    std::vector<std::string_view> flags;  // the bits set in it, in the architecture's words
  };
  // From the table at `root`; from the kernel's own without one, where `va` must be a kernel address.
  virtual std::vector<Step> steps(std::optional<PhysAddr> root, VirtAddr va) = 0;
};

class Arch {
 public:
  virtual ~Arch() = default;
  virtual std::string_view name() const = 0;         // "arm64"
  virtual uint16_t elf_machine() const = 0;          // EM_AARCH64
  virtual std::string_view uts_machine() const = 0;  // "aarch64"

  virtual std::span<const std::string_view> register_names() const = 0;
  virtual const RegisterRoles& roles() const = 0;
  // Registers out of an NT_PRSTATUS descriptor; nullopt when it is too short. `pid` gets pr_pid when given.
  virtual std::optional<Registers> registers_from_prstatus(Bytes desc, int32_t* pid = nullptr) const = 0;
  // Registers out of a struct pt_regs in memory (at least pt_regs_size() bytes).
  virtual size_t pt_regs_size() const = 0;
  virtual std::optional<Registers> registers_from_pt_regs(Bytes pt_regs) const = 0;
  // The root of the page tables that a CPU was using, where a note of its state has it (a hypervisor's).
  virtual std::optional<PhysAddr> active_tables(const Note&) const { return std::nullopt; }
  // True when `regs` were in user mode.
  virtual bool user_mode(const Registers& regs) const = 0;
  // A code or stack address with tag and authentication bits removed.
  virtual VirtAddr strip(uint64_t address, const VaLayout& layout) const = 0;

  // Builds the translator from VMCOREINFO. `page_size` in bytes. Throws Error{missing} naming the key that is
  // absent and Error{unsupported,format} for a geometry that cannot be. `memory` must outlive the translator.
  virtual std::unique_ptr<Translator> make_translator(const Vmcoreinfo& info, uint32_t page_size,
                                                      PhysReader& memory) const = 0;
};

std::span<const Arch* const> all_archs();
// By ELF machine number or utsname machine ("aarch64"); nullptr when unknown.
const Arch* find_arch(uint16_t elf_machine);
const Arch* find_arch(std::string_view uts_machine);
const Arch& arm64();
const Arch& x86_64();

}  // namespace kdk
