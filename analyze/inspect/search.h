// Where a value, a string or bytes are in the memory of the dumped machine: all of it that is in the dump, or
// the stacks of tasks only.
//
// Memory is searched page by page in physical order, by several threads: it is then in the order of the file,
// and every page is looked at once however often it is mapped. Whose a place is, is asked for what was found.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "analyze/inspect/owner.h"

namespace kdk {

struct SearchPattern {
  std::string query;  // as it was asked; escaped
  // A value of `unit` bytes, aligned to them, of which the bits of `mask` count; unit 0: bytes at any place.
  unsigned unit = 8;
  uint64_t value = 0;
  uint64_t mask = ~uint64_t{0};
  std::vector<uint8_t> bytes;
};

struct SearchRequest {
  std::vector<SearchPattern> patterns;
  bool stacks = false;
  uint64_t limit = 1000;  // places that are named; all are counted
  unsigned threads = 1;
};

struct SearchHit {
  size_t pattern = 0;  // which of the patterns
  uint64_t physical = 0;
  std::optional<uint64_t> linear;   // in the linear map
  std::optional<uint64_t> used_as;  // as the kernel uses it: image, vmalloc area, else the linear map
  uint64_t value = 0;               // what is there; of bytes: the first 8
  Owner owner;
};

struct SearchResult {
  SearchRequest request;
  std::vector<SearchHit> hits;  // by physical address; of stacks: by task
  uint64_t total = 0;
  uint64_t pages_searched = 0, pages_absent = 0, pages_unreadable = 0;
  std::vector<std::string> problems;
};

constexpr uint64_t most_search_hits = 1'000'000;

SearchResult search_memory(Kernel& kernel, OwnerFinder& owners, SearchRequest request);

}  // namespace kdk
