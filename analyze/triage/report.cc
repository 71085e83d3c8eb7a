#include "analyze/triage/report.h"

#include <algorithm>

namespace kdk {

bool partial(const std::vector<Limit>& limits) {
  return std::any_of(limits.begin(), limits.end(), [](const Limit& limit) { return limit.damage; });
}

}  // namespace kdk
