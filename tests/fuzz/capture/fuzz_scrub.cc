// Rules that erase data, over kernel memory that lies.
//
// Input: the rules, a NUL, then bytes that overwrite lists, trees, keys, slabs and devices of a small
// machine. Whatever they lead to, pieces stay within their pages, and rules that are read are carried out or
// explained.
#include <algorithm>
#include <cstdlib>

#include "capture/scrub/scrub.h"
#include "tests/support/scrub_machine.h"

namespace {

using namespace kdk;

void check(bool ok) {
  if (!ok) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const uint8_t* const nul = std::find(data, data + size, uint8_t{0});
  ScrubRules rules;
  try {
    rules = parse_scrub_rules(as_text({data, static_cast<size_t>(nul - data)}), "rules");
  } catch (const Error&) {
    return 0;
  }
  test::ScrubMachine machine;
  if (nul != data + size) machine.overwrite({nul + 1, static_cast<size_t>(data + size - nul - 1)});
  const std::unique_ptr<Dump> dump = machine.machine.open();
  Kernel kernel(*dump);
  Erasure erasure(dump->info().page_size);
  const std::atomic<bool> stop = false;
  const Scrub scrub = find_erasure(rules, *dump, &kernel, "", erasure, stop);
  check(scrub.rules.size() == rules.rules.size());
  for (const auto& [pfn, pieces] : erasure.pages()) {
    check(dump->state(pfn) == PageState::present);
    for (const Erasure::Piece& piece : pieces)
      check(piece.size != 0 && piece.offset + uint64_t{piece.size} <= dump->info().page_size);
  }
  return 0;
}
