// Renderings of what the commands on memory and addresses answer: read, vtop, search.
#pragma once

#include <string>

#include "analyze/inspect/memory_view.h"
#include "analyze/inspect/search.h"
#include "analyze/inspect/translation.h"
#include "analyze/triage/answer.h"

namespace kdk {

std::string to_text(const Answer<MemoryView>& answer);
std::string to_text(const Answer<AddressTranslation>& answer);
std::string to_text(const Answer<SearchResult>& answer);

std::string to_json_text(const Answer<MemoryView>& answer);
std::string to_json_text(const Answer<AddressTranslation>& answer);
std::string to_json_text(const Answer<SearchResult>& answer);

}  // namespace kdk
