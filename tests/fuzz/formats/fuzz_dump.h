// What every dump fuzz target does with an input: open it, look at all it says, read a bounded number of
// pages.
#pragma once

#include <cstdint>
#include <memory>
#include <numeric>
#include <vector>

#include "core/base/error.h"
#include "core/formats/dump.h"

namespace kdk::fuzz {

inline void open_and_read(Bytes input) {
  std::unique_ptr<Dump> dump;
  try {
    dump = open_dump(memory_source({input.begin(), input.end()}, "fuzz"));
  } catch (const Error&) {
    return;
  }
  std::unique_ptr<PageReader> reader = dump->reader();
  volatile uint64_t sink = 0;
  auto look = [&](Pfn pfn) {
    PageView page = reader->page(pfn);
    if ((page.state == PageState::present) != (page.bytes.size() == dump->info().page_size)) __builtin_trap();
    if (page.state == PageState::present && dump->state(pfn) != PageState::present) __builtin_trap();
    sink = sink + std::accumulate(page.bytes.begin(), page.bytes.end(), uint64_t{0});
  };
  int budget = 32;
  for (const PfnRange& range : dump->ram()) {
    if (range.begin >= range.end) __builtin_trap();
    for (Pfn pfn = range.begin; pfn < range.end && budget > 0; pfn = pfn + 1, --budget) look(pfn);
    look(Pfn{range.end.value - 1});
    if (budget == 0) break;
  }
  look(Pfn{0});
  look(Pfn{~uint64_t{0}});
  look(dump->end_pfn());
}

}  // namespace kdk::fuzz
