// Symbols of the dumped kernel at run-time addresses (KASLR applied), whatever they were read from.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace kdk {

struct Symbol {
  uint64_t address = 0;
  uint64_t size =
      0;  // bytes; 0 when unknown (kallsyms has none; lookup() then puts the distance to the next)
  std::string_view name;    // points into the table, valid as long as the table; a zero follows
  std::string_view module;  // empty for the kernel itself; a zero follows, too
  char type = '?';          // nm letter
  bool text() const { return type == 't' || type == 'T' || type == 'w' || type == 'W'; }
};

struct SymbolHit {
  Symbol symbol;
  uint64_t offset = 0;  // address - symbol.address
};

// Symbols of the kernel itself, by index in order of address, that stay packed until they are asked for. Of some
// hundred thousand, a trace needs a few dozen.
class PackedSymbols {
 public:
  static constexpr size_t max_name = 1024;  // KSYM_NAME_LEN is 512, 128 before v6.1
  virtual ~PackedSymbols() = default;
  virtual size_t size() const = 0;
  virtual uint64_t address(size_t index) const = 0;
  virtual char type(size_t index) const = 0;
  // Unpacks a name into `out`; never empty.
  virtual std::string_view name(size_t index, std::array<char, max_name>& out) const = 0;
  // All of this name, in order.
  virtual std::vector<uint32_t> find(std::string_view name) const = 0;
};

// Sorted by address; several names may share one address. Then lookup() prefers text, then a name that is not
// weak, then the first added: kallsyms is in that order, so the answer is the name that the kernel's own
// traces print. Not thread-safe (names are unpacked, and the index by name is built, when first needed).
class SymbolTable {
 public:
  SymbolTable();

  // Symbols of the kernel, as if they had been added before all others. Once.
  void set_packed(std::shared_ptr<const PackedSymbols> packed);
  // Adds a symbol; call finish() once after the last. `module` "" = kernel. Several sources may add the same
  // symbol: finish() keeps one entry per address, name and module, with the size if any source knew it.
  void add(uint64_t address, uint64_t size, char type, std::string_view name, std::string_view module = {});
  // A hint that `count` symbols will be added.
  void reserve(size_t count);
  // Declares [begin, end) as an address range of `module` ("" = kernel): once there is a range, addresses
  // outside every range resolve to nothing, and the last symbol of a range ends with it. A module may have
  // several.
  void add_range(uint64_t begin, uint64_t end, std::string_view module);
  // Sorts what was added since the last finish(); cheap when it came in address order.
  void finish();

  bool empty() const { return entries_.empty() && !packed_; }
  // The symbol that contains `address`: nearest at or below it in the same range, not beyond its size when
  // known. nullopt when none.
  std::optional<SymbolHit> lookup(uint64_t address) const;
  // First symbol of this name (kernel before modules, text before data when several).
  std::optional<Symbol> find(std::string_view name) const;
  // All symbols of this name, in that same order.
  std::vector<Symbol> find_all(std::string_view name) const;
  // For listing: how many there are, and the i-th in order of address. Unpacks all that is packed.
  size_t size();
  Symbol at(size_t index);

 private:
  struct Entry {
    uint64_t address;
    uint64_t size;
    const char* name;  // in chunks_
    uint32_t name_length;
    uint16_t module;
    char type;
    std::string_view text() const { return {name, name_length}; }
  };
  struct Range {
    uint64_t begin, end;
    uint16_t module;
  };
  Symbol symbol(const Entry& e) const { return {e.address, e.size, e.text(), modules_[e.module], e.type}; }
  uint16_t module_index(std::string_view name);
  const char* keep_name(std::string_view name) const;
  Entry packed_entry(size_t index) const;
  size_t packed_after(uint64_t address) const;
  void unpack();
  const Range* range_of(uint64_t address) const;
  size_t name_bucket(std::string_view name) const;
  void build_name_index() const;

  // Names live in chunks that never move, so that string_views handed out stay valid while symbols are added.
  mutable std::vector<std::unique_ptr<char[]>> chunks_;
  mutable char* chunk_next_ = nullptr;
  mutable size_t chunk_left_ = 0;
  std::shared_ptr<const PackedSymbols> packed_;
  mutable std::unordered_map<size_t, std::string_view> unpacked_;  // names of packed_, by index
  std::deque<std::string> modules_;  // [0] is ""; a deque keeps its strings in place
  std::vector<Entry> entries_;
  size_t sorted_ = 0;  // entries_[0, sorted_) are in order; the rest was added since
  std::vector<Range> ranges_;
  // Index by name, built on first use (empty = not built): first entry of each hash bucket, next of the same
  // bucket.
  static constexpr uint32_t no_entry = UINT32_MAX;
  mutable std::vector<uint32_t> name_heads_, name_next_;
};

}  // namespace kdk
