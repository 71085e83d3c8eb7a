// Which classes of pages a dump level leaves out, numbered as makedumpfile's users know them.
#pragma once

#include <optional>
#include <string_view>

#include "core/kernel/page_classes.h"

namespace kdk {

// Bits of a dump level, numbered as makedumpfile's -d.
enum LevelBit : unsigned {
  level_zero = 1,
  level_cache = 2,          // page cache without private data
  level_cache_private = 4,  // all page cache (implies level_cache)
  level_user = 8,           // anonymous memory and huge pages
  level_free = 16,
  level_all = 31,
};

// "zero,cache,private,user,free" (any subset, also "none" and "all") to a level; nullopt names nothing known.
std::optional<unsigned> parse_exclude(std::string_view names);

// True when `level` leaves pages of this class out. Poisoned and offline pages are left out at every level.
bool excluded(PageClass page_class, unsigned level);

}  // namespace kdk
