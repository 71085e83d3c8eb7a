// /proc/kcore headers from any file, and the addresses drawn from them.
#include <algorithm>

#include "core/base/error.h"
#include "loader/plan/addresses.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace kdk;
  try {
    Machine machine;
    machine.kcore = parse_kcore([&](uint64_t offset, uint64_t wanted) {
      uint64_t at = std::min<uint64_t>(offset, size);
      return std::vector<uint8_t>(data + at, data + at + std::min<uint64_t>(wanted, size - at));
    });
    find_addresses(machine);
  } catch (const Error&) {
  }
  return 0;
}
