// `doctor`: looks for all evidence that a dump and this machine have.
#pragma once

#include "analyze/inspect/doctor.h"
#include "analyze/session.h"
#include "analyze/triage/answer.h"

namespace kdk {

Answer<Doctor> make_doctor(Session& session);

}  // namespace kdk
