// The vmcore of a machine with more RAM than this one has: a sparse file that costs some 100 MB of disk, for
// scale_bench.py and analyze_scale_bench.py. It crashed as tests/support/crash_scene.h has it.
//
//   huge_machine FILE GIB      an arm64 machine with GIB GiB of RAM (a power of two from 1 to 4096)
//
// Its struct pages are those of a busy machine, every class in runs of random length, and none is compound:
// each one has to be looked at, which is the dearest case. A few sections of 128 MiB are made up; the ELF
// segments of the others point at the same bytes of the file, so that the memory map is read from as much of
// the file as fits the page cache. What struct pages describe is a hole, so it is meant for --dry-run.
#include <elf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <bit>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <exception>
#include <random>
#include <vector>

#include "core/base/error.h"
#include "core/base/file.h"
#include "tests/support/crash_scene.h"
#include "tests/support/dump_builder.h"
#include "tests/support/page_builder.h"

namespace {

using kdk::Pfn;
using kdk::PhysAddr;
using kdk::test::DumpBuilder;
using kdk::test::PageBuilder;
using kdk::test::PageClass;

constexpr uint64_t gib = uint64_t{1} << 30, page_size = 4096;
constexpr uint64_t section_bytes = uint64_t{128} << 20, section_pages = section_bytes / page_size;
constexpr uint64_t map_bytes = section_pages * 64;  // of struct pages for a section: 2 MiB
constexpr uint64_t small_start = gib, small_bytes = uint64_t{128} << 20;  // image, page tables, mem_section
constexpr uint64_t big_start = 4 * gib;
constexpr uint64_t most_templates = 64;  // 128 MiB of struct pages: more than caches hold

// Fills a section as a busy machine's: blocks of free pages of every order, between them runs of what is in
// use, up to the next block's alignment or a little further.
void fill_section(PageBuilder& pages, Pfn first, std::mt19937_64& random) {
  for (uint64_t at = 0; at < section_pages;) {
    const uint64_t block = uint64_t{1} << random() % 11;
    if (at % block == 0) {
      pages.set(first + at, static_cast<unsigned>(std::countr_zero(block)), PageClass::buddy);
      at += block;
    }
    for (uint64_t left = random() % 512; left > 0 && at < section_pages;) {
      const uint64_t dice = random() % 100;
      const PageClass page_class = dice < 45   ? PageClass::anon
                                   : dice < 75 ? PageClass::cache
                                   : dice < 80 ? PageClass::cache_private
                                   : dice < 92 ? PageClass::slab
                                               : PageClass::kernel;
      const uint64_t run = std::min({left, section_pages - at, 1 + random() % 64});
      for (uint64_t i = 0; i < run; ++i) pages.set(first + at + i, 0, page_class);
      at += run;
      left -= run;
    }
  }
}

class SparseFile {
 public:
  explicit SparseFile(const char* path)
      : path_(path), fd_(::open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)) {
    if (fd_.get() < 0) throw kdk::error_from_errno(errno, path_);
  }
  void write(uint64_t offset, const void* data, size_t size) {
    if (::pwrite(fd_.get(), data, size, static_cast<off_t>(offset)) != static_cast<ssize_t>(size))
      throw kdk::error_from_errno(errno, path_);
  }
  // Pages of the machine that are not zero.
  void write_pages(uint64_t offset, const DumpBuilder& machine, PhysAddr from, uint64_t bytes) {
    for (uint64_t at = 0; at < bytes; at += page_size) {
      const std::vector<uint8_t> page = machine.page(machine.pfn_of(from + at));
      if (page[0] != 0 || std::memcmp(page.data(), page.data() + 1, page.size() - 1) != 0)
        write(offset + at, page.data(), page.size());
    }
  }
  void resize(uint64_t bytes) {
    if (::ftruncate(fd_.get(), static_cast<off_t>(bytes)) != 0) throw kdk::error_from_errno(errno, path_);
  }

 private:
  const char* path_;
  kdk::Fd fd_;
};

void write_machine(const char* path, uint64_t size) {
  const uint64_t big_end = big_start + size;
  // Struct pages from the small bank's first page to the big bank's last, at the end of the big bank.
  const uint64_t all_map_bytes = (big_end - small_start) / section_bytes * map_bytes;
  const PhysAddr map_at{big_end - all_map_bytes};
  const kdk::test::Scene scene({.machine = {.ram = {{small_start, small_bytes}, {big_start, size}}}});
  DumpBuilder& machine = *scene.machine;
  PageBuilder pages(machine, {.struct_pages_at = map_at});

  // Sections of which the file has struct pages of their own: one of kernel pages only, for the small bank
  // and for what holds the memory map, and as many busy ones as there is use for.
  const auto section_at = [&](uint64_t address) { return machine.pfn_of({address}); };
  const uint64_t busy = (size - kdk::align_up(all_map_bytes, section_bytes)) / section_bytes;
  const uint64_t templates = std::min(busy, most_templates);
  for (uint64_t i = 0; i < section_pages; ++i) pages.set(section_at(small_start) + i, 0, PageClass::kernel);
  std::mt19937_64 random(1);
  for (uint64_t i = 0; i < templates; ++i)
    fill_section(pages, section_at(big_start + i * section_bytes), random);

  SparseFile file(path);
  std::vector<Elf64_Phdr> segments;
  const auto add = [&](uint64_t offset, uint64_t address, uint64_t bytes) {
    Elf64_Phdr segment{};
    segment.p_type = PT_LOAD;
    segment.p_offset = offset;
    segment.p_vaddr = machine.linear({address}).value;
    segment.p_paddr = address;
    segment.p_filesz = segment.p_memsz = bytes;
    segments.push_back(segment);
  };
  const std::vector<uint8_t> notes = machine.notes();
  const uint64_t headers = sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr) * (all_map_bytes / map_bytes + 3);
  const uint64_t notes_at = kdk::align_up(headers, page_size);
  uint64_t at = kdk::align_up(notes_at + notes.size(), page_size);
  Elf64_Phdr note{};
  note.p_type = PT_NOTE;
  note.p_offset = notes_at;
  note.p_filesz = note.p_memsz = notes.size();
  segments.push_back(note);
  file.write(notes_at, notes.data(), notes.size());

  add(at, small_start, small_bytes);
  file.write_pages(at, machine, {small_start}, small_bytes);
  at += small_bytes;
  const uint64_t kernel_map = at, busy_map = at + map_bytes;
  file.write_pages(kernel_map, machine, map_at, map_bytes);
  const uint64_t big_map_skip = (big_start - small_start) / section_bytes * map_bytes;
  file.write_pages(busy_map, machine, map_at + big_map_skip, templates * map_bytes);
  at = busy_map + templates * map_bytes;
  add(at, big_start, map_at.value - big_start);  // a hole
  at += map_at.value - big_start;
  for (uint64_t section = 0; section < all_map_bytes / map_bytes; ++section) {
    const uint64_t big = section - std::min(section, big_map_skip / map_bytes);  // its number in the big bank
    const bool is_busy = section >= big_map_skip / map_bytes && big < busy;
    add(is_busy ? busy_map + big % templates * map_bytes : kernel_map, map_at.value + section * map_bytes,
        map_bytes);
  }
  file.resize(at);

  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_ident[EI_VERSION] = EV_CURRENT;
  header.e_type = ET_CORE;
  header.e_machine = EM_AARCH64;
  header.e_version = EV_CURRENT;
  header.e_phoff = sizeof header;
  header.e_ehsize = sizeof header;
  header.e_phentsize = sizeof(Elf64_Phdr);
  header.e_phnum = static_cast<uint16_t>(segments.size());
  file.write(0, &header, sizeof header);
  file.write(sizeof header, segments.data(), segments.size() * sizeof segments[0]);
}

}  // namespace

int main(int argc, char** argv) {
  uint64_t size = 0;
  if (argc == 3) std::from_chars(argv[2], argv[2] + std::strlen(argv[2]), size);
  if (!std::has_single_bit(size) || size > 4096) {
    std::fprintf(stderr, "usage: huge_machine FILE GIB (a power of two, 1 to 4096)\n");
    return 2;
  }
  try {
    write_machine(argv[1], size * gib);
    return 0;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}
