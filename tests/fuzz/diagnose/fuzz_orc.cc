// ORC sections as input: byte 0 says whether there is a header (bit 0) and of how many rows the words are cut
// off (rest); then the header's 20 bytes, if any; the rest is as many words and rows as fit.
#include <algorithm>
#include <memory>

#include "core/diagnose/orc.h"

using namespace kdk;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Bytes input(data, size);
  if (input.empty()) return 0;
  const bool has_header = (input[0] & 1) != 0;
  const size_t cut = input[0] >> 1 & 3;
  input = input.subspan(1);
  OrcSections sections;
  sections.ip_address = 0xffffffff82c00000;
  if (has_header) {
    sections.header = input.first(std::min(input.size(), orc_header_size));
    input = input.subspan(sections.header.size());
  }
  const size_t rows = input.size() / (4 + orc_row_size);
  sections.ips = input.first(rows * 4);
  sections.entries = input.subspan(rows * 4, rows * orc_row_size);
  sections.entries = sections.entries.first(sections.entries.size() - std::min(sections.entries.size(), cut));

  std::string why;
  const std::unique_ptr<OrcTable> table = OrcTable::from_sections(sections, &why);
  if (!table) {
    if (why.empty()) __builtin_trap();
    return 0;
  }
  for (uint64_t pc : {uint64_t{0}, sections.ip_address, sections.ip_address + 0x1000, UINT64_MAX}) {
    const std::optional<OrcRule> rule = table->find(pc);
    // What leads on names the register it starts from.
    const bool leads_on = rule && rule->type != OrcType::undefined && rule->type != OrcType::end_of_stack;
    if (rule && leads_on == (rule->sp_reg == OrcReg::undefined)) __builtin_trap();
  }
  return 0;
}
