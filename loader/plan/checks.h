// The checks between a computed plan and the kernel: what the kernel would refuse, and what it would accept
// and the crash kernel then choke on. Each works on the finished bytes where there are any, rather than on
// the variables they were made from.
//
// Here is what every architecture and both ways of loading share. segment_checks.h has the checks of segments
// we make ourselves; what only one architecture knows is in its own file.
#pragma once

#include "loader/plan/plan.h"

namespace kdk {

struct Outcome {
  Check::Status status = Check::Status::ok;
  std::string detail;
};
inline Outcome ok(std::string detail) {
  return {Check::Status::ok, std::move(detail)};
}
inline Outcome warning(std::string detail) {
  return {Check::Status::warning, std::move(detail)};
}
inline Outcome failed(std::string detail) {
  return {Check::Status::failed, std::move(detail)};
}

// Runs one check. An Error that leaves `check` is that check's failure.
template <typename F>
Check run_check(std::string name, F&& check) {
  Outcome outcome;
  try {
    outcome = check();
  } catch (const Error& e) {
    outcome = failed(e.message());
  }
  return {std::move(name), outcome.status, std::move(outcome.detail)};
}

// "12.3 MiB".
std::string mib(uint64_t bytes);

// Append to plan.checks; never throw for what they find.
void check_machine(const Machine& machine, LoadPlan& plan);  // permission, crash_region
void check_command_line(LoadPlan& plan);

// The kernels refuse more than half of the RAM they manage, which excludes the crash regions and what was set
// aside at boot (kernel/kexec_core.c, sanity_check_segment_list), and have freed the crash kernel loaded
// before by then. nullopt when `total` bytes are acceptable.
std::optional<Outcome> refuse_half_of_memory(const Machine& machine, const LoadPlan& plan, uint64_t total);

// What the kernel and its programs have besides a full root file system that no tmpfs limit holds back;
// bytes. Measured with our packages' crash initramfs on Debian 6.1 x86-64, 1 GiB of RAM, one CPU, a disk as
// target: with 10 MiB the kernel finds no memory while it unpacks; with 18 MiB the dump is saved, but the
// first try may be killed for its memory. The other is comfortable.
constexpr uint64_t least_working_memory = uint64_t{16} << 20;
constexpr uint64_t working_memory = uint64_t{32} << 20;
// The memory of a crash kernel in plan.crash_regions, from plan.image and plan.command_line; without the
// initramfs's content (memory_estimate.cc).
MemoryEstimate estimate_memory(const LoadPlan& plan, uint64_t initrd_size);
// Fills plan.memory and judges it (memory_estimate.cc). `initrd` is empty when none is given.
Check check_unpacking(LoadPlan& plan, Bytes initrd);

}  // namespace kdk
