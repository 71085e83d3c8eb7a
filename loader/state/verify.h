// Would the same load, done now, be the same? `status` compares a few facts; this hashes the files, makes the
// plan again from the recorded request and compares it with what was recorded, segment by segment.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "loader/state/status.h"

namespace kdk {

struct LoadVerification {
  // unknown: something is loaded, but there is no record to compare it with, or not all could be compared.
  enum class State { verified, stale, not_armed, unknown };
  State state = State::not_armed;
  // failed: differs from the loaded image. warning: could not be compared, or would hinder the next load.
  std::vector<Check> checks;
  std::optional<LoadRecord> record;
};
std::string_view to_string(LoadVerification::State state);

// Throws Error{missing} when the kernel has no kexec.
LoadVerification verify_load(const SysRoot& root);

std::string verification_to_text(const LoadVerification& verification);
// As schemas/load-verify.schema.json describes; indented, without a final newline.
std::string verification_to_json(const LoadVerification& verification);

}  // namespace kdk
