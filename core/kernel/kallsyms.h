// kallsyms read out of the dump: the kernel's own symbol table, found through VMCOREINFO (keys since v6.0),
// every address encoding and both name-length forms, recognised by decoding `_stext`, never by release.
// Source: kernel/kallsyms.c, scripts/kallsyms.c; the commits are cited where each form is decoded.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

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

// What the five objects hold.
struct KallsymsImage {
  uint64_t num_syms = 0;
  Bytes names, token_table, token_index, offsets;
  uint64_t offsets_address = 0;  // place-relative entries count from here
  std::optional<uint64_t> relative_base;  // nullopt: not known
  uint64_t stext = 0;  // VMCOREINFO SYMBOL(_stext)
};
// The tables, recognised, with their names left packed: opening costs two or three milliseconds, a look-up next to
// nothing; unpacking all would cost some twenty.
class Kallsyms : public PackedSymbols {
 public:
  // nullptr sets `why`: which key is absent, which page unreadable, which check failed. Never throws.
  static std::shared_ptr<const Kallsyms> open(KernelMemory& memory, std::string& why);
  // From bytes, which must stay; for tests and fuzzing.
  static std::shared_ptr<const Kallsyms> open(const KallsymsImage& image, std::string& why);
  ~Kallsyms() override;

  std::string_view encoding() const;
  // Address of the symbol of this name: text before data, else the first, as SymbolTable::find().
  std::optional<uint64_t> address_of(std::string_view name) const;

  // PackedSymbols
  size_t size() const override;
  uint64_t address(size_t index) const override;
  char type(size_t index) const override;
  std::string_view name(size_t index, std::array<char, max_name>& out) const override;
  std::vector<uint32_t> find(std::string_view name) const override;

 private:
  struct Impl;
  explicit Kallsyms(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Puts the symbols into `table`, with the ranges that they cover (finish() is the caller's).
KallsymsResult add_kallsyms(const std::shared_ptr<const Kallsyms>& kallsyms, SymbolTable& table);

}  // namespace kdk
