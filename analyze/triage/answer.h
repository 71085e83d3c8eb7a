// What every answer carries beside its facts: which dump it is of, what it rests on, what could not be known.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "analyze/symbols/module_facts.h"
#include "core/formats/dump.h"
#include "core/kernel/kallsyms.h"

namespace kdk {

// Something the report could not know. `code` is stable (schemas/README.md lists them); `path` is a JSON
// pointer to what is null, incomplete or doubtful because of it.
struct Limit {
  std::string path;
  std::string code;
  std::string detail;   // why, one sentence
  std::string need;     // what would help; may be empty
  bool damage = false;  // the input is damaged or incomplete there: exit code 3
};

struct InputFacts {
  std::vector<std::string> files;
  DumpInfo dump;
  std::string architecture;               // empty: not recognised
  uint64_t ram_bytes = 0;                 // RAM the dump knows of, present or filtered out
  std::optional<uint64_t> present_bytes;  // of it, in the dump; counted by `info` only
  size_t cpu_notes = 0;                   // NT_PRSTATUS notes
  bool vmcoreinfo = false;
  std::vector<std::string> erased;  // from the dump when it was written, by its own record
};

// What the answers rest on. T0: notes and VMCOREINFO. T1: symbols out of the dump. T2: a matching vmlinux
// with DWARF.
struct Evidence {
  std::string tier = "T0";
  KallsymsResult kallsyms;
  bool types = false;        // struct layouts are known
  std::string types_source;  // "dump", "vmlinux" or empty
  std::string vmlinux;       // path in use; empty: none
  std::string vmlinux_build_id;
  std::string vmlinux_match;  // "build-id", "banner"
  std::string vmlinux_debug_file;  // the separate file with its DWARF; empty: it has its own, or none
  std::vector<std::string> vmlinux_tried, vmlinux_refused;
  std::vector<ModuleDebugFacts> modules;  // whose debug files were looked for
};

// True when a limit says that the input is damaged or incomplete: the programs then end with exit_partial.
bool partial(const std::vector<Limit>& limits);

// The answer to a question that one walker of analyze/inspect answers; its `Facts` are that walker's.
template <typename Facts>
struct Answer {
  InputFacts input;
  Evidence evidence;
  Facts facts;
  std::vector<Limit> limits;
};

}  // namespace kdk
