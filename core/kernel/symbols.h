// Symbols of the dumped kernel at run-time addresses (KASLR applied), whatever they were read from.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/types.h"

namespace kdk {

struct Symbol {
  uint64_t address = 0;
  uint64_t size = 0;         // bytes; 0 when unknown (kallsyms has none: the next symbol ends it)
  std::string_view name;     // points into the table
  std::string_view module;   // empty for the kernel itself
  char type = '?';           // nm letter
  bool text() const { return type == 't' || type == 'T' || type == 'w' || type == 'W'; }
};

struct SymbolHit {
  Symbol symbol;
  uint64_t offset = 0;  // address - symbol.address
};

// Sorted by address; several names may share one address (the first added global text name is preferred).
class SymbolTable {
 public:
  // Adds a symbol; call finish() once after the last. `module` "" = kernel.
  void add(uint64_t address, uint64_t size, char type, std::string_view name, std::string_view module = {});
  // Declares [begin, end) as the address range of `module` ("" = kernel): addresses outside every range resolve to
  // nothing, and the last symbol of a range ends with it.
  void add_range(uint64_t begin, uint64_t end, std::string_view module);
  void finish();

  size_t size() const { return entries_.size(); }
  bool empty() const { return entries_.empty(); }
  // The symbol that contains `address`: nearest at or below it in the same range, not beyond its size when known.
  // A text symbol is preferred over data at the same address. nullopt when none.
  std::optional<SymbolHit> lookup(uint64_t address) const;
  // First symbol of this name (kernel before modules, text before data when several).
  std::optional<Symbol> find(std::string_view name) const;
  std::vector<Symbol> find_all(std::string_view name) const;
  // The i-th symbol in address order, for listing.
  Symbol at(size_t index) const;

 private:
  struct Entry {
    uint64_t address;
    uint64_t size;
    uint32_t name_offset;
    uint32_t name_length;
    uint16_t module;
    char type;
  };
  struct Range {
    uint64_t begin, end;
    uint16_t module;
  };
  Symbol symbol(const Entry& e) const;
  uint16_t module_index(std::string_view name);

  std::string names_;                 // all names, back to back
  std::vector<std::string> modules_;  // [0] is ""
  std::vector<Entry> entries_;
  std::vector<Range> ranges_;
  std::vector<uint32_t> by_name_;     // entry indexes sorted by name
};

}  // namespace kdk
