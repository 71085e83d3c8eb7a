// The name of a dump: whose and when, "db7-2026-11-24T04-30-00Z". Sorts by time within a host, and needs no
// quotes in any shell or URL.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace kdk {

// `seconds` since the epoch, UTC. Of `host` only letters, digits, - and . are used, at most 64 of them;
// "host" when there are none.
std::string dump_name(std::string_view host, uint64_t seconds);

// The time in the name of a dump (with or without "-2", ".incomplete"), as it sorts; nullopt when it is none.
std::optional<std::string> dump_time(std::string_view name);

}  // namespace kdk
