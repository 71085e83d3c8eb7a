// One compilation unit as a DWARF of its own.
//
// libdw cannot go to a unit: it reads the headers of all that come before it, first. In a vmlinux they are
// three thousand, spread over 200 MB, and cost more than everything else a backtrace needs. So it gets an ELF
// file in memory whose .debug_info is the one unit, beside the sections that units share; nothing is copied.
#pragma once

#include <cstdint>
#include <memory>

#include "analyze/symbols/vmlinux.h"

struct Dwarf;

namespace kdk {

class LoneUnit {
 public:
  // The unit whose header is at `offset` of .debug_info, bytes. nullptr: this unit cannot be read alone,
  // because it refers to others (link-time optimisation and dwz make such), sections are compressed, or it is
  // damaged; read the whole file then. `supplement`, which may be nullptr, is what the file's
  // .gnu_debugaltlink names. Both must outlive the unit.
  static std::unique_ptr<LoneUnit> open(const VmlinuxFile& file, uint64_t offset, Dwarf* supplement);
  ~LoneUnit();
  LoneUnit(const LoneUnit&) = delete;
  LoneUnit& operator=(const LoneUnit&) = delete;

  // Of this unit only. DIE offsets count from the unit's beginning.
  Dwarf* dwarf() const;

 private:
  struct Impl;
  explicit LoneUnit(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace kdk
