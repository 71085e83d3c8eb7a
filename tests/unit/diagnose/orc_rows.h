// Writes ORC tables, independently of the reader: register and type numbers as in the kernels' orc_types.h.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "core/diagnose/orc.h"

namespace kdk::test {

inline unsigned orc_number(OrcReg reg, OrcFormat format) {
  const bool v4 = format == OrcFormat::v4;
  switch (reg) {
    case OrcReg::undefined:
      return 0;
    case OrcReg::ax:
      return v4 ? 1 : 15;  // before v4 there is none
    case OrcReg::dx:
      return 2;
    case OrcReg::di:
      return v4 ? 5 : 3;
    case OrcReg::bp:
      return 4;
    case OrcReg::sp:
      return v4 ? 3 : 5;
    case OrcReg::r10:
      return 6;
    case OrcReg::r13:
      return 7;
    case OrcReg::prev_sp:
      return v4 ? 8 : 1;
    case OrcReg::bp_indirect:
      return v4 ? 10 : 8;
    case OrcReg::sp_indirect:
      return 9;
  }
  return 0;
}

inline std::vector<uint8_t> orc_row(const OrcRule& rule, OrcFormat format) {
  unsigned flags = orc_number(rule.sp_reg, format) | orc_number(rule.bp_reg, format) << 4;
  const auto type = static_cast<unsigned>(rule.type);  // numbered as in v3
  const bool end = rule.type == OrcType::end_of_stack;
  if (format == OrcFormat::v3 || format == OrcFormat::v4) {
    flags |= type << 8 | (rule.signal ? 1 : 0) << 11;
  } else {
    if (type >= 2) flags |= (type - 2) << 8;
    if (format == OrcFormat::v1) flags |= (end ? 1 : 0) << 10;
    if (format == OrcFormat::v2) flags |= (rule.signal ? 1 : 0) << 10 | (end ? 1 : 0) << 11;
  }
  std::vector<uint8_t> row;
  for (unsigned v : {static_cast<unsigned>(rule.sp_offset), static_cast<unsigned>(rule.bp_offset), flags}) {
    row.push_back(static_cast<uint8_t>(v));
    row.push_back(static_cast<uint8_t>(v >> 8));
  }
  return row;
}

struct OrcBytes {
  std::vector<uint8_t> ips, rows;
};

// One row per {pc, rule}, in the order given; the words are for a table at `ip_address`.
inline OrcBytes orc_table(const std::vector<std::pair<uint64_t, OrcRule>>& rules, OrcFormat format,
                          uint64_t ip_address) {
  OrcBytes bytes;
  for (const auto& [pc, rule] : rules) {
    const auto distance = static_cast<uint32_t>(pc - (ip_address + bytes.ips.size()));
    for (unsigned shift = 0; shift < 32; shift += 8)
      bytes.ips.push_back(static_cast<uint8_t>(distance >> shift));
    const std::vector<uint8_t> row = orc_row(rule, format);
    bytes.rows.insert(bytes.rows.end(), row.begin(), row.end());
  }
  return bytes;
}

// Rules as the kernel has them most.
inline OrcRule orc_call(OrcReg sp_reg, int16_t sp_offset, OrcReg bp_reg = OrcReg::undefined,
                        int16_t bp_offset = 0) {
  return {OrcType::call, sp_reg, bp_reg, sp_offset, bp_offset, false};
}
inline OrcRule orc_regs(OrcType type = OrcType::regs, OrcReg sp_reg = OrcReg::sp, int16_t sp_offset = 0) {
  return {type, sp_reg, OrcReg::undefined, sp_offset, 0, true};
}
inline OrcRule orc_end() {
  return {.type = OrcType::end_of_stack};
}

inline std::vector<uint8_t> orc_header(OrcFormat format) {
  switch (format) {
    case OrcFormat::v1:
      return {};
    case OrcFormat::v2:
      return {0xdb, 0x84, 0xae, 0xd4, 0x10, 0x3b, 0x31, 0xdd, 0x51, 0xe0,
              0x17, 0xf8, 0xf7, 0x97, 0x83, 0xca, 0x98, 0x5c, 0x2c, 0x51};
    case OrcFormat::v3:
      return {0xfe, 0x5d, 0x32, 0xbf, 0x58, 0x1b, 0xd6, 0x3b, 0x2c, 0xa9,
              0xa5, 0xc6, 0x5b, 0xa5, 0xa6, 0x25, 0xea, 0xb3, 0xfe, 0x24};
    case OrcFormat::v4:
      return {0x13, 0x7c, 0x36, 0xad, 0x76, 0x27, 0xc4, 0xdd, 0x55, 0x93,
              0x21, 0x76, 0xbb, 0x0e, 0xcd, 0xbd, 0x50, 0x41, 0xfc, 0x82};
  }
  return {};
}

constexpr OrcFormat all_orc_formats[] = {OrcFormat::v1, OrcFormat::v2, OrcFormat::v3, OrcFormat::v4};

}  // namespace kdk::test
