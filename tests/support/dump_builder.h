// A synthetic machine, arm64 or x86-64, for tests: RAM, page tables, kernel image, VMCOREINFO, notes; written
// as a dump.
//
// Tests place what they need (struct pages, a log, kallsyms, task lists, BTF) with put() at virtual addresses
// and read it back through the code under test. The page tables are encoded here independently of the
// translator (machine_paging.h), from the manuals and the kernel's headers, so that one mistake cannot hide
// the other.
//
//   DumpBuilder machine({.page_size = 4096, .va_bits = 48});  // or ({.x86_64 = X86_64Options{}})
//   VirtAddr task = machine.alloc(4096);
//   machine.put_u64(task + 16, 42);
//   std::unique_ptr<Dump> dump = machine.open();
//
// More to place: page_builder.h (struct pages), log_builder.h (kernel log), kallsyms_builder.h.
#pragma once

#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/arch/arch.h"
#include "core/base/bytes.h"
#include "core/base/types.h"
#include "core/formats/codec.h"
#include "core/formats/dump.h"
#include "tests/support/machine_paging.h"

namespace kdk::test {

struct X86_64Options {
  unsigned levels = 4;                     // of page tables: 4 or 5
  uint64_t page_offset = 0;                // where the linear map starts; 0: where it is without KASLR
  uint64_t sme_mask = 0;                   // the "encrypted" bit of page table entries
  std::string_view root = "init_top_pgt";  // name of the root table
};

// The members are arm64's unless said otherwise.
struct MachineOptions {
  uint32_t page_size = 4096;
  unsigned va_bits = 48;       // in use
  unsigned build_va_bits = 0;  // CONFIG_ARM64_VA_BITS; 0 = va_bits
  bool flipped = true;         // linear map in the lower half (v5.4 and later)
  bool lpa = true;             // 64K pages: store PA[51:48] in descriptor bits [15:12]
  // RAM banks {physical base, bytes}, multiples of 2 MiB; the image is in the first. Empty: 16 MiB (64K
  // pages: 32 MiB) at 1 GiB.
  std::vector<std::pair<uint64_t, uint64_t>> ram = {};
  // PHYS_OFFSET; nullopt: the first bank's base rounded down to 1 GiB, less the bias that a 52-bit build
  // running with fewer bits has. May be "negative".
  std::optional<uint64_t> phys_offset = {};
  // PHYS_OFFSET of a 52-bit build that runs with fewer bits counts from the build's linear map (v5.11 and
  // later) or, as false, from the smaller one's.
  bool biased_phys_offset = true;
  uint64_t kaslr = 0x12600000;  // image slide, a multiple of 2 MiB
  uint64_t image_size = uint64_t{4} << 20;
  bool block_mappings = true;  // linear map by blocks where alignment allows, else by pages
  uint64_t pac_mask = 0;       // NUMBER(KERNELPACMASK)
  std::string release = "6.12.0-synthetic";
  std::string build_id = "00112233445566778899aabbccddeeff00112233";
  // An x86-64 machine instead: page_size, va_bits, build_va_bits, flipped, lpa, phys_offset and pac_mask are
  // not looked at then. RAM starts at 0 unless `ram` says otherwise.
  std::optional<X86_64Options> x86_64 = {};
};

class DumpBuilder {
 public:
  // Maps RAM linearly and the image at its slid address, and fills VMCOREINFO with the keys of a v6.12 kernel
  // that concern identity and address translation.
  explicit DumpBuilder(MachineOptions options = {});

  const Arch& arch() const { return options_.x86_64 ? kdk::x86_64() : kdk::arm64(); }

  const MachineOptions& options() const { return options_; }
  uint32_t page_size() const { return options_.page_size; }
  unsigned page_shift() const { return page_shift_; }

  // --- addresses
  uint64_t page_offset() const { return page_offset_; }     // first linear-map address
  uint64_t phys_offset() const { return phys_offset_; }     // its physical address, modulo 2^64
  uint64_t image_offset() const { return image_offset_; }   // image VA - PA
  VirtAddr text() const { return {image_va_}; }             // _text
  VirtAddr stext() const { return {image_va_ + 0x10000}; }  // _stext
  VirtAddr etext() const { return {image_va_ + options_.image_size / 4}; }
  VirtAddr image_end() const { return {image_va_ + options_.image_size}; }
  VirtAddr module_area() const { return {module_area_}; }  // unmapped until map()ped
  VirtAddr vmalloc_area() const { return {vmalloc_next_}; }
  VirtAddr vmemmap_start() const { return {vmemmap_start_}; }  // struct page of the first linear-map address
  VirtAddr linear(PhysAddr pa) const { return {pa.value - phys_offset_ + page_offset_}; }
  PhysAddr image_phys(VirtAddr va) const { return {va.value - image_offset_}; }
  PhysAddr root_table() const { return root_; }
  Pfn pfn_of(PhysAddr pa) const { return {pa.value >> page_shift_}; }
  // Follows the page tables as built. Throws std::logic_error when `va` is not mapped.
  PhysAddr phys(VirtAddr va) const;

  // --- memory; everything starts as zeros
  PhysAddr alloc_pages(uint64_t count);  // from the first bank, after the image; physically contiguous
  VirtAddr alloc(uint64_t size, uint64_t align = 16);        // linear map ("kmalloc")
  VirtAddr image_alloc(uint64_t size, uint64_t align = 16);  // the image's data, after etext
  VirtAddr vmalloc(uint64_t pages);  // scattered pages with an unmapped guard page on both sides
  void map(VirtAddr va, PhysAddr pa, uint64_t size, bool blocks = false);
  void unmap(VirtAddr va);  // clears the entry that maps `va`
  void put(VirtAddr va, Bytes bytes);
  void put_text(VirtAddr va, std::string_view text) { put(va, as_bytes(text)); }
  void put_u8(VirtAddr va, uint8_t v) { put_value<uint8_t>(va, v); }
  void put_u16(VirtAddr va, uint16_t v) { put_value<ul16>(va, v); }
  void put_u32(VirtAddr va, uint32_t v) { put_value<ul32>(va, v); }
  void put_u64(VirtAddr va, uint64_t v) { put_value<ul64>(va, v); }
  // struct list_head rings: links `nodes` in order behind `head` (each address is that of a list_head).
  void put_list(VirtAddr head, const std::vector<VirtAddr>& nodes);
  void put_phys(PhysAddr pa, Bytes bytes);
  void put_phys_u64(PhysAddr pa, uint64_t v);
  uint64_t phys_u64(PhysAddr pa) const;

  // --- VMCOREINFO
  void set(const std::string& key, std::string value);  // replaces; "NUMBER(VA_BITS)", "OSRELEASE", ...
  void erase(const std::string& key);
  void symbol(std::string_view name, VirtAddr va);  // SYMBOL(name)=hex
  void size(std::string_view name, uint64_t bytes);
  void offset(std::string_view type_member, uint64_t bytes);
  void length(std::string_view name, uint64_t elements);
  void number(std::string_view name, int64_t value);  // decimal
  void number_hex(std::string_view name, uint64_t value);
  std::string vmcoreinfo() const;
  // Leaves VMCOREINFO out of the notes, as a hypervisor that was not told.
  void withhold_vmcoreinfo() { vmcoreinfo_withheld_ = true; }

  // --- notes and pages
  void add_cpu(const Registers& registers, int32_t pid);  // NT_PRSTATUS, in call order
  void add_note(std::string name, uint32_t type, std::vector<uint8_t> desc);
  std::vector<uint8_t> notes() const;
  // Leaves a page out: of ELF files as p_filesz < p_memsz, of kdump files by the second bitmap.
  void exclude(Pfn pfn) { excluded_.insert(pfn.value); }
  bool excluded(Pfn pfn) const { return excluded_.contains(pfn.value); }
  std::vector<PfnRange> ram() const;
  std::vector<uint8_t> page(Pfn pfn) const;

  // --- output
  std::vector<uint8_t> elf() const;  // as /proc/vmcore: note, image segment, RAM segments
  std::vector<uint8_t> kdump(Codec codec = Codec::zlib) const;  // through KdumpWriter
  std::unique_ptr<Dump> open() const;                           // open_dump() over elf()

 private:
  template <typename Stored, typename T>
  void put_value(VirtAddr va, T v) {
    Stored stored = v;
    uint8_t bytes[sizeof stored];
    std::memcpy(bytes, &stored, sizeof stored);
    put(va, bytes);
  }
  void choose_arm64_layout();
  void choose_x86_64_layout();
  void build_vmcoreinfo();
  unsigned shift(unsigned height) const { return page_shift_ + height * (page_shift_ - 3); }
  // Address of the entry for `va` at `height` (0 = last level); tables on the way are made when `create`.
  // nullopt when one is not there.
  std::optional<PhysAddr> entry_of(VirtAddr va, unsigned height, bool create);
  std::vector<uint8_t>& page_bytes(uint64_t pfn);

  MachineOptions options_;
  std::shared_ptr<const Paging> paging_;  // shared by copies of the machine
  unsigned page_shift_ = 0, levels_ = 0, root_bits_ = 0;
  uint64_t page_offset_ = 0, phys_offset_ = 0, image_offset_ = 0, image_va_ = 0, module_area_ = 0;
  uint64_t vmemmap_start_ = 0;
  uint64_t next_phys_ = 0, next_data_ = 0, vmalloc_next_ = 0, heap_next_ = 0, heap_end_ = 0;
  PhysAddr root_;
  std::map<uint64_t, std::vector<uint8_t>> pages_;  // by PFN; absent = zeros
  std::vector<std::pair<std::string, std::string>> vmcoreinfo_;
  bool vmcoreinfo_withheld_ = false;
  std::vector<std::pair<std::string, std::pair<uint32_t, std::vector<uint8_t>>>> notes_;
  std::set<uint64_t> excluded_;
};

}  // namespace kdk::test
