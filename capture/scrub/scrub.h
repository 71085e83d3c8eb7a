// Finds what the rules of a --scrub file name in a dump. Pure: the dump is not changed, the result says which
// bytes of which pages are to go (erasure.h).
//
// A rule that cannot be carried out is reported and stops neither the others nor the dump: where its bytes
// are is not known, so there are no pages that could be left out in their stead; who would rather have no
// dump then, says so (--scrub-strict).
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "capture/scrub/erasure.h"
#include "capture/scrub/rules.h"
#include "core/kernel/kernel.h"

namespace kdk {

struct ScrubbedRule {
  std::string name;
  bool optional = false;
  uint64_t places = 0;        // variables, elements, keys that were found
  uint64_t bytes = 0;         // erased, of pages in the input
  uint64_t absent_bytes = 0;  // of pages that the input does not have
  bool nullified = false;     // pointers, not data
  std::string problem;        // why it is not, or not wholly, carried out; empty: it is
};

struct Scrub {
  std::string file;
  std::vector<ScrubbedRule> rules;
  uint64_t erased_pages = 0, erased_bytes = 0;  // of the pages that are saved; each byte once
  // The record that goes into the dump, as makedumpfile writes it: a line "erase WHAT size N" for each rule.
  std::string eraseinfo() const;
};

// Called with `erasure` empty. `kernel`: nullptr when the dump's is not known, `why_no_kernel` then says why.
// Never throws Error. `stop`: ends early, with a problem in the rules that were not looked at.
Scrub find_erasure(const ScrubRules& rules, const Dump& dump, Kernel* kernel,
                   const std::string& why_no_kernel, Erasure& erasure, const std::atomic<bool>& stop);

}  // namespace kdk
