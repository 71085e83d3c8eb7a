// Writes the seed inputs beside it: make_corpus tests/fuzz/formats/corpus. Run by hand when the builders
// change.
#include <algorithm>
#include <cstdio>
#include <string>

#include "core/base/file.h"
#include "core/formats/notes.h"
#include "tests/unit/formats/raw_dump.h"

using namespace kdk;
using namespace kdk::test;

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: make_corpus DIRECTORY\n");
    return 2;
  }
  std::filesystem::path root = argv[1];
  auto seed = [&](std::string_view target, std::string_view name, Bytes content) {
    std::filesystem::create_directories(root / target);
    write_file_atomic(root / target / name, content);
  };

  RawSegment filtered = pattern_segment(0x102, 1), edge{0x107800, std::vector<uint8_t>(0x900, 5), 0};
  filtered.memory_size = 3 * raw_page;
  RawElf elf{.segments = {pattern_segment(0x100, 1), filtered, edge}};
  seed("elf_dump_fuzz", "vmcore", build(elf));
  elf.count_in_section_header = true;
  seed("elf_dump_fuzz", "pn_xnum", build(elf));

  RawKdump k;
  k.end_pfn = 16;
  k.ram = {{{2}, {12}}};
  k.dumped = {{2, Codec::zlib}, {3, Codec::lzo}, {5, Codec::snappy}, {6, Codec::zstd}};
  seed("kdump_dump_fuzz", "version6", build(k));
  k.version = 3;
  k.vmcoreinfo_outside_notes = "PAGESIZE=4096\n";
  k.two_bitmaps = false;
  seed("kdump_dump_fuzz", "version3", build(k));
  k.version = 6;
  k.status = 0x8;
  k.split = PfnRange{{3}, {6}};
  seed("kdump_dump_fuzz", "split_incomplete", build(k));

  RawElf small{.segments = {pattern_segment(0x100, 1)}};
  seed("flattened_dump_fuzz", "elf", flatten(build(small), 1500));
  seed("flattened_dump_fuzz", "kdump", flatten(build(k), 5000));

  seed("notes_fuzz", "two", raw_notes());
  std::vector<uint8_t> notes;
  append_note(notes, "QEMU", 0, std::vector<uint8_t>(17, 1));
  append_note(notes, "", 3, {});
  seed("notes_fuzz", "odd", notes);
  seed("vmcoreinfo_fuzz", "arm64",
       as_bytes("OSRELEASE=6.12\nPAGESIZE=4096\nSYMBOL(_stext)=ffffd77602a10000\nNUMBER(VA_BITS)=52\n"
                "NUMBER(PAGE_BUDDY_MAPCOUNT_VALUE)=-268435456\nNUMBER(kimage_voffset)=0xffffd775c2800000\n"
                "OFFSET(page.flags)=0\nSIZE(page)=64\nKERNELOFFSET=577582a00000\nCRASHTIME=1"));

  uint8_t number = 0;
  for (Codec codec : {Codec::none, Codec::zlib, Codec::lzo, Codec::snappy, Codec::zstd}) {
    std::unique_ptr<Compressor> compressor = make_compressor(codec, 0, raw_page);
    std::vector<uint8_t> page = pattern_page(number), out(compressor->max_size() + 2);
    out.resize(2 + compressor->compress(page, MutableBytes(out).subspan(2)));
    out[0] = number++;
    seed("codec_fuzz", to_string(codec), out);
  }
  return 0;
}
