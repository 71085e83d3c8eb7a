// `kdump-capture info`: what a dump is, without reading its pages.
#pragma once

#include <string>

#include "core/formats/dump.h"

namespace kdk {

std::string info_text(const Dump& dump);
// schemas/capture-info.schema.json
std::string info_json(const Dump& dump);

}  // namespace kdk
