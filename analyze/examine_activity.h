#pragma once

#include "analyze/session.h"
#include "analyze/triage/report.h"

namespace kdk {

// report.activity, and the findings in it. Each part is looked at by itself: a kernel that lacks one of them has the others.
// Parts that cannot be read, and walks that met something odd, are limits, not damage: a CPU may have been stopped while it
// changed a list.
void examine_activity(Session& session, Report& report);

}  // namespace kdk
