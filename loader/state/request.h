// What a user asked to be loaded, and that request made ready: files read, plan computed. A request is small
// and is recorded, so that the same load can be done again after hotplug, compared, or put back.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "loader/image/layers.h"
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
  // From the unified kernel image that `kernel` is, instead of `initrd` and of the running kernel's line.
  bool uki_initrd = false;
  bool uki_command_line = false;
  std::optional<LoadCall> call;  // absent: the best one for the machine
  DigestMode digest = DigestMode::automatic;
};

// One segment by content. The seeds for the crash kernel's randomness, new in every plan, count as zero, and
// so do the digests in the purgatory, which depend on them; so two plans of the same machine and files have
// equal identities.
struct SegmentIdentity {
  std::string name;
  Range memory;
  std::string sha256;  // lowercase hexadecimal; empty where the kernel makes the segment
  friend bool operator==(const SegmentIdentity&, const SegmentIdentity&) = default;
};
std::vector<SegmentIdentity> identify_segments(const LoadPlan& plan, const BootSeeds& seeds);

// What of the unified kernel image in `file` is wanted; what is not wanted is left empty, and then any file
// will do. `path` is its name for messages. Throws Error{missing} when it has none, and as
// read_unified_extras does.
UnifiedExtras take_extras(const std::string& path, Bytes file, bool initrd, bool command_line);

struct PreparedLoad {
  LoadRequest request;
  LoadFiles files;
  std::optional<InputIdentity> dtb;
  LoadPlan plan;
  std::vector<SegmentIdentity> segments;
};

// Reads the files and makes the plan, with fresh seeds. Throws Error as read_file, take_extras and make_plan
// do.
PreparedLoad prepare_load(const Machine& machine, const LoadRequest& request);

}  // namespace kdk
