// KernelMemory: a page cache and a translation cache in front of the dump and the architecture's page walk.
//
// Both caches are direct-mapped: one compare per look-up, no lists to keep. Pages are copied out of the dump
// once, under the bus-error guard, so nobody above has to fear a mapping whose file shrinks.
#include "core/kernel/memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <unordered_set>
#include <vector>

#include "core/base/bus_error.h"

namespace kdk {
namespace {

ReadStatus to_read_status(Translation::Status status) {
  switch (status) {
    case Translation::Status::mapped:
      return ReadStatus::ok;
    case Translation::Status::unmapped:
      return ReadStatus::unmapped;
    case Translation::Status::table_unavailable:
      return ReadStatus::table_unavailable;
    case Translation::Status::not_kernel:
      return ReadStatus::not_kernel;
  }
  return ReadStatus::unmapped;
}

ReadStatus to_read_status(PageState state) {
  switch (state) {
    case PageState::present:
      return ReadStatus::ok;
    case PageState::excluded:
      return ReadStatus::excluded;
    case PageState::missing:
      return ReadStatus::missing;
    case PageState::unreadable:
      return ReadStatus::unreadable;
  }
  return ReadStatus::unreadable;
}

const Arch& arch_of(const Dump& dump) {
  const DumpInfo& info = dump.info();
  if (const Arch* arch = find_arch(info.elf_machine)) return *arch;
  if (const Arch* arch = find_arch(std::string_view(info.uts_machine))) return *arch;
  std::string seen =
      info.uts_machine.empty() ? fmt::format("ELF machine {}", info.elf_machine) : info.uts_machine;
  throw Error(Errc::unsupported, fmt::format("no address translation for this architecture ({})", seen));
}

}  // namespace

std::string_view to_string(ReadStatus status) {
  switch (status) {
    case ReadStatus::ok:
      return "ok";
    case ReadStatus::unmapped:
      return "address not mapped";
    case ReadStatus::table_unavailable:
      return "page table not in the dump";
    case ReadStatus::not_kernel:
      return "not a kernel address";
    case ReadStatus::excluded:
      return "page excluded from the dump";
    case ReadStatus::missing:
      return "not memory of the dumped machine";
    case ReadStatus::unreadable:
      return "page unreadable in the dump";
  }
  return "unknown";
}

struct KernelMemory::Cache {
  static constexpr size_t cache_bytes = size_t{4} << 20;
  static constexpr size_t translations = 256;
  // From so many pages on a read goes past the cache: whoever reads tables of megabytes (BTF, kallsyms) reads
  // them once, and they would push out what is looked at again.
  static constexpr size_t bulk_pages = 16;

  struct Slot {
    uint64_t pfn = ~uint64_t{0};
    PageState state = PageState::missing;
    uint8_t* bytes = nullptr;  // one page of the arena
  };
  struct Mapping {
    uint64_t page = ~uint64_t{0};  // va >> page_shift
    PhysAddr pa;                   // of the page's first byte
    uint64_t contiguous = 0;       // from there
  };

  explicit Cache(const Dump& dump)
      : reader(dump.reader()),
        page_size(dump.info().page_size),
        page_shift(static_cast<unsigned>(std::countr_zero(page_size))),
        slots(std::bit_floor(std::clamp<size_t>(cache_bytes / page_size, 64, 1024))),
        arena(std::make_unique_for_overwrite<uint8_t[]>(slots.size() * page_size)) {
    for (size_t i = 0; i < slots.size(); ++i) slots[i].bytes = arena.get() + i * page_size;
  }

  // The cached page, filled on a miss.
  const Slot& page(uint64_t pfn) noexcept {
    Slot& slot = slots[pfn % slots.size()];
    if (slot.pfn == pfn) return slot;
    slot.pfn = pfn;
    slot.state = copy_page(pfn, slot.bytes);
    return slot;
  }

  // To `out`, which has room for a page, without keeping it.
  PageState copy_page(uint64_t pfn, uint8_t* out) noexcept {
    const PageView view = reader->page({pfn});
    if (view.state != PageState::present) return view.state;
    const bool copied = touch_guarded([&] { std::memcpy(out, view.bytes.data(), page_size); });
    return copied ? PageState::present : PageState::unreadable;
  }

  bool is_bulk(size_t size) const { return size / page_size >= bulk_pages; }

  ReadResult read(PhysAddr pa, MutableBytes out, bool bulk) noexcept {
    size_t done = 0;
    while (done < out.size()) {
      const uint64_t at = pa.value + done;
      const uint64_t pfn = at >> page_shift, within = at & (page_size - 1);
      const size_t n = std::min<size_t>(out.size() - done, page_size - within);
      if (bulk && n == page_size) {
        const PageState state = copy_page(pfn, out.data() + done);
        if (state != PageState::present) return {to_read_status(state), done, at};
      } else {
        const Slot& slot = page(pfn);
        if (slot.state != PageState::present) return {to_read_status(slot.state), done, at};
        std::memcpy(out.data() + done, slot.bytes + within, n);
      }
      done += n;
    }
    return {ReadStatus::ok, done, 0};
  }

  std::unique_ptr<PageReader> reader;
  uint32_t page_size;
  unsigned page_shift;
  std::vector<Slot> slots;
  std::unique_ptr<uint8_t[]> arena;  // untouched until used: an unused slot costs no memory
  std::array<Mapping, translations> mappings;
};

KernelMemory::KernelMemory(const Dump& dump) : dump_(dump), arch_(&arch_of(dump)) {
  install_bus_error_handler();
  if (dump.vmcoreinfo().empty()) {
    throw Error(Errc::missing, "the dump has no VMCOREINFO, which address translation needs");
  }
  // Larger than any kernel's; the cache is sized by it before the architecture has its say.
  constexpr uint32_t largest_page = uint32_t{1} << 20;
  const uint32_t page_size = dump.info().page_size;
  if (!is_power_of_two(page_size) || page_size > largest_page) {
    throw Error(Errc::format, fmt::format("a page size of {} bytes cannot be", page_size));
  }
  cache_ = std::make_unique<Cache>(dump);
  translator_ = arch_->make_translator(dump.vmcoreinfo(), dump.info().page_size, *this);
}

KernelMemory::~KernelMemory() = default;

void KernelMemory::forget_pages() noexcept {
  for (Cache::Slot& slot : cache_->slots) slot.pfn = ~uint64_t{0};
}

const VaLayout& KernelMemory::layout() const {
  return translator_->layout();
}

Translation KernelMemory::translate(VirtAddr va) noexcept {
  const uint64_t page = va.value >> cache_->page_shift;
  const uint64_t within = va.value & (cache_->page_size - 1);
  Cache::Mapping& mapping = cache_->mappings[page % Cache::translations];
  if (mapping.page != page) {
    Translation found = translator_->translate({page << cache_->page_shift});
    if (!found) return found;
    mapping = {page, found.pa, found.contiguous};
  }
  return {Translation::Status::mapped, mapping.pa + within, mapping.contiguous - within};
}

ReadResult KernelMemory::read(PhysAddr pa, MutableBytes out) noexcept {
  return cache_->read(pa, out, cache_->is_bulk(out.size()));
}

ReadResult KernelMemory::read(VirtAddr va, MutableBytes out) noexcept {
  const bool bulk = cache_->is_bulk(out.size());
  size_t done = 0;
  while (done < out.size()) {
    const VirtAddr at = va + done;
    const Translation t = translate(at);
    if (!t) return {to_read_status(t.status), done, at.value};
    const size_t n = std::min<size_t>(out.size() - done, t.contiguous);
    const ReadResult part = cache_->read(t.pa, out.subspan(done, n), bulk);
    done += part.bytes;
    if (!part) return {part.status, done, va.value + done};
  }
  return {ReadStatus::ok, done, 0};
}

std::optional<uint8_t> KernelMemory::u8(VirtAddr va) noexcept {
  return load<uint8_t>(va);
}
std::optional<uint16_t> KernelMemory::u16(VirtAddr va) noexcept {
  return load<ul16>(va);
}
std::optional<uint32_t> KernelMemory::u32(VirtAddr va) noexcept {
  return load<ul32>(va);
}
std::optional<uint64_t> KernelMemory::u64(VirtAddr va) noexcept {
  return load<ul64>(va);
}
std::optional<VirtAddr> KernelMemory::pointer(VirtAddr va) noexcept {
  std::optional<ul64> value = load<ul64>(va);
  if (!value) return std::nullopt;
  return VirtAddr{*value};
}

std::optional<std::string> KernelMemory::string(VirtAddr va, size_t limit) noexcept {
  std::string text;
  // To the end of each page at a time: what follows the terminator need not be readable.
  for (bool first = true; text.size() < limit; first = false) {
    const VirtAddr at = va + text.size();
    const size_t to_page_end = cache_->page_size - (at.value & (cache_->page_size - 1));
    std::array<uint8_t, 256> chunk;
    const size_t n = std::min({limit - text.size(), to_page_end, chunk.size()});
    if (!read(at, {chunk.data(), n})) return first ? std::nullopt : std::optional(std::move(text));
    const std::string_view part = as_text({chunk.data(), n});
    const size_t nul = part.find('\0');
    text.append(part.substr(0, nul));
    if (nul != std::string_view::npos) break;
  }
  return text;
}

void KernelMemory::require(VirtAddr va, MutableBytes out, std::string_view what) {
  const ReadResult result = read(va, out);
  if (result) return;
  throw Error(Errc::fault,
              fmt::format("{}: address {:#018x}: {}", what, result.address, to_string(result.status)),
              result.address);
}

std::string_view to_string(WalkEnd end) {
  switch (end) {
    case WalkEnd::complete:
      return "complete";
    case WalkEnd::stopped:
      return "stopped";
    case WalkEnd::limit:
      return "too long";
    case WalkEnd::cycle:
      return "circular";
    case WalkEnd::unreadable:
      return "unreadable";
  }
  return "unknown";
}

WalkEnd walk_list(KernelMemory& memory, VirtAddr head, size_t limit,
                  const std::function<bool(VirtAddr)>& visit) {
  std::unordered_set<uint64_t> seen;
  VirtAddr node = head;
  for (;;) {
    // struct list_head { next, prev }
    std::optional<VirtAddr> next = memory.pointer(node);
    if (!next) return WalkEnd::unreadable;
    node = *next;
    if (node == head) return WalkEnd::complete;
    if (!seen.insert(node.value).second) return WalkEnd::cycle;
    if (seen.size() > limit) return WalkEnd::limit;
    if (!visit(node)) return WalkEnd::stopped;
  }
}

}  // namespace kdk
