#include "analyze/commands/address_argument.h"

#include <fmt/format.h>

#include "analyze/ask.h"
#include "analyze/inspect/address.h"
#include "analyze/inspect/types/expression.h"

namespace kdk {

uint64_t require_address(Session& session, const std::string& text, bool physical) {
  if (physical) {
    if (const auto number = parse_address(text)) return *number;
    throw Error(Errc::missing, fmt::format("{}: a physical address is 0x and hexadecimal digits", text));
  }
  Kernel& kernel = require_kernel(session);
  std::optional<uint64_t> found = find_address(kernel, text);
  if (!found) {
    session.debug_info();
    session.modules();
    found = find_address(kernel, text);
  }
  if (found) return *found;
  CTypes types(session.types());
  ValueReader reader(types, kernel);
  return Evaluator(reader).address(text);
}

}  // namespace kdk
