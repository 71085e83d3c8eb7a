// Renderings of interrupts and devices: irq, dev; and of the disks in the report.
#pragma once

#include <nlohmann/json_fwd.hpp>

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

// One of them.
namespace text {
std::string block_request(const BlockRequest& request);
}
namespace json {
nlohmann::ordered_json block_device(const BlockDevice& disk);
}

}  // namespace kdk
