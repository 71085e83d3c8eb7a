// Prints a crash in full, or with "empty" one of which nothing is known, for the check against
// schemas/crash.schema.json.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "core/diagnose/crash.h"
#include "tests/unit/diagnose/crashed_cpus.h"

int main(int argc, char** argv) {
  using namespace kdk;
  std::unique_ptr<test::CrashedMachine> machine = test::crashed_two_cpus({.second_answers = false});
  bool empty = argc > 1 && std::string_view(argv[1]) == "empty";
  Crash crash = empty ? Crash{} : diagnose(*machine->kernel, test::null_dereference_log());
  std::puts(to_json(crash, machine->kernel->memory().arch()).dump(1).c_str());
}
