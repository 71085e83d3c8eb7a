// kallsyms read out of the dump: the kernel's own symbol table, found through VMCOREINFO (keys since v6.0),
// every address encoding and both name-length forms, recognised by decoding `_stext`, never by release.
// Source: kernel/kallsyms.c, scripts/kallsyms.c; the commits are cited where each form is decoded.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/kernel/memory.h"
#include "core/kernel/symbols.h"

namespace kdk {

struct KallsymsResult {
  bool found = false;
  std::string why_not;   // set when !found: which key is absent, which page unreadable, which check failed
  size_t count = 0;      // symbols added
  std::string encoding;  // "absolute", "base-relative", "absolute-percpu", "place-relative"
  bool all = false;      // data symbols too (CONFIG_KALLSYMS_ALL)
};

// Adds vmlinux's kallsyms to `table` (finish() is the caller's). Never throws.
KallsymsResult read_kallsyms(KernelMemory& memory, SymbolTable& table);

// The same from bytes, for unit tests and fuzzing: what the five objects hold. `relative_base` nullopt = not
// known.
struct KallsymsImage {
  uint64_t num_syms = 0;
  Bytes names, token_table, token_index, offsets;
  uint64_t offsets_address = 0;  // place-relative entries count from here
  std::optional<uint64_t> relative_base;
  uint64_t stext = 0;  // VMCOREINFO SYMBOL(_stext)
};
KallsymsResult decode_kallsyms(const KallsymsImage& image, SymbolTable& table);

// Looks names up one by one without making a table of all: for callers that need a few symbols, not the names
// of addresses. Opening costs a few milliseconds, a look-up next to nothing; the table some twenty.
class KallsymsFinder {
 public:
  // nullptr when kallsyms cannot be read or decoded. Never throws.
  static std::unique_ptr<KallsymsFinder> open(KernelMemory& memory);
  // From bytes, which must stay; for tests and fuzzing.
  static std::unique_ptr<KallsymsFinder> open(const KallsymsImage& image);
  ~KallsymsFinder();

  // Address of the symbol of this name: text before data, else the first, as SymbolTable::find().
  std::optional<uint64_t> find(std::string_view name) const;

 private:
  struct Impl;
  explicit KallsymsFinder(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace kdk
