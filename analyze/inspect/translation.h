// How an address is translated: each step through the page tables, the physical address, the page frame.
#pragma once

#include <cstdint>
#include <kdumpkit/kdumpkit.hpp>
#include <optional>
#include <string>
#include <vector>

#include "analyze/inspect/owner.h"

namespace kdk {

struct TranslationRequest {
  std::string query;  // as it was asked; escaped
  uint64_t address = 0;
  bool physical = false;        // `address` is one: where is it mapped?
  std::optional<int32_t> task;  // through the tables of this task
};

struct AddressTranslation {
  TranslationRequest request;
  std::string comm;                  // of the task; escaped
  std::optional<uint64_t> task, mm;  // task_struct and mm_struct whose tables these are
  std::optional<uint64_t> root;      // physical address of the root table; nullopt: the kernel's own
  struct Step {
    std::string level;
    std::string kind;    // "table", "leaf", "invalid", "unreadable"
    uint64_t entry = 0;  // physical address of the table entry
    std::optional<uint64_t> raw;
    std::optional<uint64_t> to;
    uint64_t size = 0;  // of address space that the entry covers
    std::vector<std::string> flags;
  };
  std::vector<Step> steps;
  std::optional<uint64_t> physical_address, linear_address, image_address;
  std::optional<PageFactsOf> page;
  std::string page_state;   // of the page in the dump: "present", "excluded", ...
  std::string status;       // "mapped", or why there is no physical address
  bool arithmetic = false;  // the tables are not in the dump: by the kernel's fixed mappings
};

// Throws Error{missing} when the task is not known, or has no memory of its own.
// `dump` is that of `kernel`.
AddressTranslation translate_address(kdumpkit::Dump& dump, Kernel& kernel, OwnerFinder& owners,
                                     TranslationRequest request);

}  // namespace kdk
