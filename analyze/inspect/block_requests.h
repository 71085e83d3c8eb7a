// Requests of one queue that were on their way, see devices.h.
#pragma once

#include "analyze/inspect/devices.h"
#include "analyze/inspect/object.h"

namespace kdk {

// `queue`: struct request_queue.
void read_requests(Objects& objects, const Object& queue, const KernelClock& clock, BlockDevice& out,
                   Problems& problems);

}  // namespace kdk
