#include "capture/filter/filter.h"

namespace kdk {

std::optional<unsigned> parse_exclude(std::string_view names) {
  unsigned level = 0;
  while (!names.empty()) {
    size_t comma = names.find(',');
    std::string_view name = names.substr(0, comma);
    names = comma == std::string_view::npos ? std::string_view{} : names.substr(comma + 1);
    if (name == "zero")
      level |= level_zero;
    else if (name == "cache")
      level |= level_cache;
    else if (name == "private")
      level |= level_cache | level_cache_private;
    else if (name == "user")
      level |= level_user;
    else if (name == "free")
      level |= level_free;
    else if (name == "all")
      level |= level_all;
    else if (name != "none")
      return std::nullopt;
  }
  return level;
}

bool excluded(PageClass page_class, unsigned level) {
  switch (page_class) {
    case PageClass::kernel:
    case PageClass::unknown:
      return false;
    case PageClass::free:
    case PageClass::cpu_free:
    case PageClass::unaccepted:
      return (level & level_free) != 0;
    case PageClass::cache:
      return (level & (level_cache | level_cache_private)) != 0;
    case PageClass::cache_private:
      return (level & level_cache_private) != 0;
    case PageClass::anonymous:
    case PageClass::hugetlb:
      return (level & level_user) != 0;
    case PageClass::poisoned:
    case PageClass::offline:
      return true;
  }
  return false;
}

}  // namespace kdk
