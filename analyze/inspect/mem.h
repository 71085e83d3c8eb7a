// What `mem` answers: memory as a whole, slab caches, areas of vmalloc space, or whose some addresses are.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "analyze/inspect/memory.h"
#include "analyze/inspect/owner.h"
#include "analyze/inspect/slab_table.h"
#include "analyze/inspect/vmalloc.h"

namespace kdk {

struct AddressOwner {
  std::string query;  // escaped
  Owner owner;
  std::optional<bool> in_use;      // slab object: allocated or free
  std::optional<uint64_t> linear;  // the same byte in the linear map, where the address is another
  std::string page_state;          // of the page in the dump: "present", "excluded", ...
  std::string error;               // the query is no address; escaped
};

struct MemoryAnswer {
  std::optional<MemorySummary> summary;
  std::optional<SlabTable> slabs;
  struct Area {
    VmapArea area;
    std::string caller;  // "symbol+0x10"; escaped
  };
  std::optional<std::vector<Area>> areas;
  std::vector<AddressOwner> addresses;
  std::vector<std::string> problems;
};

}  // namespace kdk
