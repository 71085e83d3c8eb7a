#include "loader/plan/plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/base/sha256.h"
#include "loader/plan/checks.h"
#include "loader/plan/choose_loader.h"
#include "loader/plan/digest.h"

namespace kdk {
namespace {

std::vector<Range> find_crash_regions(const Machine& machine) {
  std::vector<Range> regions = machine.memory.crash_regions();
  if (regions.empty()) {
    throw Error(Errc::missing,
                "no memory is reserved for a crash kernel (no \"Crash kernel\" in /proc/iomem)")
        .with_hint(
            "boot with crashkernel=256M (or larger) on the kernel command line; kdump-load reserve says how "
            "much, and --apply gives it to the boot loader");
  }
  if (regions.size() > 2) {
    // One low and one main region is all that kernels reserve, and all that linux,usable-memory-range could
    // say for most of them.
    throw Error(
        Errc::unsupported,
        fmt::format("{} crash kernel regions in /proc/iomem; at most 2 are understood", regions.size()));
  }
  return regions;
}

// What the image parsers throw says why; here is added whose fault it is, and what to do.
KernelInfo read_kernel(const Architecture& architecture, InputFile& kernel) {
  try {
    return architecture.read_kernel(kernel.bytes);
  } catch (Error& e) {
    e.add_context(kernel.path);
    if (e.hint().empty()) {
      e.with_hint(
          e.code() == Errc::format
              ? "if this is a kernel, it is damaged or was not copied whole: copy the kernel file again"
              : fmt::format("use an {} kernel", architecture.name));
    }
    throw;
  }
}

}  // namespace

std::string_view to_string(LoadCall call) {
  return call == LoadCall::kexec_load ? "kexec_load" : "kexec_file_load";
}

std::string_view to_string(HeaderUpkeep upkeep) {
  return upkeep == HeaderUpkeep::kernel ? "kernel" : "reload";
}

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

InputIdentity identify(const std::string& path, Bytes content) {
  return {path, content.size(), sha256_hex(content)};
}

InputIdentity identify(const InputFile& input) {
  InputIdentity identity = identify(input.path, input.bytes);
  identity.section = input.section;
  return identity;
}

std::string InputIdentity::name() const {
  return is_whole_file() ? path : fmt::format("{} (section {})", path, section);
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
  const Architecture& architecture = *machine.architecture;
  LoaderChoice choice = choose_loader(machine, inputs.call, inputs.dtb.has_value());
  LoadPlan plan;
  plan.call = choice.loader->call;
  plan.call_reason = std::move(choice.reason);
  plan.architecture = &architecture;
  plan.crash_regions = find_crash_regions(machine);
  plan.system_ram = machine.memory.system_ram();
  plan.cpu_notes = machine.cpu_notes;
  plan.header_upkeep = machine.elfcorehdr_size ? HeaderUpkeep::kernel : HeaderUpkeep::reload;
  plan.kernel = identify(inputs.kernel);
  if (inputs.initrd) plan.initrd = identify(*inputs.initrd);
  plan.image = read_kernel(architecture, inputs.kernel);
  plan.command_line =
      make_command_line(inputs.command_line, machine.command_line, architecture.crash_defaults);
  // Before compose: it may move the initramfs into a segment.
  Check unpacking = check_unpacking(plan, inputs.initrd ? Bytes(inputs.initrd->bytes) : Bytes());
  choice.loader->compose(machine, inputs, plan);
  if (plan.call == LoadCall::kexec_file_load) describe_file_digest(inputs.digest, plan);
  if (plan.call == LoadCall::kexec_file_load && !plan.image.is_plain())
    plan.unpacked_kernel = std::move(inputs.kernel.bytes);
  if (plan.call == LoadCall::kexec_file_load && plan.initrd && !plan.initrd->is_whole_file())
    plan.extracted_initrd = std::move(inputs.initrd->bytes);

  check_machine(machine, plan);
  choice.loader->check(machine, plan);
  plan.checks.push_back(run_check("digest", [&] { return check_digest(plan); }));
  check_command_line(plan);
  plan.checks.push_back(std::move(unpacking));
  return plan;
}

}  // namespace kdk
