// Where the note is: in a page of its own, at its start (kernel/crash_core.c crash_save_vmcoreinfo_init());
// up to v4.12 anywhere in the image. Copies of the text without the note's header, such as the one in the
// crash kernel's reservation, are not looked at. Other notes there may be: a vmcore in the page cache, or
// what a kernel left behind that kexec replaced.
#include "core/kernel/vmcoreinfo_search.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "core/base/bus_error.h"
#include "core/base/file.h"
#include "core/base/log.h"
#include "core/kernel/memory.h"

namespace kdk {
namespace {

constexpr uint64_t max_searched = uint64_t{256} << 30;  // bytes; some minutes of reading
constexpr size_t max_candidates = 64;
constexpr uint64_t max_text = uint64_t{1} << 20;  // real: 2 to 4 KiB
// The note's name with its padding, and how the text has begun in every kernel.
constexpr std::string_view note_name("VMCOREINFO\0\0OSRELEASE=", 22);
constexpr uint64_t header_bytes = 12, text_at = 24;  // from the start of the note

struct Candidate {
  PhysAddr address;  // of the note
  std::string text;
  PhysAddr text_start;  // where its kernel's _stext is, once that is known
};

// Reads physical memory out of a dump, whatever the size of its pages.
class RawMemory {
 public:
  explicit RawMemory(const Dump& dump)
      : reader_(dump.reader()), page_size_(dump.info().page_size), page_(page_size_) {}

  // The page's bytes, valid until the next call; empty when it is not in the dump.
  Bytes page(Pfn pfn) {
    const PageView view = reader_->page(pfn);
    if (view.state != PageState::present) return {};
    const bool copied = touch_guarded([&] { std::memcpy(page_.data(), view.bytes.data(), page_size_); });
    return copied ? Bytes(page_) : Bytes();
  }

  // Up to `size` bytes, fewer when a page is not there.
  std::vector<uint8_t> read(PhysAddr at, uint64_t size) {
    std::vector<uint8_t> out;
    while (out.size() < size) {
      const uint64_t next = at.value + out.size(), within = next % page_size_;
      const Bytes bytes = page({next / page_size_});
      if (bytes.empty()) break;
      const Bytes part = bytes.subspan(within, std::min(size - out.size(), page_size_ - within));
      out.insert(out.end(), part.begin(), part.end());
    }
    return out;
  }

 private:
  std::unique_ptr<PageReader> reader_;
  uint64_t page_size_;
  std::vector<uint8_t> page_;
};

// The notes in the dump's memory, each text once.
class NoteSearch {
 public:
  explicit NoteSearch(const Dump& dump) : dump_(dump), memory_(dump), around_(dump) {}

  std::vector<Candidate> run() {
    const uint64_t page_size = dump_.info().page_size;
    std::vector<uint8_t> seam;  // the end of the page before and the start of this one
    for (const PfnRange& range : dump_.ram()) {
      seam.clear();
      for (Pfn pfn = range.begin; pfn < range.end; pfn = pfn + 1) {
        if (searched_ >= max_searched || found_.size() >= max_candidates) return found_;
        const Bytes page = memory_.page(pfn);
        const uint64_t start = pfn.value * page_size;
        searched_ += page.size();
        if (page.empty()) {
          seam.clear();
          continue;
        }
        const uint64_t overlap = note_name.size() - 1;
        const uint64_t before = seam.size();
        seam.insert(seam.end(), page.begin(), page.begin() + static_cast<std::ptrdiff_t>(overlap));
        look(seam, start - before);
        look(page, start);
        seam.assign(page.end() - static_cast<std::ptrdiff_t>(overlap), page.end());
      }
    }
    return found_;
  }
  uint64_t searched() const { return searched_; }

 private:
  void look(Bytes bytes, uint64_t start) {
    const std::string_view text = as_text(bytes);
    for (size_t at = text.find(note_name); at != std::string_view::npos; at = text.find(note_name, at + 1)) {
      if (start + at >= header_bytes) consider({start + at - header_bytes});
    }
  }

  void consider(PhysAddr note) {
    const std::vector<uint8_t> header = around_.read(note, header_bytes);
    struct NoteHeader {
      ul32 name_size, desc_size, type;
    };
    const auto sizes = load<NoteHeader>(header);
    if (!sizes || sizes->name_size != 11 || sizes->type != 0 || sizes->desc_size > max_text) return;
    const std::vector<uint8_t> desc = around_.read(note + text_at, sizes->desc_size);
    std::string text(as_text(desc).substr(0, as_text(desc).find('\0')));
    if (std::ranges::none_of(found_, [&](const Candidate& c) { return c.text == text; }))
      found_.push_back({note, std::move(text), {}});
  }

  const Dump& dump_;
  RawMemory memory_, around_;  // the second one for what a hit points to: the first one's page stays valid
  std::vector<Candidate> found_;
  uint64_t searched_ = 0;
};

// How well a note describes the dumped machine.
enum class Fit : uint8_t {
  refuted,
  there,    // that kernel's page tables and release are in memory
  running,  // and the CPUs ran it
};

// struct new_utsname: fields of 65 bytes, the release is the third. Before OFFSET(uts_namespace.name) was
// told, a reference count stood before it or not (include/linux/utsname.h).
bool release_is_there(KernelMemory& memory) {
  constexpr uint64_t release_at = 2 * 65;
  const Vmcoreinfo& info = memory.vmcoreinfo();
  const auto namespace_at = info.symbol("init_uts_ns");
  if (!namespace_at) return false;
  const auto told = info.offset("uts_namespace.name");
  for (uint64_t name_at : {told.value_or(0), told.value_or(4)}) {
    if (memory.string(VirtAddr{*namespace_at} + name_at + release_at, 65) == info.value("OSRELEASE"))
      return true;
  }
  return false;
}

// Whether the CPUs ran the kernel that `memory` is opened for. A note with the page tables in use is proof
// either way; else its program counters have to be mapped.
bool is_running(KernelMemory& memory, VirtAddr stext, PhysAddr stext_at) {
  const Arch& arch = memory.arch();
  bool proved = false, told = false;
  unsigned in_kernel = 0, mapped = 0;
  for (const Note& note : memory.dump().notes()) {
    if (const auto root = arch.active_tables(note)) {
      told = true;
      const Translation t = memory.translator().translate_in(*root, stext);
      proved |= t && t.pa == stext_at;
    }
    if (note.name != "CORE" || note.type != nt_prstatus) continue;
    const auto regs = arch.registers_from_prstatus(note.desc);
    const auto pc = regs ? regs->get(arch.roles().pc) : std::nullopt;
    if (!pc || arch.user_mode(*regs)) continue;
    ++in_kernel;
    mapped += memory.translate({*pc}) ? 1 : 0;
  }
  return told ? proved : in_kernel > 0 && mapped == in_kernel;
}

Fit judge(const DumpOpener& open, Candidate& candidate, std::string& why) {
  try {
    const std::unique_ptr<Dump> dump =
        open({.vmcoreinfo_text = candidate.text, .vmcoreinfo_source = VmcoreinfoSource::memory});
    KernelMemory memory(*dump);
    const VirtAddr stext{dump->vmcoreinfo().require_symbol("_stext")};
    const PhysAddr expected{stext.value - memory.layout().image_offset};
    const Translation t = memory.translate(stext);
    why = "its page tables do not map its text where it says";
    if (!t || t.pa != expected) return Fit::refuted;
    why = "its release is not where it says";
    if (!release_is_there(memory)) return Fit::refuted;
    candidate.text_start = expected;
    return is_running(memory, stext, expected) ? Fit::running : Fit::there;
  } catch (const Error& e) {
    why = e.message();
    return Fit::refuted;
  }
}

std::string describe(const Candidate& candidate) {
  const Vmcoreinfo info = Vmcoreinfo::parse(candidate.text);
  return fmt::format("{} at physical address {:#x}", escape_untrusted(info.value("OSRELEASE").value_or("?")),
                     candidate.address.value);
}

// Whether `b` is another note of the kernel of `a`, and a better one: at the start of a page, where the
// kernel keeps it, or longer, as a crash appends its time. What was read from /proc/kcore leaves copies,
// whole or not.
bool better_note(const Candidate& a, const Candidate& b) {
  constexpr uint64_t smallest_page = 4096;
  if (a.text_start != b.text_start) return false;
  const bool a_kept = a.address.value % smallest_page == 0, b_kept = b.address.value % smallest_page == 0;
  return a_kept != b_kept ? b_kept : b.text.size() > a.text.size();
}

struct Choice {
  std::optional<Candidate> chosen;
  std::string why_not;
  std::vector<std::string> remarks;
};

Choice choose(const DumpOpener& open, std::vector<Candidate> candidates) {
  Choice choice;
  Fit best = Fit::there;
  std::vector<Candidate> fitting;
  for (Candidate& candidate : candidates) {
    std::string why;
    const Fit fit = judge(open, candidate, why);
    if (fit == Fit::refuted)
      choice.remarks.push_back(fmt::format("{} is not it: {}", describe(candidate), why));
    if (fit < best) continue;
    if (fit > best) fitting.clear();
    best = fit;
    fitting.push_back(candidate);
  }
  const std::vector<Candidate> all = fitting;
  std::erase_if(fitting, [&](const Candidate& a) {
    return std::ranges::any_of(all, [&](const Candidate& b) { return better_note(a, b); });
  });
  if (fitting.size() == 1) {
    choice.chosen = fitting.front();
  } else if (fitting.empty()) {
    choice.why_not = candidates.empty() ? "no VMCOREINFO note was found" : "no VMCOREINFO note fits the dump";
  } else {
    choice.why_not = "nothing tells which of several kernels was running:";
    for (const Candidate& c : fitting) choice.why_not += fmt::format(" {},", describe(c));
    choice.why_not.pop_back();
  }
  return choice;
}

}  // namespace

std::unique_ptr<Dump> open_searching(const DumpOpener& open) {
  std::unique_ptr<Dump> dump = open({});
  if (!dump->vmcoreinfo().empty()) return dump;
  install_bus_error_handler();
  NoteSearch search(*dump);
  const Choice choice = choose(open, search.run());
  const uint64_t searched_mib = search.searched() >> 20;
  if (choice.chosen) {
    dump = open({.vmcoreinfo_text = choice.chosen->text, .vmcoreinfo_source = VmcoreinfoSource::memory});
    dump->add_problem(
        fmt::format("the dump has no VMCOREINFO: {} MiB of its memory were searched, that of {} fits",
                    searched_mib, describe(*choice.chosen)));
  } else {
    dump->add_problem(
        fmt::format("the dump has no VMCOREINFO, and {} MiB of its memory were searched: {}; give it with "
                    "--vmcoreinfo FILE",
                    searched_mib, choice.why_not));
  }
  for (const std::string& remark : choice.remarks) dump->add_problem("VMCOREINFO of " + remark);
  return dump;
}

std::unique_ptr<Dump> open_kernel_dump(const std::vector<std::filesystem::path>& paths,
                                       const std::optional<std::filesystem::path>& vmcoreinfo_file) {
  if (vmcoreinfo_file) {
    constexpr uint64_t largest_file = uint64_t{4} << 20;
    OpenOptions options;
    options.vmcoreinfo_text =
        vmcoreinfo_text(read_file(*vmcoreinfo_file, largest_file), vmcoreinfo_file->string());
    return open_dump(paths, options);
  }
  return open_searching([&](const OpenOptions& options) { return open_dump(paths, options); });
}

}  // namespace kdk
