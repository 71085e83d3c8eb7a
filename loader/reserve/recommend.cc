#include "loader/reserve/recommend.h"

#include <fmt/format.h>

#include <algorithm>

#include "loader/machine/parse.h"
#include "loader/plan/checks.h"
#include "loader/state/record.h"

namespace kdk {
namespace {

constexpr uint64_t mebibyte = uint64_t{1} << 20;
// Regions are aligned to 16 MiB on x86-64, to 2 MiB on arm64: this suits both and people.
constexpr uint64_t size_step = 16 * mebibyte;
// The margin is this part of the sum. An eighth leaves the unpacked initramfs under 90 % of what fits, which
// is where the plan would begin to warn.
constexpr uint64_t margin_divisor = 8;

// kdump-capture (capture/output/pipeline.cc): a thread's unit of pages, compressor, window and stack; as many
// threads as CPUs, at most 8. It takes a quarter of what is free for them, so that much must be there.
constexpr uint64_t capture_thread = 3 * mebibyte;
constexpr uint64_t capture_most_threads = 8;
// Program, table of stored pages, the first report, buffers of the target.
constexpr uint64_t capture_base = 16 * mebibyte;
// Bitmaps of the machine's pages.
constexpr uint64_t capture_bitmaps = 2;
// Per-CPU areas, stacks and caches of a further CPU: 132 to 288 KiB of Percpu in Debian 6.1 and 6.12, the
// rest rounded up.
constexpr uint64_t per_further_cpu = mebibyte;

// A fixed point is found in a few steps; a size that is beyond this is an error somewhere.
constexpr uint64_t largest_size = uint64_t{1} << 40;

struct CrashKernel {
  std::string kernel;
  std::string initrd;
  bool uki_initrd = false;
  bool uki_command_line = false;
  CommandLineOptions command_line;
};

std::string boot_file(const SysRoot& root, std::string_view name) {
  std::string release = root.read_line("/proc/sys/kernel/osrelease").value_or("");
  // A release is one path component; anything else is not for building paths.
  if (release.empty() || release.find('/') != std::string::npos) return "";
  std::string path = fmt::format("/boot/{}-{}", name, release);
  return root.exists(path) ? root.path(path).string() : "";
}

CrashKernel choose_kernel(const SysRoot& root, const RecommendInputs& inputs) {
  CrashKernel chosen;
  chosen.kernel = inputs.kernel;
  chosen.initrd = inputs.initrd;
  chosen.uki_initrd = inputs.uki_initrd;
  chosen.command_line.append = inputs.append;
  if (!chosen.kernel.empty()) return chosen;
  std::optional<LoadRecord> record = read_record(root);
  if (record && record->request) {
    const LoadRequest& request = *record->request;
    chosen.kernel = root.path(request.kernel);
    if (chosen.initrd.empty() && !request.initrd.empty()) chosen.initrd = root.path(request.initrd);
    chosen.uki_initrd = chosen.uki_initrd || (inputs.initrd.empty() && request.uki_initrd);
    if (inputs.append.empty()) {
      chosen.command_line = {request.command_line, request.append, request.add_defaults};
      chosen.uki_command_line = request.uki_command_line;
    }
    return chosen;
  }
  for (std::string_view name : {"vmlinuz", "Image", "vmlinux"}) {
    if (chosen.kernel.empty()) chosen.kernel = boot_file(root, name);
  }
  for (std::string_view name : {"initrd.img", "initramfs"}) {
    if (chosen.initrd.empty() && !chosen.uki_initrd) chosen.initrd = boot_file(root, name);
  }
  if (chosen.kernel.empty()) {
    throw Error(Errc::missing,
                "which kernel will be the crash kernel is not known: none is loaded, and "
                "/boot has none of this release")
        .with_hint("name it with --kernel (and its --initrd)");
  }
  return chosen;
}

// The size column of /proc/modules: what the drivers of this machine take now. The crash kernel loads those
// of them that its initramfs has.
uint64_t loaded_modules(const SysRoot& root) {
  constexpr std::string_view path = "/proc/modules";
  if (!root.exists(path)) return 0;
  std::string text = read_text_file(root.path(path));
  uint64_t sum = 0;
  for (std::string_view rest = text; !rest.empty();) {
    std::string_view line = next_token(rest, '\n');
    next_token(line, ' ');
    sum += parse_number(next_token(line, ' '), 10).value_or(0);
  }
  return sum;
}

uint64_t crash_cpus(const Machine& machine, const std::string& command_line) {
  for (std::string_view name : {"nr_cpus", "maxcpus"}) {
    std::optional<uint64_t> number = parse_number(find_option(command_line, name).value_or(""), 10);
    if (number && *number > 0) return std::min<uint64_t>(*number, machine.cpu_notes.size());
  }
  return machine.cpu_notes.size();
}

uint64_t capture_memory(const Machine& machine, uint64_t ram, uint64_t cpus) {
  uint64_t bits = ram / machine.page_size.value_or(4096);
  return capture_base + capture_bitmaps * bits / 8 + std::min(cpus, capture_most_threads) * capture_thread;
}

// Bytes of a second, low region that goes with a high one.
uint64_t low_size(const Reservation& reservation) {
  return reservation.regions.size() > 1 ? reservation.regions[0].size : 0;
}

// The regions as they would be with `total` bytes of them: where they are now, else below 4 GiB.
std::vector<Range> regions_of(const Reservation& reservation, uint64_t total) {
  std::vector<Range> regions = reservation.regions;
  if (regions.empty()) return {Range{0, total}};
  uint64_t low = low_size(reservation);
  regions.back().size = total > low ? total - low : 0;
  return regions;
}

std::string option_text(const Reservation& reservation, uint64_t size, uint64_t least_main) {
  const std::optional<CrashkernelRequest>& request = reservation.decision.request;
  if (!request || !request->high) return "crashkernel=" + memory_size_text(size);
  uint64_t low = low_size(reservation);
  uint64_t main = std::max(size > low ? size - low : 0, least_main);
  std::string text = fmt::format("crashkernel={},high", memory_size_text(align_up(main, size_step)));
  if (request->low) text += fmt::format(" crashkernel={},low", memory_size_text(*request->low));
  return text;
}

class Sum {
 public:
  explicit Sum(Recommendation& to) : to_(to) {}
  void add(std::string name, std::string what, uint64_t unpacking, uint64_t capturing) {
    if (unpacking == 0 && capturing == 0) return;
    to_.items.push_back({std::move(name), std::move(what), unpacking, capturing});
    to_.unpacking += unpacking;
    to_.capturing += capturing;
  }

 private:
  Recommendation& to_;
};

}  // namespace

Recommendation recommend(const SysRoot& root, const Machine& machine, const Reservation& reservation,
                         const RecommendInputs& inputs) {
  CrashKernel crash = choose_kernel(root, inputs);
  LoadPlan plan;
  plan.architecture = machine.architecture;
  std::vector<uint8_t> kernel = read_file(crash.kernel, max_kernel_file);
  UnifiedExtras extras = take_extras(crash.kernel, kernel, crash.uki_initrd, crash.uki_command_line);
  if (crash.uki_command_line) crash.command_line.unified = std::move(extras.command_line);
  std::vector<uint8_t> initrd = std::move(extras.initrd);
  if (!crash.initrd.empty()) initrd = read_file(crash.initrd, max_initrd_file);
  plan.image = with_context(crash.kernel, [&] { return machine.architecture->read_kernel(kernel); });
  plan.command_line =
      make_command_line(crash.command_line, machine.command_line, machine.architecture->crash_defaults);

  Recommendation result;
  result.kernel = crash.kernel;
  result.initrd = crash.uki_initrd ? crash.kernel : crash.initrd;
  result.page_size = plan.image.page_size != 0 ? plan.image.page_size : 4096;
  result.cpus = crash_cpus(machine, plan.command_line.text);

  const uint64_t packed = initrd.size();
  uint64_t unpacked = 0;
  if (!initrd.empty()) {
    InitrdEstimate estimate = with_context(
        result.initrd, [&] { return estimate_initrd(initrd, result.page_size, "init", largest_size); });
    if (!estimate.bounded) {
      throw Error(Errc::unsupported, fmt::format("{}: its unpacked size cannot be known ({})", result.initrd,
                                                 to_string(estimate.members.back().format)))
          .with_hint("pack it with gzip or zstd, or not at all");
    }
    unpacked = estimate.memory;
  }

  uint64_t further_cpus = (result.cpus - 1) * per_further_cpu;
  uint64_t drivers = loaded_modules(root);
  uint64_t capture = capture_memory(machine, reservation.ram, result.cpus);
  // The kernel's own memory depends on the size: more struct pages, bounce buffers above 4 GiB.
  for (uint64_t size = size_step; size < largest_size; size += size_step) {
    plan.crash_regions = regions_of(reservation, size);
    MemoryEstimate memory = estimate_memory(plan, packed);
    uint64_t devices = machine.architecture->device_memory(plan);
    result.items.clear();
    result.unpacking = result.capturing = 0;
    Sum sum(result);
    sum.add("kernel", "image with BSS", memory.kernel, memory.kernel);
    sum.add("kernel_own", "struct pages, page tables, per-CPU areas, hash tables",
            memory.kernel_own - devices, memory.kernel_own - devices);
    sum.add("bounce_buffers", "for devices that cannot reach memory above 4 GiB", devices, devices);
    sum.add("cpus", fmt::format("of {}, those after the first", result.cpus), further_cpus, further_cpus);
    sum.add("initrd_packed", "as loaded, until it is unpacked", packed, 0);
    sum.add("initrd_unpacked", "its files", unpacked, unpacked);
    if (memory.limited_by_tmpfs) {
      sum.add("tmpfs_half", "as much again: the root tmpfs takes half of what is free", unpacked, 0);
    }
    sum.add("drivers", "as much as all modules of the running kernel", 0, drivers);
    // A root file system without a limit must leave that much.
    sum.add("working", "the kernel at work, programs of the initramfs",
            memory.limited_by_tmpfs ? 0 : working_memory, working_memory);
    sum.add("capture",
            fmt::format("kdump-capture: {} thread{}, bitmaps of {} of RAM",
                        std::min(result.cpus, capture_most_threads), result.cpus == 1 ? "" : "s",
                        mib(reservation.ram)),
            0, capture);
    sum.add("extra", "asked for", inputs.extra, inputs.extra);
    uint64_t need = std::max(result.unpacking, result.capturing);
    result.margin = need / margin_divisor;
    result.size = size;
    if (need + result.margin <= size) break;
  }
  if (std::max(result.unpacking, result.capturing) + result.margin > result.size) {
    throw Error(Errc::unsupported, "the crash kernel would need more than 1 TiB");
  }
  uint64_t least_main = plan.image.image_size + packed + 8 * mebibyte;
  result.crashkernel = option_text(reservation, result.size, least_main);
  result.enough = total_size(reservation.regions) >= result.size;
  return result;
}

}  // namespace kdk
