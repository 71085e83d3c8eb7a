#include "loader/arch/arm64_file.h"

#include <fmt/format.h>

#include "loader/arch/arm64_boot_checks.h"
#include "loader/plan/file_load_checks.h"
#include "loader/plan/kernel_placement.h"

namespace kdk::arm64 {
namespace {

constexpr uint64_t largest_page = 64 << 10;
constexpr uint64_t gib = uint64_t{1} << 30;
// The code page and the copy of VMCOREINFO. A crash image lies in its place, so there are no page tables.
constexpr uint64_t control_pages = 2;

// The running kernel's pages; the largest ones where a recording does not tell.
uint64_t running_page_size(const Machine& machine) {
  return machine.page_size.value_or(largest_page);
}

Outcome check_device_tree(const LoadPlan& plan) {
  for (const ExpectedSegment& segment : plan.expected) {
    if (segment.name != "dtb" || segment.memory.size <= max_dtb_size) continue;
    return failed(fmt::format("the kernel will make one of {} KiB, and crash kernels map {} KiB",
                              segment.memory.size >> 10, max_dtb_size >> 10));
  }
  return ok(fmt::format("the kernel will make it from its own, like {}", plan.device_tree->source));
}

}  // namespace

void compose_files(const Machine& machine, LoadInputs& inputs, LoadPlan& plan) {
  if (inputs.dtb) {
    throw Error(Errc::unsupported,
                "kexec_file_load gives the crash kernel the running machine's device tree: it takes no --dtb")
        .with_hint("use --syscall kexec, or leave --dtb out");
  }
  plan.command_line_limit = {command_line_size - 1, "arm64 kernels cut it after"};

  // In the kernel's order. When something finds no room, the kernel tries again with its image higher up; in
  // one region that never helps, since all but the control pages goes above the image.
  uint64_t text_offset = plan.image.text_offset.value_or(0);
  KernelPlacer placer(plan.main_region(), running_page_size(machine));
  Range kernel = placer.bottom_up("kernel", plan.image.image_size + text_offset, {.alignment = block_size});
  DtbRequest request;
  request.elfcorehdr = placer.top_down(
      "elfcorehdr", expected_elfcorehdr_size(machine, plan),
      {.alignment = largest_page, .minimum = kernel.end(), .estimated = !machine.elfcorehdr_size});
  if (inputs.initrd && !inputs.initrd->bytes.empty()) {
    Range place = placer.bottom_up("initrd", inputs.initrd->bytes.size(), {.minimum = kernel.end()});
    if (place.end() > align_down(kernel.start, gib) + 32 * gib)
      throw Error(Errc::unsupported, "the initramfs would end more than 32 GiB behind the kernel");
    request.initrd = Range{place.start, inputs.initrd->bytes.size()};
  }

  // As the kernel makes it, up to the seeds.
  request.usable_memory = usable_memory(plan.crash_regions);
  request.command_line = plan.command_line.text;
  request.seeds = inputs.seeds;
  std::vector<uint8_t> dtb = make_tree(own_tree(machine), request, inputs.kernel.bytes, plan);
  placer.top_down("dtb", dtb.size(), {.alignment = block_size, .minimum = kernel.end(), .estimated = true});
  placer.bottom_up("control_pages", control_pages * running_page_size(machine), {.estimated = true});

  plan.expected = placer.take();
  for (ExpectedSegment& segment : plan.expected) {
    if (segment.name == "kernel") segment.memory = {kernel.start + text_offset, kernel.size - text_offset};
  }
}

void check_files(const Machine& machine, LoadPlan& plan) {
  auto run = [&](std::string name, auto&& check_it) {
    plan.checks.push_back(run_check(std::move(name), check_it));
  };
  run("signature", [&] { return check_signature(machine, plan); });
  run("page_size", [&] { return check_page_size(machine, plan); });
  run("segments", [&] { return check_expected(machine, plan); });
  run("device_tree", [&] { return check_device_tree(plan); });
  run("device_tree_memory", [&] { return check_tree_memory(machine, plan); });
}

}  // namespace kdk::arm64
