#include "analyze/inspect/faulting_code.h"

#include <fmt/format.h>

#include <algorithm>

#include "analyze/inspect/disassembler.h"
#include "core/base/log.h"

namespace kdk {

std::optional<FaultingCode> faulting_code(Kernel& kernel, const Registers& registers) {
  KernelMemory& memory = kernel.memory();
  const Arch& arch = memory.arch();
  const auto pc = registers.get(arch.roles().pc);
  const auto decoder = Disassembler::make(arch);
  if (!pc || !decoder || arch.user_mode(registers)) return std::nullopt;
  // A jump to nowhere has no code: the fault says so.
  constexpr size_t longest = 15;
  std::array<uint8_t, longest> buffer{};
  const ReadResult read = memory.read(VirtAddr{*pc}, buffer);
  if (read.bytes == 0) return std::nullopt;
  const DecodedInstruction decoded = decoder->decode(Bytes(buffer).first(read.bytes), *pc);
  FaultingCode out;
  out.address = *pc;
  out.bytes.assign(buffer.begin(), buffer.begin() + decoded.size);
  out.text = decoded.text;
  out.known = decoded.known;
  if (decoded.target && !decoded.page) {
    if (const auto hit = kernel.symbols().lookup(*decoded.target)) {
      out.comment = escape_untrusted(hit->symbol.name);
      if (hit->offset != 0) out.comment += fmt::format("+{:#x}", hit->offset);
    }
  }
  const auto names = arch.register_names();
  for (const std::string& name : decoded.registers) {
    const auto index = static_cast<size_t>(std::find(names.begin(), names.end(), name) - names.begin());
    const auto value = registers.get(index);
    if (!value) continue;
    out.operands.push_back({name, *value});
    if (name == decoded.base && decoded.memory) out.memory = *value + decoded.displacement;
  }
  return out;
}

}  // namespace kdk
