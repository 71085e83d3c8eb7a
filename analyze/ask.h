// From a session to the answer of one walker, with what every answer carries.
#pragma once

#include <string>
#include <utility>

#include "analyze/session.h"
#include "analyze/triage/answer.h"
#include "core/base/error.h"

namespace kdk {

// The kernel of a session whose command cannot do without. Throws Error{missing} that says why there is none.
inline Kernel& require_kernel(Session& session) {
  if (Kernel* kernel = session.kernel()) return *kernel;
  throw Error(Errc::missing, "the kernel's memory cannot be interpreted: " + session.kernel_error());
}

template <typename Facts>
Answer<Facts> answer_of(Session& session, Facts facts, std::vector<Limit> limits = {}) {
  Answer<Facts> answer{session.input(), session.evidence(), std::move(facts), session.common_limits()};
  for (Limit& limit : limits) answer.limits.push_back(std::move(limit));
  return answer;
}

}  // namespace kdk
