// Device trees: an edited one reads back as it was meant, whatever the original held, and leads to the same
// memory as the original.
#include <cstdlib>

#include "core/base/error.h"
#include "loader/plan/dtb.h"
#include "loader/plan/tree_memory.h"

namespace {

// nullopt: an Error.
std::optional<kdk::TreeMemory> memory_of(kdk::Bytes tree) {
  try {
    return kdk::read_tree_memory(tree);
  } catch (const kdk::Error&) {
    return std::nullopt;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace kdk;
  std::optional<TreeMemory> before = memory_of({data, size});
  if (before) {
    for (const Range& range : before->nodes) {
      if (range.end() <= range.start) std::abort();
    }
  }
  DtbRequest request;
  request.elfcorehdr = {0x7abf0000, 0x10000};
  request.usable_memory = {{0x6ac00000, 0x10000000}};
  request.initrd = Range{0x6ce40000, 0x12345};
  request.command_line = "panic=10";
  request.seeds.kaslr.fill(1);
  request.seeds.rng.fill(2);
  std::vector<uint8_t> edited;
  try {
    edited = edit_dtb({data, size}, request).bytes;
  } catch (const Error&) {
    return 0;
  }
  std::optional<TreeMemory> after = memory_of(edited);
  if (before.has_value() != after.has_value()) std::abort();
  if (before && (before->nodes != after->nodes || before->uefi != after->uefi ||
                 before->only_chosen != after->only_chosen)) {
    std::abort();
  }
  try {
    ChosenNode chosen = read_chosen(edited);
    if (chosen.elfcorehdr != request.elfcorehdr || chosen.usable_memory != request.usable_memory ||
        chosen.initrd != request.initrd || chosen.bootargs != request.command_line || !chosen.has_seeds) {
      std::abort();
    }
  } catch (const Error&) {
    std::abort();
  }
  return 0;
}
