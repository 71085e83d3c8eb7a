// Who had the memory that a checker (KASAN, KFENCE, SLUB) reports about: it writes where that was allocated
// and freed.
#pragma once

#include <vector>

#include "analyze/triage/findings.h"

namespace kdk {

struct LogFacts;
// Of the last such report in the tail of the log, which is the one that the kernel died of; empty: none.
std::vector<Finding> find_memory_history(const LogFacts& log);

}  // namespace kdk
