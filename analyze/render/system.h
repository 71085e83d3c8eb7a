// Renderings of the machine and its kernel: sys, config.
#pragma once

#include <string>

#include "analyze/inspect/hardware.h"
#include "analyze/inspect/kernel_config.h"
#include "analyze/triage/report.h"

namespace kdk {

struct SystemListing {
  SystemFacts facts;
  Redaction redaction;
};
std::string to_text(const Answer<SystemListing>& answer);
std::string to_json_text(const Answer<SystemListing>& answer);

std::string to_text(const Answer<KernelConfig>& answer);
std::string to_json_text(const Answer<KernelConfig>& answer);

}  // namespace kdk
