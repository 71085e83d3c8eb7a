// The commands of kdump-analyze as functions from a session to an answer. Nothing here prints.
#pragma once

#include <string>
#include <vector>

#include "analyze/session.h"
#include "analyze/triage/report.h"

namespace kdk {

Report make_report(Session& session);
LogReport make_log(Session& session);
// The crash with every CPU's trace; all_cpus says which of them a renderer shows.
BacktraceReport make_backtrace(Session& session, bool all_cpus);
// Each query is an address (0x..., or 16 hexadecimal digits), a symbol name, or name+offset.
SymbolReport make_symbols(Session& session, const std::vector<std::string>& queries);
InfoReport make_info(Session& session);

}  // namespace kdk
