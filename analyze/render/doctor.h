// `doctor`: text and JSON. As render.h.
#pragma once

#include <string>

#include "analyze/inspect/doctor.h"
#include "analyze/triage/answer.h"

namespace kdk {

std::string to_text(const Answer<Doctor>& answer);
std::string to_json_text(const Answer<Doctor>& answer);

}  // namespace kdk
