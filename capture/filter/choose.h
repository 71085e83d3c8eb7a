// From a dump and a level to the pages that are written and their order: the scan, what guards it, and what
// is to be said about it.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "capture/filter/cpu_lists.h"
#include "capture/filter/free_check.h"
#include "capture/filter/page_order.h"
#include "capture/filter/pins.h"
#include "capture/filter/scan.h"

namespace kdk {

struct ChooseRequest {
  unsigned level = level_all;
  const std::atomic<bool>* stop = nullptr;                      // ends early; the choice is of no use then
  std::function<void(uint64_t done, uint64_t total)> progress;  // see ScanRequest
  std::string why_not;                                          // for people: why there is no kernel to ask
};

struct PageChoice {
  Scan scan;
  unsigned level = 0;                       // that was used
  std::string why_level;                    // why it is not the one asked for
  std::vector<std::string> reasons, notes;  // see CaptureReport
  std::string unmarked;                     // classes that this kernel does not mark; "poisoned, offline"
  std::string memory_model;                 // empty, and no pins: struct pages could not be used
  std::optional<Pins> pins;
  std::optional<FreeCheck> free_check;
  std::optional<CpuLists> cpu_lists;
  std::optional<PageOrder> order;
  uint64_t excluded_before = 0;  // pages the input itself leaves out
};

// `kernel` nullptr: there is none, or it is not to be looked at; then all pages are kept. Never throws Error.
PageChoice choose_pages(const Dump& dump, Kernel* kernel, const ChooseRequest& request);

}  // namespace kdk
