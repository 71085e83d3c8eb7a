// /proc/softirqs as far as it tells which CPUs ever ran: it has a column for every possible CPU, and a CPU
// that was online once has counted timers and RCU work by then, also when it is offline now.
//
// Source: fs/proc/softirqs.c (show_softirqs).
#pragma once

#include <set>
#include <string_view>

namespace kdk {

// The CPUs with a count above zero in any row. Throws Error{format} for a text that is not such a table.
std::set<unsigned> cpus_that_ran(std::string_view softirqs);

}  // namespace kdk
