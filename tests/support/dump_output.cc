// The synthetic machine as dump bytes: VMCOREINFO, notes, an ELF vmcore as the kernel presents it,
// kdump-compressed.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <stdexcept>

#include "core/base/file.h"
#include "core/formats/kdump_writer.h"
#include "tests/support/dump_builder.h"

namespace kdk::test {
namespace {

struct ElfHeader {
  std::array<uint8_t, 16> ident{0x7f, 'E', 'L', 'F', 2, 1, 1};  // 64-bit, little-endian, version 1
  ul16 type = uint16_t{4};                                      // ET_CORE
  ul16 machine;
  ul32 version = 1u;
  ul64 entry, phoff = uint64_t{64}, shoff;
  ul32 flags;
  ul16 ehsize = uint16_t{64}, phentsize = uint16_t{56}, phnum, shentsize, shnum, shstrndx;
};
static_assert(sizeof(ElfHeader) == 64);

struct ProgramHeader {
  ul32 type, flags;
  ul64 offset, vaddr, paddr, filesz, memsz, align;
};
static_assert(sizeof(ProgramHeader) == 56);

template <typename T>
void append(std::vector<uint8_t>& out, const T& v) {
  out.resize(out.size() + sizeof v);
  store(MutableBytes(out), out.size() - sizeof v, v);
}

void append_note(std::vector<uint8_t>& out, std::string_view name, uint32_t type, Bytes desc) {
  append(out, ul32(static_cast<uint32_t>(name.size() + 1)));
  append(out, ul32(static_cast<uint32_t>(desc.size())));
  append(out, ul32(type));
  out.insert(out.end(), name.begin(), name.end());
  out.resize(align_up(out.size() + 1, 4));
  out.insert(out.end(), desc.begin(), desc.end());
  out.resize(align_up(out.size(), 4));
}

// Present pages, then excluded ones: what one PT_LOAD can say.
struct Segment {
  uint64_t vaddr, paddr, filesz, memsz;
};

std::vector<Segment> segments_of(const DumpBuilder& machine, uint64_t vaddr, uint64_t paddr, uint64_t bytes) {
  const uint64_t page = machine.page_size();
  std::vector<Segment> segments;
  bool gap = true;  // a present page after this starts a segment
  for (uint64_t at = 0; at < bytes; at += page) {
    const bool excluded = machine.excluded(machine.pfn_of({paddr + at}));
    if ((gap && !excluded) || segments.empty()) segments.push_back({vaddr + at, paddr + at, 0, 0});
    segments.back().memsz += page;
    if (!excluded) segments.back().filesz += page;
    gap = excluded;
  }
  return segments;
}

}  // namespace

void DumpBuilder::set(const std::string& key, std::string value) {
  for (auto& [existing, text] : vmcoreinfo_) {
    if (existing == key) {
      text = std::move(value);
      return;
    }
  }
  vmcoreinfo_.emplace_back(key, std::move(value));
}
void DumpBuilder::erase(const std::string& key) {
  std::erase_if(vmcoreinfo_, [&](const auto& entry) { return entry.first == key; });
}
void DumpBuilder::symbol(std::string_view name, VirtAddr va) {
  set(fmt::format("SYMBOL({})", name), fmt::format("{:x}", va.value));
}
void DumpBuilder::size(std::string_view name, uint64_t bytes) {
  set(fmt::format("SIZE({})", name), std::to_string(bytes));
}
void DumpBuilder::offset(std::string_view type_member, uint64_t bytes) {
  set(fmt::format("OFFSET({})", type_member), std::to_string(bytes));
}
void DumpBuilder::length(std::string_view name, uint64_t elements) {
  set(fmt::format("LENGTH({})", name), std::to_string(elements));
}
void DumpBuilder::number(std::string_view name, int64_t value) {
  set(fmt::format("NUMBER({})", name), std::to_string(value));
}
void DumpBuilder::number_hex(std::string_view name, uint64_t value) {
  set(fmt::format("NUMBER({})", name), fmt::format("{:#x}", value));
}

std::string DumpBuilder::vmcoreinfo() const {
  std::string text;
  for (const auto& [key, value] : vmcoreinfo_) text += fmt::format("{}={}\n", key, value);
  return text;
}

void DumpBuilder::add_cpu(const Registers& registers, int32_t pid) {
  // struct elf_prstatus of a 64-bit kernel: pr_pid at 32, pr_reg at 112, 8 bytes behind it.
  std::vector<size_t> order;
  if (options_.x86_64) {
    // struct user_regs_struct
    for (std::string_view name :
         {"r15",    "r14", "r13", "r12",     "rbp",     "rbx", "r11",      "r10", "r9",
          "r8",     "rax", "rcx", "rdx",     "rsi",     "rdi", "orig_rax", "rip", "cs",
          "rflags", "rsp", "ss",  "fs_base", "gs_base", "ds",  "es",       "fs",  "gs"}) {
      const auto names = arch().register_names();
      order.push_back(static_cast<size_t>(std::ranges::find(names, name) - names.begin()));
    }
  } else {
    for (size_t i = 0; i < 34; ++i) order.push_back(i);  // regs[31], sp, pc, pstate
  }
  std::vector<uint8_t> desc(112 + 8 * order.size() + 8);
  store(MutableBytes(desc), 32, il32(pid));
  for (size_t i = 0; i < order.size(); ++i)
    store(MutableBytes(desc), 112 + 8 * i, ul64(registers.value[order[i]]));
  add_note("CORE", nt_prstatus, std::move(desc));
}

void DumpBuilder::add_note(std::string name, uint32_t type, std::vector<uint8_t> desc) {
  notes_.emplace_back(std::move(name), std::pair(type, std::move(desc)));
}

std::vector<uint8_t> DumpBuilder::notes() const {
  std::vector<uint8_t> out;
  for (const auto& [name, note] : notes_) append_note(out, name, note.first, note.second);
  if (!vmcoreinfo_.empty() && !vmcoreinfo_withheld_)
    append_note(out, "VMCOREINFO", 0, as_bytes(vmcoreinfo()));
  return out;
}

std::vector<uint8_t> DumpBuilder::elf() const {
  const PhysAddr image = image_phys(text());
  std::vector<Segment> segments = segments_of(*this, text().value, image.value, options_.image_size);
  for (auto [base, bytes] : options_.ram) {
    for (const Segment& s : segments_of(*this, linear({base}).value, base, bytes)) segments.push_back(s);
  }
  if (segments.size() >= 0xfffe)
    throw std::logic_error("synthetic machine: too many excluded ranges for ELF");

  const std::vector<uint8_t> note_bytes = notes();
  ElfHeader header;
  header.machine = arch().elf_machine();
  header.phnum = static_cast<uint16_t>(segments.size() + 1);
  std::vector<uint8_t> out;
  append(out, header);
  const uint64_t notes_at = align_up(64 + 56 * (segments.size() + 1), 4096);
  uint64_t data_at = align_up(notes_at + note_bytes.size(), 4096);
  append(out, ProgramHeader{4u, 0u, notes_at, uint64_t{}, uint64_t{}, note_bytes.size(), note_bytes.size(),
                            uint64_t{}});
  for (const Segment& s : segments) {
    append(out, ProgramHeader{1u, 7u, data_at, s.vaddr, s.paddr, s.filesz, s.memsz, uint64_t{}});
    data_at += s.filesz;
  }
  out.resize(data_at);
  std::copy(note_bytes.begin(), note_bytes.end(), out.begin() + static_cast<std::ptrdiff_t>(notes_at));
  uint64_t at = align_up(notes_at + note_bytes.size(), 4096);
  for (const Segment& s : segments) {
    const uint64_t first = s.paddr >> page_shift_, last = (s.paddr + s.filesz) >> page_shift_;
    for (auto page = pages_.lower_bound(first); page != pages_.end() && page->first < last; ++page) {
      const uint64_t to = at + ((page->first - first) << page_shift_);
      std::copy(page->second.begin(), page->second.end(), out.begin() + static_cast<std::ptrdiff_t>(to));
    }
    at += s.filesz;
  }
  return out;
}

std::vector<uint8_t> DumpBuilder::kdump(Codec codec) const {
  const uint64_t end = ram().back().end.value;
  PfnBitmap exists(end), dumped(end);
  for (PfnRange range : ram()) exists.set_range(range), dumped.set_range(range);
  for (uint64_t pfn : excluded_) dumped.clear({pfn});

  Fd fd(memfd_create("kdump", MFD_CLOEXEC));
  const std::vector<uint8_t> note_bytes = notes();
  KdumpHeader header;
  header.page_size = options_.page_size;
  header.release = options_.release;
  header.machine = arch().uts_machine();
  header.phys_base = options_.x86_64 ? 0xffffffff80000000 - image_offset_ : phys_offset_;
  header.dump_level = excluded_.empty() ? 0 : 31;
  header.codec_hint = codec_flag(codec);
  header.notes = note_bytes;
  header.end_pfn = end;
  FileOutput output(fd, "synthetic");
  KdumpWriter writer(output, "synthetic", header, exists, dumped);
  const std::unique_ptr<Compressor> compressor = make_compressor(codec, 0, options_.page_size);
  std::vector<uint8_t> compressed(compressor->max_size());
  uint64_t index = 0;
  for (PfnRange range : ram()) {
    for (Pfn pfn = range.begin; pfn < range.end; pfn = pfn + 1) {
      if (!dumped.test(pfn)) continue;
      PageLocation where = writer.zero_page();
      if (pages_.contains(pfn.value)) {
        const std::vector<uint8_t> raw = page(pfn);
        const size_t size = compressor->compress(raw, compressed);
        const Bytes blob = size == 0 ? Bytes(raw) : Bytes(compressed).first(size);
        where = {writer.claim(blob.size()), static_cast<uint32_t>(blob.size()),
                 size == 0 ? 0 : codec_flag(codec)};
        write_at(fd, where.offset, blob, "synthetic");
      }
      writer.publish(index++, {&where, 1});
    }
  }
  writer.finish(true);
  std::vector<uint8_t> out(file_size(fd).value());
  read_at(fd, 0, out, "synthetic");
  return out;
}

std::unique_ptr<Dump> DumpBuilder::open() const {
  return open_dump(memory_source(elf(), "synthetic vmcore"));
}

}  // namespace kdk::test
