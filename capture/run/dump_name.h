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

// What became of a dump, as its directory's name says: NAME, NAME.incomplete, NAME.partial.
enum class DumpState : uint8_t {
  whole,
  incomplete,  // all there will ever be
  partial,     // being written, or whoever wrote it died
};

// A directory's name, taken apart.
struct DumpName {
  std::string host;
  std::string time;     // of the crash, UTC; sorts
  unsigned number = 1;  // of several dumps of one host and second
  DumpState state = DumpState::whole;

  bool same_crash(const DumpName& other) const { return host == other.host && time == other.time; }
};

// nullopt when it is no name of a dump.
std::optional<DumpName> parse_dump_name(std::string_view name);

}  // namespace kdk
