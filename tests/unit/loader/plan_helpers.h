// What tests of whole plans share, whatever the architecture.
#pragma once

#include <gtest/gtest.h>

#include <string_view>
#include <utility>

#include "loader/plan/plan.h"
#include "tests/support/fake_machine.h"

namespace kdk::testing {

inline LoadPlan plan_of(const FakeMachine& fake, LoadInputs inputs) {
  TempDir dir;
  fake.write(dir.path());
  return make_plan(read_machine(SysRoot(dir.path())), std::move(inputs));
}

inline InputFile small_initrd() {
  return {"/boot/initrd", gzip(fake_cpio({{"init", 1000000}}))};
}

inline Check check_of(const LoadPlan& plan, std::string_view name) {
  for (const Check& check : plan.checks) {
    if (check.name == name) return check;
  }
  ADD_FAILURE() << "no check " << name;
  return {};
}

// Where the kernel will put it, of a plan for kexec_file_load.
inline Range expected(const LoadPlan& plan, std::string_view name) {
  for (const ExpectedSegment& segment : plan.expected) {
    if (segment.name == name) return segment.memory;
  }
  ADD_FAILURE() << "no segment " << name;
  return {};
}

}  // namespace kdk::testing
