// Pieces on page frames and owners of addresses that several renderings share.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include <string>

#include "analyze/inspect/owner.h"

namespace kdk {

// Indented rows: struct page, flags, counts, class.
std::string page_rows(const PageFactsOf& page);
nlohmann::ordered_json page_json(const PageFactsOf& page);

// "init_task+0x10", "[task_struct] object ffff... + 0x40", "stack of sh (pid 12)": whose an address is.
std::string owner_phrase(const Owner& owner);
// The same as data, with the page.
nlohmann::ordered_json owner_json(const Owner& owner);

}  // namespace kdk
