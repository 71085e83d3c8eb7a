// Will the initramfs fit once unpacked? The crash kernel's memory is a few hundred megabytes, the root file
// system takes at most half of it, and the kernel says nothing useful when that is not enough.
//
// Sources: init/initramfs.c and init/do_mounts.c (init_rootfs: tmpfs unless root= or rootfstype= is given),
// mm/shmem.c (shmem_default_max_blocks: half of the RAM counted when the root is mounted, which is before the
// packed initramfs and the kernel's init sections are given back), mm/sparse.c (struct pages).
#include <fmt/format.h>

#include <algorithm>

#include "loader/plan/checks.h"

namespace kdk {
namespace {

constexpr uint64_t struct_page_size = 64;
// Memory comes in sections, and each has its struct pages as a whole (SECTION_SIZE_BITS of
// arch/*/include/asm/sparsemem.h; arm64 kernels with 64 KiB pages have larger ones and few struct pages).
constexpr uint64_t section_size = uint64_t{128} << 20;
// Page tables, per-CPU areas, hash tables, the device tree, firmware reservations. Measured in 256 MiB beside
// the struct pages: 2 to 5 MiB on Debian 6.1 and 6.12, arm64 and x86-64.
constexpr uint64_t early_kernel_memory = uint64_t{6} << 20;

uint64_t subtract(uint64_t from, uint64_t amount) {
  return from > amount ? from - amount : 0;
}

uint64_t struct_pages(const std::vector<Range>& regions, uint64_t page_size) {
  uint64_t sections = 0;
  uint64_t next = 0;
  for (const Range& region : regions) {
    if (region.size == 0) continue;
    uint64_t first = std::max(region.start / section_size, next);
    next = (region.end() - 1) / section_size + 1;
    sections += next - std::min(first, next);
  }
  return sections * (section_size / page_size) * struct_page_size;
}

// The same rule as the kernel's init_rootfs().
bool root_is_tmpfs(const std::string& command_line) {
  std::optional<std::string> type = find_option(command_line, "rootfstype");
  if (type) return type->find("tmpfs") != std::string::npos;
  return !find_option(command_line, "root");
}

// The program the kernel will start, without leading '/'.
std::string init_program(const std::string& command_line) {
  std::string path = find_option(command_line, "rdinit").value_or("/init");
  return path.substr(std::min(path.find_first_not_of('/'), path.size()));
}

// With 4 KiB pages there are the most struct pages, with 64 KiB pages the most rounding: use what the image
// says.
uint64_t page_size_of(const LoadPlan& plan) {
  return plan.image.page_size != 0 ? plan.image.page_size : 4096;
}

Outcome judge_unpacking(const MemoryEstimate& memory) {
  if (!memory.initrd)
    return warning("none given: the crash kernel must have one built in or mount a root file system");
  const InitrdEstimate& initrd = *memory.initrd;
  std::string room =
      fmt::format("{} of {} {}", mib(memory.unpack_limit), mib(memory.usable),
                  memory.limited_by_tmpfs ? "(the root tmpfs takes half of what is free)" : "");
  if (initrd.memory > memory.unpack_limit) {
    return failed(fmt::format(
        "the initramfs unpacks to {}{}, but there is room for {}; the crash kernel would stop with "
        "\"Initramfs unpacking failed\": reserve a larger crashkernel= or make it smaller",
        initrd.over_limit ? "more than " : "", mib(initrd.memory), room));
  }
  if (!initrd.bounded) {
    return warning(fmt::format("its unpacked size is not known ({}): it must stay under {}",
                               to_string(initrd.members.back().format), room));
  }
  if (initrd.exact && !initrd.has_init) {
    return failed("the initramfs does not hold the program the kernel starts (rdinit=, default /init)");
  }
  std::string detail = fmt::format("unpacks to {}{} in {} files; room for {}", initrd.exact ? "" : "about ",
                                   mib(initrd.memory), initrd.files, room);
  if (memory.limited_by_tmpfs) {
    return initrd.memory > memory.unpack_limit / 10 * 9 ? warning(detail + ": tight") : ok(detail);
  }
  uint64_t left = memory.unpack_limit - initrd.memory + least_working_memory;
  if (left >= working_memory) return ok(detail);
  return warning(fmt::format("{}: tight, which leaves {} to work in; {} are comfortable", detail, mib(left),
                             mib(working_memory)));
}

}  // namespace

MemoryEstimate estimate_memory(const LoadPlan& plan, uint64_t initrd_size) {
  MemoryEstimate memory;
  memory.usable = total_size(plan.crash_regions);
  memory.kernel = plan.image.running_size;
  memory.kernel_own = struct_pages(plan.crash_regions, page_size_of(plan)) + early_kernel_memory +
                      plan.architecture->device_memory(plan);
  memory.initrd_packed = initrd_size;
  memory.limited_by_tmpfs = root_is_tmpfs(plan.command_line.text);
  uint64_t free_at_unpacking =
      subtract(memory.usable, memory.kernel + memory.kernel_own + memory.initrd_packed);
  memory.unpack_limit =
      memory.limited_by_tmpfs ? free_at_unpacking / 2 : subtract(free_at_unpacking, least_working_memory);
  return memory;
}

Check check_unpacking(LoadPlan& plan, Bytes initrd) {
  plan.memory = estimate_memory(plan, initrd.size());
  return run_check("initrd_unpacks", [&] {
    if (!initrd.empty()) {
      // Counting on a little past what fits costs nothing and gives people a better number than "too much".
      uint64_t limit = 4 * plan.memory.usable;
      plan.memory.initrd =
          estimate_initrd(initrd, page_size_of(plan), init_program(plan.command_line.text), limit);
    }
    return judge_unpacking(plan.memory);
  });
}

}  // namespace kdk
