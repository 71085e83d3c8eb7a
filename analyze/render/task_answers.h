// Renderings of what is asked about tasks and modules: ps, mod. As render.h.
#pragma once

#include <string>

#include "analyze/inspect/module_details.h"
#include "analyze/inspect/processes.h"
#include "analyze/triage/answer.h"

namespace kdk {

std::string to_text(const Answer<ProcessListing>& answer);
std::string to_json_text(const Answer<ProcessListing>& answer);

std::string to_text(const Answer<ModuleListing>& answer);
std::string to_json_text(const Answer<ModuleListing>& answer);

}  // namespace kdk
