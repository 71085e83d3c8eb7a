// The dump of cpp_interface_test.cc, behind functions that C++17 can call.
#include <cstdint>
#include <string>

#include "tests/support/crash_scene.h"

std::string synthetic_dump() {
  const std::vector<uint8_t> bytes = kdk::test::Scene().machine->elf();
  return {bytes.begin(), bytes.end()};
}

std::uint64_t synthetic_init_task() {
  return kdk::test::Scene().init_task.value;
}
