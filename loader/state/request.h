// What a user asked to be loaded, and that request made ready: files read, plan computed. A request is small
// and is recorded, so that the same load can be done again after hotplug, compared, or put back.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "loader/kexec/kexec.h"
#include "loader/plan/plan.h"

namespace kdk {

// Files larger than this are refused.
inline constexpr uint64_t max_kernel_file = uint64_t{1} << 30;
inline constexpr uint64_t max_initrd_file = uint64_t{4} << 30;

// The options of `load`. Paths are absolute, so that they mean the same to a later process.
struct LoadRequest {
  std::string kernel;
  std::string initrd;  // empty: none
  std::string dtb;     // empty: the machine's own
  std::optional<std::string> command_line;
  std::string append;
  bool add_defaults = true;
  std::optional<LoadCall> call;  // absent: the best one for the machine
};

// One segment by content. The seeds for the crash kernel's randomness, new in every plan, count as zero; so
// two plans of the same machine and files have equal identities.
struct SegmentIdentity {
  std::string name;
  Range memory;
  std::string sha256;  // lowercase hexadecimal; empty where the kernel makes the segment
  friend bool operator==(const SegmentIdentity&, const SegmentIdentity&) = default;
};
std::vector<SegmentIdentity> identify_segments(const LoadPlan& plan, const BootSeeds& seeds);

struct PreparedLoad {
  LoadRequest request;
  LoadFiles files;
  std::optional<InputIdentity> dtb;
  LoadPlan plan;
  std::vector<SegmentIdentity> segments;
};

// Reads the files and makes the plan, with fresh seeds. Throws Error as read_file and make_plan do.
PreparedLoad prepare_load(const Machine& machine, const LoadRequest& request);

}  // namespace kdk
