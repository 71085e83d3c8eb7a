// Renderings of types and of values: struct, print.
#pragma once

#include <string>

#include "analyze/inspect/types/printed.h"
#include "analyze/triage/answer.h"
#include "core/kernel/struct_layout.h"

namespace kdk {

std::string to_text(const Answer<StructLayout>& answer);
std::string to_text(const Answer<PrintedValues>& answer);

std::string to_json_text(const Answer<StructLayout>& answer);
std::string to_json_text(const Answer<PrintedValues>& answer);

}  // namespace kdk
