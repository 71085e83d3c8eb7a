// Where vmlinux's BTF is in a dump. Source: include/asm-generic/vmlinux.lds.h (RO_DATA: .BTF follows
// .rodata).
#include <fmt/format.h>

#include <algorithm>

#include "core/kernel/btf.h"
#include "core/kernel/memory.h"

namespace kdk {
namespace {

constexpr uint64_t max_btf_bytes = uint64_t{64} << 20;   // real: 4 to 6 MB
constexpr uint64_t max_scan_bytes = uint64_t{96} << 20;  // from the end of the text; real: 6 to 12 MB
constexpr int max_candidates = 16;  // headers that look right; hostile memory can be full of them
constexpr uint64_t scan_block = uint64_t{256} << 10;
// magic, version 1, flags 0, hdr_len 24: how every struct btf_header in use begins.
constexpr std::string_view header_start("\x9f\xeb\x01\x00\x18\x00\x00\x00", 8);

std::unique_ptr<Btf> read_and_parse(KernelMemory& memory, uint64_t address, uint64_t size, std::string& why) {
  std::vector<uint8_t> data(size);
  if (ReadResult r = memory.read(VirtAddr{address}, data); !r) {
    why = fmt::format("BTF at {:#x}: address {:#x}: {}", address, r.address, to_string(r.status));
    return nullptr;
  }
  try {
    return Btf::parse(std::move(data));
  } catch (const Error& e) {
    why = fmt::format("at {:#x}: {}", address, e.message());
    return nullptr;
  }
}

// The header at `address` says how long the whole is; 0 when it cannot be.
uint64_t size_from_header(KernelMemory& memory, uint64_t address) {
  struct Lengths {
    ul32 type_off, type_len, str_off, str_len;
  };
  const auto l = memory.load<Lengths>(VirtAddr{address + header_start.size()});
  if (!l) return 0;
  // Only whole sums of 32-bit values: cannot overflow.
  const uint64_t end = 24 + std::max(uint64_t{l->type_off} + l->type_len, uint64_t{l->str_off} + l->str_len);
  return end <= max_btf_bytes && l->type_len > 0 && l->str_len > 0 ? end : 0;
}

// kallsyms without data symbols (CONFIG_KALLSYMS_ALL=n): look for the header in the image, from the end of
// the text on.
std::unique_ptr<Btf> scan(KernelMemory& memory, uint64_t begin, std::string& why) {
  std::vector<uint8_t> block(scan_block + header_start.size() - 1);
  why = fmt::format("no BTF header in the {} MiB after {:#x}", max_scan_bytes >> 20, begin);
  int candidates = 0;
  for (uint64_t at = begin; at - begin < max_scan_bytes;) {
    const ReadResult r = memory.read(VirtAddr{at}, block);
    // A match may begin in this block and end in the next: blocks overlap by a header less one byte.
    const std::string_view text = as_text({block.data(), r.bytes});
    for (size_t hit = text.find(header_start); hit != std::string_view::npos;
         hit = text.find(header_start, hit + 1)) {
      const uint64_t size = size_from_header(memory, at + hit);
      if (size == 0) continue;
      if (++candidates > max_candidates) return nullptr;
      if (auto btf = read_and_parse(memory, at + hit, size, why)) return btf;
    }
    if (r) {
      at += scan_block;
    } else if (r.status == ReadStatus::unmapped || r.status == ReadStatus::not_kernel) {
      return nullptr;  // the end of the image
    } else {
      at = align_down(r.address, memory.page_size()) + memory.page_size();  // over the page that is not there
    }
  }
  return nullptr;
}

}  // namespace

std::unique_ptr<Btf> find_btf(KernelMemory& memory, const SymbolLookup& symbol, std::string* why_not) {
  std::string why;
  std::unique_ptr<Btf> btf;
  const std::optional<VirtAddr> start = symbol("__start_BTF"), stop = symbol("__stop_BTF");
  if (start && stop && *stop > *start && stop->value - start->value <= max_btf_bytes) {
    btf = read_and_parse(memory, start->value, stop->value - start->value, why);
  } else {
    const std::optional<VirtAddr> text_end = symbol("_etext");
    const std::optional<uint64_t> text_start = memory.vmcoreinfo().symbol("_stext");
    if (text_end || text_start) {
      btf = scan(memory, text_end ? text_end->value : *text_start, why);
    } else {
      why = "neither __start_BTF nor the kernel's text is known";
    }
  }
  if (why_not && !btf) *why_not = why;
  return btf;
}

}  // namespace kdk
