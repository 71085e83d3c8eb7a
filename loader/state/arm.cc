#include "loader/state/arm.h"

#include <fcntl.h>
#include <sys/file.h>

#include <cerrno>
#include <filesystem>

#include "core/base/log.h"
#include "loader/state/kept_files.h"

namespace kdk {
namespace {

constexpr std::string_view lock_path = "/run/kdumpkit/lock";

// The machine is armed: what fails here only makes later commands know less.
void remember(const SysRoot& root, const PreparedLoad& load, const LoadRecord& record) {
  try {
    write_record(root, record);
  } catch (const Error& e) {
    log_warning("the crash kernel is loaded, but no record of it could be left: {}", e.message());
  }
  try {
    keep_files(root, load);
  } catch (const std::exception& e) {
    log_warning(
        "the crash kernel is loaded, but a copy of its files could not be kept; should a later load "
        "fail after they were replaced, it cannot be put back: {}",
        e.what());
  }
}

// Makes the plan again from the recorded files: hotplug may have happened since. Throws Error with the cause.
void load_again(const SysRoot& root, const LoadRecord& previous, const KexecActions& kexec) {
  PreparedLoad load = prepare_load(read_machine(root), find_recorded_files(root, previous));
  for (const Check& check : load.plan.checks) {
    if (check.status == Check::Status::failed) {
      throw Error(Errc::unsupported, "check " + check.name + ": " + check.detail);
    }
  }
  kexec.load(load.plan, load.files);
  // It is the same load as before, of the files it was asked to be from.
  load.request = *previous.request;
  load.plan.kernel = previous.kernel;
  load.plan.initrd = previous.initrd;
  load.dtb = previous.dtb;
  remember(root, load, make_record(root, load));
}

// What became of the image loaded before, as the end of an error message.
std::string put_back(const SysRoot& root, const std::optional<LoadRecord>& previous,
                     const std::string& unknown, const KexecActions& kexec) {
  static constexpr std::string_view unarmed = "THIS MACHINE HAS NO CRASH KERNEL NOW";
  std::string freed = "the kernel freed the crash kernel loaded before, and ";
  if (!previous) return freed + "it cannot be put back (" + unknown + "): " + std::string(unarmed);
  try {
    load_again(root, *previous, kexec);
    return freed + "it was loaded again: this machine is armed with it";
  } catch (const Error& e) {
    return freed + "loading it again failed (" + e.message() + "): " + std::string(unarmed);
  }
}

}  // namespace

KexecActions live_kexec(bool debug) {
  return {[debug](const LoadPlan& plan, const LoadFiles& files) { load_crash_kernel(plan, files, debug); },
          [] { unload_crash_kernel(); }, [] { return crash_kernel_loaded(SysRoot()); }};
}

void arm(const SysRoot& root, const PreparedLoad& next, const KexecActions& kexec) {
  bool was_loaded = kexec.loaded();
  std::optional<LoadRecord> previous;
  std::string unknown = "another program loaded it";
  try {
    if (was_loaded) previous = read_record(root);
  } catch (const Error& e) {
    unknown = e.message();
  }
  try {
    kexec.load(next.plan, next.files);
  } catch (const Error& e) {
    std::string outcome = kexec.loaded() ? "the crash kernel loaded before is still armed"
                          : was_loaded   ? put_back(root, previous, unknown, kexec)
                                         : "no crash kernel is loaded";
    throw Error(e.code(), e.message() + "; " + outcome).with_hint(e.hint());
  }
  remember(root, next, make_record(root, next));
}

void disarm(const SysRoot& root, const KexecActions& kexec) {
  kexec.unload();
  remove_record(root);
  remove_kept_files(root);
}

Fd lock_loading(const SysRoot& root) {
  std::filesystem::path path = root.path(lock_path);
  try {
    std::error_code error;
    std::filesystem::create_directories(path.parent_path(), error);
    if (error) throw error_from_errno(error.value(), path.parent_path().string());
    Fd lock = Fd::open(path, O_RDWR | O_CREAT, 0600);
    while (::flock(lock.get(), LOCK_EX) != 0) {
      if (errno != EINTR) throw error_from_errno(errno, path.string());
    }
    return lock;
  } catch (const Error& e) {
    if (e.code() == Errc::denied) throw Error(e.code(), e.message()).with_hint("run as root");
    // A machine with a read-only /run is better armed than locked.
    log_warning("other kdump-load processes cannot be held off: {}", e.message());
    return {};
  }
}

}  // namespace kdk
