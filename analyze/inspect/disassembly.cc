#include "analyze/inspect/disassembly.h"

#include <fmt/format.h>

#include <algorithm>

#include "analyze/inspect/disassembler.h"
#include "core/base/error.h"
#include "core/base/log.h"

namespace kdk {
namespace {

constexpr uint64_t most_bytes = uint64_t{1} << 20;  // of one function; real: some 20 KiB
constexpr uint64_t most_instructions = 100'000;
constexpr unsigned longest_instruction = 15;  // of x86; arm64 has 4

std::string symbol_text(Kernel& kernel, uint64_t address) {
  const auto hit = kernel.symbols().lookup(address);
  if (!hit) return {};
  std::string out = escape_untrusted(hit->symbol.name);
  if (hit->offset != 0) out += fmt::format("+{:#x}", hit->offset);
  if (!hit->symbol.module.empty()) out += fmt::format(" [{}]", escape_untrusted(hit->symbol.module));
  return out;
}

// A text that code points to, as messages are; "" when it is none.
std::string text_at(KernelMemory& memory, uint64_t address) {
  constexpr size_t shortest = 4, longest = 48;
  const auto text = memory.string({address}, longest + 1);
  if (!text || text->size() < shortest) return {};
  std::string_view shown = *text;
  // Messages may begin with their level (include/linux/kern_levels.h: KERN_SOH and a digit).
  if (shown[0] == '\x01') shown.remove_prefix(2);
  const bool plain =
      std::ranges::all_of(shown, [](char c) { return (c >= 0x20 && c < 0x7f) || c == '\n' || c == '\t'; });
  if (!plain || shown.size() < shortest) return {};
  const bool cut = shown.size() > longest;
  return fmt::format("\"{}\"{}", escape_untrusted(shown.substr(0, longest)), cut ? "..." : "");
}

// What an address in code leads to: a function, a text, a variable. kallsyms knows no sizes, so that far
// behind a variable it is none.
std::string leads_to(Kernel& kernel, uint64_t address) {
  constexpr uint64_t farthest = 64 << 10;
  const auto hit = kernel.symbols().lookup(address);
  if (hit && hit->symbol.text()) return symbol_text(kernel, address);
  std::string text = text_at(kernel.memory(), address);
  if (!text.empty() || !hit || hit->offset >= farthest) return text;
  return symbol_text(kernel, address);
}

bool same(const CodePosition& a, const CodePosition& b) {
  if (a.file != b.file || a.line != b.line || a.inlines.size() != b.inlines.size()) return false;
  return std::equal(a.inlines.begin(), a.inlines.end(), b.inlines.begin(),
                    [](const InlineFrame& x, const InlineFrame& y) {
                      return x.function == y.function && x.file == y.file && x.line == y.line;
                    });
}

}  // namespace

Disassembly disassemble(Kernel& kernel, DisassemblyRequest request, const PositionLookup& position) {
  Disassembly out;
  out.request = std::move(request);
  const DisassemblyRequest& r = out.request;
  const auto decoder = Disassembler::make(kernel.memory().arch());
  if (!decoder) {
    throw Error(Errc::unsupported,
                fmt::format("there is no disassembler for {}", kernel.memory().arch().name()));
  }
  if (const auto hit = kernel.symbols().lookup(r.address)) {
    out.symbol = escape_untrusted(hit->symbol.name);
    out.module = escape_untrusted(hit->symbol.module);
    out.start = hit->symbol.address;
    out.size = hit->symbol.size;
  } else if (!r.count) {
    throw Error(Errc::missing,
                fmt::format("{:#x} is in no symbol: --count says how many instructions to show", r.address));
  }
  uint64_t at = r.count ? r.address : out.start;
  uint64_t end = r.count ? at + std::min(*r.count, most_instructions) * longest_instruction
                         : out.start + std::min(out.size, most_bytes);
  // Whole instructions: the one at the address is shown, too.
  if (r.up_to && !r.count) end = std::min(end, r.address + 1);
  const uint64_t limit = r.count ? std::min(*r.count, most_instructions) : most_instructions;
  std::optional<CodePosition> last;
  std::optional<std::pair<std::string, uint64_t>> page;  // register and value of an ADRP just before
  while (at < end && out.instructions.size() < limit) {
    std::array<uint8_t, 16> buffer{};
    const ReadResult read =
        kernel.memory().read(VirtAddr{at}, MutableBytes(buffer).first(longest_instruction));
    if (read.bytes == 0) {
      out.end = fmt::format("{:#x}: {}", read.address, to_string(read.status));
      return out;
    }
    // What lies behind the function belongs to another; the last instruction is not longer than what is left.
    const uint64_t left = r.count || r.up_to ? read.bytes : std::min<uint64_t>(read.bytes, end - at);
    const Bytes bytes = Bytes(buffer).first(left);
    const DecodedInstruction decoded = decoder->decode(bytes, at);
    Instruction instruction;
    instruction.address = at;
    instruction.bytes.assign(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(decoded.size));
    instruction.text = decoded.text;
    instruction.known = decoded.known;
    instruction.target = decoded.target;
    instruction.constant = decoded.constant;
    // A page, and in the next instruction what is added to it, are one address.
    if (page && decoded.base == page->first && !decoded.page)
      instruction.target = page->second + decoded.displacement;
    if (instruction.target && !decoded.page) instruction.comment = leads_to(kernel, *instruction.target);
    page.reset();
    if (decoded.page && decoded.target && !decoded.registers.empty())
      page.emplace(decoded.registers[0], *decoded.target);
    if (r.lines && position) {
      auto here = position(at);
      if (here && (!last || !same(*last, *here))) instruction.position = here;
      if (here) last = std::move(here);
    }
    at += decoded.size;
    out.instructions.push_back(std::move(instruction));
  }
  if (!r.count && at < end) out.end = fmt::format("more than {} instructions", most_instructions);
  return out;
}

}  // namespace kdk
