// SHA-256 (FIPS 180-4), so that a plan names its inputs the way sha256sum does. Not used for security
// decisions.
#pragma once

#include <string>

#include "core/base/bytes.h"

namespace kdk {

std::string sha256_hex(Bytes data);

}  // namespace kdk
