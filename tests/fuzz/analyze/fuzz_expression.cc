// A text as input: an expression over the variables and types of a small machine, and all that its values
// hold.
#include <algorithm>

#include "analyze/inspect/types/expression.h"
#include "core/kernel/struct_layout.h"
#include "core/kernel/typed_memory.h"
#include "tests/support/scrub_machine.h"

namespace {

struct World {
  kdk::test::ScrubMachine machine;
  std::unique_ptr<kdk::Dump> dump = machine.machine.open();
  kdk::Kernel kernel{*dump};
  kdk::TypedMemory memory{kernel};
  kdk::CTypes types{memory};
  kdk::ValueReader reader{types, kernel};
  kdk::Evaluator evaluator{reader};
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace kdk;
  static World world;
  if (size > 512) return 0;
  const std::string text(reinterpret_cast<const char*>(data), size);
  try {
    const Evaluated found = world.evaluator.evaluate(text);
    if (!found.many && found.values.size() > 1) __builtin_trap();
    const ValueOptions few{.most_elements = 10, .most_nodes = 1000};
    for (size_t i = 0; i < std::min<size_t>(found.values.size(), 10); ++i)
      world.reader.read(found.values[i], few);
    world.evaluator.address(text);
  } catch (const Error&) {
  }
  try {
    if (const std::optional<CType> type = world.types.parse(text)) layout_of(world.types, *type, {});
  } catch (const Error&) {
  }
  return 0;
}
