#include "loader/reserve/reservation.h"

#include <fcntl.h>
#include <fmt/format.h>

#include "loader/kexec/kexec.h"
#include "loader/machine/machine.h"
#include "loader/plan/checks.h"
#include "loader/state/record.h"

namespace kdk {
namespace {

constexpr std::string_view size_path = "/sys/kernel/kexec_crash_size";
constexpr uint64_t four_gib = uint64_t{4} << 30;

using State = Reservation::State;

struct Verdict {
  State state;
  std::string detail;
};

Verdict judge_missing(const CrashkernelDecision& decision) {
  if (decision.options.empty()) return {State::not_asked, "the command line has no crashkernel="};
  if (!decision.request) return {State::missing, "the kernel reserves nothing: " + decision.problem};
  std::string where = " where the kernel looks for it (see its log: dmesg | grep -i crashkernel)";
  if (decision.request->offset != 0) {
    where = fmt::format(" at {:#x}: leave the offset away", decision.request->offset);
  }
  return {State::missing,
          fmt::format("{} were asked for, and there was no room{}", mib(decision.request->size), where)};
}

Verdict judge(const Reservation& reservation) {
  if (reservation.regions.empty()) return judge_missing(reservation.decision);
  const Range& main = reservation.regions.back();
  if (!reservation.decision.request) {
    return {State::differs,
            "reserved, though by the command line nothing would be" +
                (reservation.decision.problem.empty() ? "" : ": " + reservation.decision.problem)};
  }
  const CrashkernelRequest& request = *reservation.decision.request;
  // Kernels round the size up to their pages, of 64 KiB at most.
  uint64_t asked = align_up(request.size, 64 << 10);
  if (main.size < request.size) {
    return {State::differs, fmt::format("{} of the {} asked for: it was made smaller since the boot",
                                        mib(main.size), mib(request.size))};
  }
  if (main.size > asked) {
    return {State::differs, fmt::format("{}, more than the {} asked for", mib(main.size), mib(request.size))};
  }
  if (request.offset != 0 && main.start != request.offset) {
    return {State::differs, fmt::format("not at {:#x} as asked for", request.offset)};
  }
  if (request.high && main.start < four_gib) {
    return {State::as_asked, "below 4 GiB: there was no room above"};
  }
  if (!request.high && request.offset == 0 && main.start >= four_gib) {
    return {State::as_asked, "above 4 GiB: there was no room below"};
  }
  return {State::as_asked, ""};
}

}  // namespace

std::string_view to_string(State state) {
  switch (state) {
    case State::as_asked:
      return "as_asked";
    case State::differs:
      return "differs";
    case State::missing:
      return "missing";
    case State::not_asked:
      return "not_asked";
  }
  return "unknown";
}

Reservation read_reservation(const SysRoot& root, const Machine& machine) {
  Reservation reservation;
  reservation.ram = total_size(machine.memory.system_ram());
  reservation.regions = machine.memory.crash_regions();
  // Whether the kernel rounds RAM up before it looks for a range cannot be asked; what it reserved can tell.
  reservation.decision = decide_crashkernel(machine.command_line, reservation.ram, true);
  Verdict verdict = judge(reservation);
  if (verdict.state == State::differs || verdict.state == State::missing) {
    Reservation other = reservation;
    other.decision = decide_crashkernel(machine.command_line, reservation.ram, false);
    if (Verdict plain = judge(other); plain.state == State::as_asked) {
      verdict = plain;
      reservation.decision = std::move(other.decision);
    }
  }
  reservation.state = verdict.state;
  reservation.detail = std::move(verdict.detail);
  reservation.loaded = crash_kernel_loaded(root);
  if (!reservation.loaded) return reservation;
  try {
    if (std::optional<LoadRecord> record = read_record(root)) reservation.segments = record->segments;
  } catch (const Error&) {
    // Without the record it is only not known what lies in there; `status` says why.
  }
  return reservation;
}

uint64_t shrink_reservation(const SysRoot& root, uint64_t bytes) {
  std::optional<uint64_t> reserved = read_crash_size(root);
  if (!reserved) throw Error(Errc::missing, fmt::format("{}: this kernel has no kexec", size_path));
  if (*reserved == 0) throw Error(Errc::missing, "no memory is reserved: there is nothing to make smaller");
  if (bytes > *reserved) {
    throw Error(Errc::unsupported,
                fmt::format("{} are reserved: a running kernel can only make that smaller", mib(*reserved)))
        .with_hint("kdump-load reserve --apply SIZE, and reboot");
  }
  if (crash_kernel_loaded(root)) {
    throw Error(Errc::unsupported, "a crash kernel is loaded: the kernel keeps its memory")
        .with_hint("kdump-load unload, then this, then load again");
  }
  Fd fd = Fd::open(root.path(size_path), O_WRONLY | O_TRUNC);
  std::string text = std::to_string(bytes) + "\n";
  write_all(fd, as_bytes(text), size_path);
  fd = Fd();
  return read_crash_size(root).value_or(0);
}

}  // namespace kdk
