// Renderings of interrupts and devices: irq, dev.
#pragma once

#include <string>

#include "analyze/inspect/devices.h"
#include "analyze/inspect/interrupts.h"
#include "analyze/triage/answer.h"

namespace kdk {

// `all`: lines without a handler, too.
struct InterruptListing {
  Interrupts facts;
  bool all = false;
};
std::string to_text(const Answer<InterruptListing>& answer);
std::string to_json_text(const Answer<InterruptListing>& answer);

std::string to_text(const Answer<Devices>& answer);
std::string to_json_text(const Answer<Devices>& answer);

}  // namespace kdk
