#include "loader/plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "loader/checks.h"
#include "loader/sha256.h"
#include "loader/trampoline.h"

namespace kdk {
namespace {

// Segments are aligned to the largest page size an arm64 kernel can have: the running kernel wants its own
// page size, the crash kernel may have another.
constexpr uint64_t segment_alignment = 64 << 10;
// Booting protocol: the image's base; the device tree stays inside one block of this size.
constexpr uint64_t block_size = uint64_t{2} << 20;

// Hands out memory of the main crash region: the kernel and initrd from the bottom, small things from the
// top.
class Placer {
 public:
  explicit Placer(const Range& region) : region_(region), bottom_(region.start), top_(region.end()) {}

  // `size` bytes at `alignment` plus `offset`.
  uint64_t from_bottom(std::string_view name, uint64_t size, uint64_t alignment, uint64_t offset = 0) {
    uint64_t start = align_up(bottom_, alignment) + offset;
    if (start < bottom_ || !in_bounds(top_, start, size)) too_small(name, size);
    bottom_ = start + size;
    return start;
  }
  uint64_t from_top(std::string_view name, uint64_t size, uint64_t alignment) {
    if (!in_bounds(top_, bottom_, size)) too_small(name, size);
    uint64_t start = align_down(top_ - size, alignment);
    if (start < bottom_) too_small(name, size);
    top_ = start;
    return start;
  }

 private:
  [[noreturn]] void too_small(std::string_view name, uint64_t size) const {
    throw Error(Errc::unsupported, fmt::format("the crash region {} ({} MiB) has no room for the {} ({} KiB)",
                                               to_string(region_), region_.size >> 20, name, size >> 10))
        .with_hint("boot with a larger crashkernel=");
  }

  Range region_;
  uint64_t bottom_;
  uint64_t top_;
};

InputIdentity identify(const InputFile& file) {
  return {file.path, file.bytes.size(), sha256_hex(file.bytes)};
}

std::vector<Range> find_crash_regions(const Machine& machine) {
  std::vector<Range> regions = machine.memory.crash_regions();
  if (regions.empty()) {
    throw Error(Errc::missing,
                "no memory is reserved for a crash kernel (no \"Crash kernel\" in /proc/iomem)")
        .with_hint("boot with crashkernel=256M (or larger) on the kernel command line");
  }
  if (regions.size() > 2) {
    // One low and one main region is all that linux,usable-memory-range could say for most kernels.
    throw Error(
        Errc::unsupported,
        fmt::format("{} crash kernel regions in /proc/iomem; at most 2 are understood", regions.size()));
  }
  return regions;
}

uint64_t whole_segments(uint64_t size) {
  return align_up(size, segment_alignment);
}

// linux,usable-memory-range wants the main region first: kernels cap their memory to the first pair and add
// the others (drivers/of/fdt.c, early_init_dt_check_for_usable_mem_range).
std::vector<Range> usable_memory(const std::vector<Range>& crash_regions) {
  return {crash_regions.rbegin(), crash_regions.rend()};
}

}  // namespace

std::string_view to_string(Check::Status status) {
  switch (status) {
    case Check::Status::ok:
      return "ok";
    case Check::Status::warning:
      return "warning";
    case Check::Status::failed:
      return "failed";
  }
  return "unknown";
}

bool LoadPlan::good() const {
  return std::none_of(checks.begin(), checks.end(),
                      [](const Check& c) { return c.status == Check::Status::failed; });
}

const Segment* LoadPlan::find_segment(std::string_view name) const {
  auto found =
      std::find_if(segments.begin(), segments.end(), [&](const Segment& s) { return s.name == name; });
  return found == segments.end() ? nullptr : &*found;
}

LoadPlan make_plan(const Machine& machine, LoadInputs inputs) {
  LoadPlan plan;
  plan.crash_regions = find_crash_regions(machine);
  plan.system_ram = machine.memory.system_ram();
  plan.cpu_notes = machine.cpu_notes;
  plan.kernel = identify(inputs.kernel);
  if (inputs.initrd) plan.initrd = identify(*inputs.initrd);
  KernelImage image =
      with_context(inputs.kernel.path, [&] { return load_arm64_image(std::move(inputs.kernel.bytes)); });
  plan.compression = image.compression;
  plan.kernel_page_size = image.page_size;
  plan.text_offset = image.text_offset;
  plan.image_size = image.image_size;

  // What the crash kernel is told about the crashed machine.
  plan.addresses = find_addresses(machine);
  plan.core_headers =
      list_core_headers(machine, plan.addresses, subtract_ranges(plan.system_ram, plan.crash_regions));
  std::vector<uint8_t> elfcorehdr = make_elfcorehdr(plan.core_headers);
  plan.command_line = make_command_line(inputs.command_line, machine.command_line);

  // Where everything goes.
  Placer placer(plan.main_region());
  uint64_t kernel_at =
      placer.from_bottom("kernel", whole_segments(image.image_size), block_size, image.text_offset);
  uint64_t header_at = placer.from_top("elfcorehdr", whole_segments(elfcorehdr.size()), segment_alignment);
  uint64_t trampoline_at = placer.from_top("trampoline", whole_segments(trampoline_size), segment_alignment);
  uint64_t dtb_at = placer.from_top("dtb", block_size, block_size);
  std::optional<Range> initrd;
  if (inputs.initrd && !inputs.initrd->bytes.empty()) {
    uint64_t size = inputs.initrd->bytes.size();
    initrd = Range{placer.from_bottom("initrd", whole_segments(size), segment_alignment), size};
  }

  // The device tree names all of them, so it comes last.
  DtbRequest request;
  request.elfcorehdr = {header_at, whole_segments(elfcorehdr.size())};
  request.usable_memory = usable_memory(plan.crash_regions);
  request.initrd = initrd;
  request.command_line = plan.command_line.text;
  request.seeds = inputs.seeds;
  plan.dtb_source = inputs.dtb ? inputs.dtb->path : machine.device_tree_source;
  EditedDtb dtb = with_context(plan.dtb_source, [&] {
    return edit_dtb(inputs.dtb ? inputs.dtb->bytes : machine.device_tree, request);
  });
  plan.dtb_edits = std::move(dtb.edits);

  plan.segments.push_back({"kernel", {kernel_at, whole_segments(image.image_size)}, std::move(image.bytes)});
  if (initrd) {
    plan.segments.push_back(
        {"initrd", {initrd->start, whole_segments(initrd->size)}, std::move(inputs.initrd->bytes)});
  }
  uint64_t dtb_size = whole_segments(dtb.bytes.size());
  plan.segments.push_back({"dtb", {dtb_at, dtb_size}, std::move(dtb.bytes)});
  plan.segments.push_back(
      {"trampoline", {trampoline_at, whole_segments(trampoline_size)}, make_trampoline(dtb_at, kernel_at)});
  plan.segments.push_back({"elfcorehdr", request.elfcorehdr, std::move(elfcorehdr)});
  plan.entry = trampoline_at;
  run_checks(machine, plan);
  return plan;
}

}  // namespace kdk
