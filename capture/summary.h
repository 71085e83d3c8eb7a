// The JSON summary of a capture: schemas/capture-summary.schema.json.
#pragma once

#include <filesystem>
#include <string>

#include "capture/report.h"

namespace kdk {

std::string summary_json(const CaptureReport& report);

// Writes it as a whole file in place of an older one. Throws Error{io,denied}.
void write_summary(const std::filesystem::path& path, const CaptureReport& report);

}  // namespace kdk
