// Pieces on page frames and owners of addresses that several renderings share.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include <string>

#include "analyze/inspect/owner.h"

namespace kdk {

// Indented rows: struct page, flags, counts, class.
std::string page_rows(const PageFactsOf& page);
nlohmann::ordered_json page_json(const PageFactsOf& page);

}  // namespace kdk
