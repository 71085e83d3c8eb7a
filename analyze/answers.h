// What kdump-analyze can be asked, as functions from a session to an answer. Nothing here prints: analyze/commands
// has the command lines.
#pragma once

#include <string>
#include <vector>

#include "analyze/session.h"
#include "analyze/triage/collection.h"
#include "analyze/triage/report.h"

namespace kdk {

Report make_report(Session& session);
LogReport make_log(Session& session);
// The crash with every CPU's trace; all_cpus says which of them a renderer shows.
// `variables`: with the arguments and local variables of their frames.
BacktraceReport make_backtrace(Session& session, bool all_cpus, bool variables = false);
// Each query is an address (0x..., or 16 hexadecimal digits), a symbol name, or name+offset.
SymbolReport make_symbols(Session& session, const std::vector<std::string>& queries);
InfoReport make_info(Session& session);
// Examines every dump and saved report under `paths` with up to `threads` threads; `search` says where to look
// for debug information (its dump is not used). What cannot be read is in the result, never thrown.
Collection make_collection(const std::vector<std::filesystem::path>& paths, const SessionOptions& search,
                           unsigned threads);

}  // namespace kdk
