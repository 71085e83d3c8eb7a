#include "core/kernel/symbols.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <functional>
#include <limits>
#include <utility>

namespace kdk {
namespace {

constexpr size_t chunk_bytes = size_t{1} << 18;
// Real kernels have some dozens of names at one address; a hostile table must not make work quadratic.
constexpr size_t max_aliases = 64;

// Lower is better among symbols of one address; see the class comment.
int address_rank(char type) {
  if (type == 't' || type == 'T') return 0;
  if (type == 'w' || type == 'W') return 1;
  return 2;
}

}  // namespace

SymbolTable::SymbolTable() {
  modules_.emplace_back();
}

uint16_t SymbolTable::module_index(std::string_view name) {
  // Callers add module by module: the last one is nearly always the one.
  for (size_t i = modules_.size(); i-- > 0;) {
    if (modules_[i] == name) return static_cast<uint16_t>(i);
  }
  // More modules than any machine has: their symbols stay, under the name of the last one that fits.
  if (modules_.size() == std::numeric_limits<uint16_t>::max())
    return static_cast<uint16_t>(modules_.size() - 1);
  modules_.emplace_back(name);
  return static_cast<uint16_t>(modules_.size() - 1);
}

void SymbolTable::reserve(size_t count) {
  entries_.reserve(entries_.size() + count);
}

void SymbolTable::set_packed(std::shared_ptr<const PackedSymbols> packed) {
  packed_ = std::move(packed);
}

const char* SymbolTable::keep_name(std::string_view name) const {
  // A zero behind each, so that a name can be handed to C.
  const size_t bytes = name.size() + 1;
  if (bytes > chunk_left_) {
    chunk_left_ = std::max(chunk_bytes, bytes);
    chunks_.push_back(std::make_unique_for_overwrite<char[]>(chunk_left_));
    chunk_next_ = chunks_.back().get();
  }
  char* const kept = chunk_next_;
  std::memcpy(kept, name.data(), name.size());
  kept[name.size()] = '\0';
  chunk_next_ += bytes;
  chunk_left_ -= bytes;
  return kept;
}

void SymbolTable::add(uint64_t address, uint64_t size, char type, std::string_view name,
                      std::string_view module) {
  if (name.empty()) return;
  uint16_t index = module.empty() ? uint16_t{0} : module_index(module);
  entries_.push_back({address, size, keep_name(name), static_cast<uint32_t>(name.size()), index, type});
}

SymbolTable::Entry SymbolTable::packed_entry(size_t index) const {
  const auto [known, fresh] = unpacked_.try_emplace(index);
  if (fresh) {
    std::array<char, PackedSymbols::max_name> text;
    const std::string_view name = packed_->name(index, text);
    known->second = {keep_name(name), name.size()};
  }
  const std::string_view name = known->second;
  return {packed_->address(index), 0, name.data(), static_cast<uint32_t>(name.size()), 0, packed_->type(index)};
}

// Index of the first packed symbol above `address`.
size_t SymbolTable::packed_after(uint64_t address) const {
  size_t low = 0, high = packed_ ? packed_->size() : 0;
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    if (packed_->address(middle) <= address) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

void SymbolTable::unpack() {
  if (!packed_) return;
  std::vector<Entry> all;
  all.reserve(packed_->size() + entries_.size());
  for (size_t i = 0; i < packed_->size(); ++i) all.push_back(packed_entry(i));
  all.insert(all.end(), entries_.begin(), entries_.end());
  entries_ = std::move(all);
  packed_.reset();
  unpacked_.clear();
  sorted_ = 0;
  finish();
}

size_t SymbolTable::size() {
  unpack();
  return entries_.size();
}

Symbol SymbolTable::at(size_t index) {
  unpack();
  return symbol(entries_.at(index));
}

void SymbolTable::add_range(uint64_t begin, uint64_t end, std::string_view module) {
  if (begin < end) ranges_.push_back({begin, end, module_index(module)});
}

void SymbolTable::finish() {
  std::sort(ranges_.begin(), ranges_.end(), [](const Range& a, const Range& b) { return a.begin < b.begin; });
  // Overlapping ranges of one module become one: a vmlinux adds the whole image to what kallsyms covered.
  size_t merged = 0;
  for (const Range& r : ranges_) {
    if (merged > 0 && ranges_[merged - 1].module == r.module && r.begin <= ranges_[merged - 1].end) {
      ranges_[merged - 1].end = std::max(ranges_[merged - 1].end, r.end);
    } else {
      ranges_[merged++] = r;
    }
  }
  ranges_.resize(merged);
  if (sorted_ == entries_.size()) return;
  auto by_address = [](const Entry& a, const Entry& b) { return a.address < b.address; };
  // Stable: within one address the order of adding is kept.
  auto middle = entries_.begin() + static_cast<std::ptrdiff_t>(sorted_);
  if (!std::is_sorted(middle, entries_.end(), by_address))
    std::stable_sort(middle, entries_.end(), by_address);
  std::inplace_merge(entries_.begin(), middle, entries_.end(), by_address);

  // Drop what several sources said twice. Groups of one address are small.
  size_t group = 0, kept = 0;
  for (size_t i = 0; i < entries_.size(); ++i) {
    Entry e = entries_[i];
    if (kept == 0 || entries_[kept - 1].address != e.address) group = kept;
    group = std::max(group, kept - std::min(kept, max_aliases));
    Entry* same = nullptr;
    for (size_t k = group; k < kept && !same; ++k) {
      if (entries_[k].module == e.module && entries_[k].text() == e.text()) same = &entries_[k];
    }
    if (same) {
      if (same->size == 0) same->size = e.size;
    } else {
      entries_[kept++] = e;
    }
  }
  entries_.resize(kept);
  sorted_ = kept;
  name_heads_.clear();
}

const SymbolTable::Range* SymbolTable::range_of(uint64_t address) const {
  auto it = std::upper_bound(ranges_.begin(), ranges_.end(), address,
                             [](uint64_t a, const Range& r) { return a < r.begin; });
  if (it == ranges_.begin()) return nullptr;
  --it;
  return address < it->end ? &*it : nullptr;
}

std::optional<SymbolHit> SymbolTable::lookup(uint64_t address) const {
  const Range* range = range_of(address);
  if (!range && !ranges_.empty()) return std::nullopt;
  const auto end_of_sorted = entries_.begin() + static_cast<std::ptrdiff_t>(sorted_);
  const auto after = std::upper_bound(entries_.begin(), end_of_sorted, address,
                                      [](uint64_t a, const Entry& e) { return a < e.address; });
  const size_t after_packed = packed_after(address);
  if (after == entries_.begin() && after_packed == 0) return std::nullopt;
  uint64_t start = after == entries_.begin() ? 0 : std::prev(after)->address;
  if (after_packed != 0) start = std::max(start, packed_->address(after_packed - 1));
  if (range && start < range->begin) return std::nullopt;

  std::optional<Entry> best;
  uint64_t known_size = 0;  // an alias may know the size that the best name does not
  size_t aliases = 0;
  for (auto it = after; it != entries_.begin() && std::prev(it)->address == start && aliases < max_aliases;
       ++aliases) {
    --it;
    if (range && it->module != range->module) continue;
    known_size = std::max(known_size, it->size);
    // Walking backwards: <= lets the first added win.
    if (!best || address_rank(it->type) <= address_rank(best->type)) best = *it;
  }
  std::optional<size_t> best_packed;  // these are first, before what was added
  char best_type = best ? best->type : '?';
  for (size_t i = after_packed; i != 0 && aliases < max_aliases && packed_->address(i - 1) == start; ++aliases) {
    --i;
    if (range && range->module != 0) break;
    const char type = packed_->type(i);
    if ((best || best_packed) && address_rank(type) > address_rank(best_type)) continue;
    best_packed = i;
    best_type = type;
  }
  if (best_packed) best = packed_entry(*best_packed);
  if (!best) return std::nullopt;
  const uint64_t offset = address - start;
  if (known_size != 0 && offset >= known_size) return std::nullopt;

  SymbolHit hit{symbol(*best), offset};
  if (hit.symbol.size == 0) hit.symbol.size = known_size;
  if (hit.symbol.size == 0) {
    // To the next symbol. The last of a range ends with it; of the last of all nothing is known.
    std::optional<uint64_t> end;
    const auto ends_at = [&end](uint64_t where) { end = std::min(where, end.value_or(where)); };
    if (range) ends_at(range->end);
    if (after != end_of_sorted) ends_at(after->address);
    if (packed_ && after_packed < packed_->size()) ends_at(packed_->address(after_packed));
    hit.symbol.size = end.value_or(start) - start;
  }
  return hit;
}

void SymbolTable::build_name_index() const {
  if (!name_heads_.empty()) return;
  name_heads_.assign(std::bit_ceil(sorted_ + 1), no_entry);
  name_next_.resize(sorted_);
  // Backwards, so that each chain is in order of address.
  for (size_t i = sorted_; i-- > 0;) {
    uint32_t& head = name_heads_[name_bucket(entries_[i].text())];
    name_next_[i] = std::exchange(head, static_cast<uint32_t>(i));
  }
}

size_t SymbolTable::name_bucket(std::string_view name) const {
  return std::hash<std::string_view>{}(name) & (name_heads_.size() - 1);
}

std::vector<Symbol> SymbolTable::find_all(std::string_view name) const {
  std::vector<Symbol> found;
  if (packed_) {
    for (uint32_t index : packed_->find(name)) found.push_back(symbol(packed_entry(index)));
  }
  const size_t packed = found.size();
  build_name_index();
  for (uint32_t i = name_heads_[name_bucket(name)]; i != no_entry; i = name_next_[i]) {
    const Entry& entry = entries_[i];
    if (entry.text() != name) continue;
    const auto packed_end = found.begin() + static_cast<std::ptrdiff_t>(std::min(packed, max_aliases));
    const auto same = std::find_if(found.begin(), packed_end, [&](const Symbol& s) {
      return entry.module == 0 && s.address == entry.address;
    });
    if (same == packed_end) {
      found.push_back(symbol(entry));
    } else if (same->size == 0) {
      same->size = entry.size;
    }
  }
  std::stable_sort(found.begin(), found.end(), [](const Symbol& a, const Symbol& b) {
    if (a.module.empty() != b.module.empty()) return a.module.empty();
    if (address_rank(a.type) != address_rank(b.type)) return address_rank(a.type) < address_rank(b.type);
    return a.address < b.address;
  });
  return found;
}

std::optional<Symbol> SymbolTable::find(std::string_view name) const {
  std::vector<Symbol> all = find_all(name);
  if (all.empty()) return std::nullopt;
  return all.front();
}

}  // namespace kdk
