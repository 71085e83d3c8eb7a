#include "loader/state/reload.h"

#include <fcntl.h>
#include <sys/file.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <thread>

#include "core/base/log.h"
#include "loader/state/verify.h"

namespace kdk {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr std::string_view request_path = "/run/kdumpkit/reload-wanted";  // exists: not begun yet
constexpr std::string_view worker_path = "/run/kdumpkit/reload-lock";     // locked: somebody will do it

// An empty Fd when another process holds it.
Fd try_lock(const fs::path& path) {
  Fd lock = Fd::open(path, O_RDWR | O_CREAT, 0600);
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) == 0) return lock;
  if (errno == EWOULDBLOCK) return {};
  throw error_from_errno(errno, path.string());
}

// Every request touches the file; quiet is when its time stands still.
void wait_for_quiet(const fs::path& request, const Settling& settling) {
  constexpr std::chrono::milliseconds step{50};
  Clock::time_point give_up = Clock::now() + settling.longest;
  Clock::time_point last_change = Clock::now();
  fs::file_time_type seen = fs::last_write_time(request);
  while (Clock::now() < std::min(last_change + settling.quiet, give_up)) {
    std::this_thread::sleep_for(step);
    fs::file_time_type now = fs::last_write_time(request);
    if (now != seen) last_change = Clock::now();
    seen = now;
  }
}

}  // namespace

bool run_coalesced(const SysRoot& root, const Settling& settling, const std::function<void()>& work) {
  fs::path request = root.path(request_path);
  std::error_code error;
  fs::create_directories(request.parent_path(), error);
  if (error) throw error_from_errno(error.value(), request.parent_path().string());
  write_all(Fd::open(request, O_WRONLY | O_CREAT | O_TRUNC, 0600), as_bytes("1"), request.string());
  // Whoever finds the lock taken leaves its request behind, so it must be looked for after every unlocking.
  bool worked = false;
  while (fs::exists(request)) {
    Fd lock = try_lock(root.path(worker_path));
    if (!lock) return worked;
    if (!fs::exists(request)) break;  // another worker was faster
    wait_for_quiet(request, settling);
    fs::remove(request);  // before the work: a request that comes during it is done after it
    work();
    worked = true;
  }
  return worked;
}

ReloadOutcome reload(const SysRoot& root, bool only_if_stale, const KexecActions& kexec) {
  Fd lock = lock_loading(root);
  std::optional<LoadRecord> record = read_record(root);
  if (!record || !record->request) {
    if (only_if_stale) return ReloadOutcome::not_loaded_by_us;
    throw Error(Errc::missing, "no load of this boot is recorded that could be repeated")
        .with_hint("arm with kdump-load load");
  }
  // Recorded but not loaded: a restore failed, so trying again is right.
  if (only_if_stale && verify_load(root).state == LoadVerification::State::verified)
    return ReloadOutcome::still_fits;
  PreparedLoad next = prepare_load(read_machine(root), *record->request);
  if (!next.plan.good()) {
    for (const Check& check : next.plan.checks) {
      if (check.status == Check::Status::failed) log_error("check {}: {}", check.name, check.detail);
    }
    throw Error(Errc::unsupported, kexec.loaded()
                                       ? "not reloaded; the crash kernel loaded before is still armed"
                                       : "not reloaded; no crash kernel is loaded");
  }
  arm(root, next, kexec);
  return ReloadOutcome::reloaded;
}

}  // namespace kdk
