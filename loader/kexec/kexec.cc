#include "loader/kexec/kexec.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/kexec.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "core/base/log.h"

namespace kdk {
namespace {

// Flags newer than the headers this may be built with (include/uapi/linux/kexec.h).
constexpr std::array file_debug = {NamedFlag{8, "KEXEC_FILE_DEBUG"}};
// Both let the kernel rewrite the elfcorehdr segment after hotplug, and promise that no digest of ours covers
// it. Linux commits 79365026f869 ("crash: add a new kexec flag for hotplug support") (in v6.10), which has it
// for every segment that hotplug may change (the elfcorehdr is ours), and a72bbec70da2 ("crash: hotplug
// support for kexec_load()") (in v6.6).
constexpr std::array follow_hotplug = {NamedFlag{8, "KEXEC_CRASH_HOTPLUG_SUPPORT"},
                                       NamedFlag{4, "KEXEC_UPDATE_ELFCOREHDR"}};
constexpr uint64_t largest_input = uint64_t{4} << 30;  // KEXEC_FILE_SIZE_MAX

std::vector<NamedFlag> load_flags(const LoadPlan& plan) {
  if (plan.call == LoadCall::kexec_load) {
    return {{KEXEC_ON_CRASH, "KEXEC_ON_CRASH"},
            {uint64_t{plan.architecture->elf_machine} << 16, "KEXEC_ARCH"}};
  }
  std::vector<NamedFlag> flags = {{KEXEC_FILE_ON_CRASH, "KEXEC_FILE_ON_CRASH"}};
  if (!plan.initrd) flags.push_back({KEXEC_FILE_NO_INITRAMFS, "KEXEC_FILE_NO_INITRAMFS"});
  return flags;
}

// By what the kernel has in sysfs: one that cannot follow hotplug has no use for the flag.
std::span<const NamedFlag> optional_flags(const LoadPlan& plan) {
  bool wanted = plan.call == LoadCall::kexec_load && plan.header_upkeep == HeaderUpkeep::kernel;
  return wanted ? std::span<const NamedFlag>(follow_hotplug) : std::span<const NamedFlag>();
}

uint64_t flag_bits(const LoadPlan& plan) {
  uint64_t bits = 0;
  for (const NamedFlag& flag : load_flags(plan)) bits |= flag.bits;
  return bits;
}

std::vector<std::string> names_of(std::span<const NamedFlag> flags) {
  std::vector<std::string> names;
  for (const NamedFlag& flag : flags) names.emplace_back(flag.name);
  return names;
}

int errno_of(long result) {
  return result == 0 ? 0 : errno;
}

int kexec_load(uint64_t entry, const std::vector<kexec_segment>& segments, uint64_t flags) {
  return errno_of(::syscall(SYS_kexec_load, static_cast<unsigned long>(entry), segments.size(),
                            segments.data(), static_cast<unsigned long>(flags)));
}

// `command_line_size` counts the NUL, which the kernel insists on.
int kexec_file_load(int kernel, int initrd, const char* command_line, size_t command_line_size,
                    uint64_t flags) {
  return errno_of(::syscall(SYS_kexec_file_load, kernel, initrd,
                            static_cast<unsigned long>(command_line_size), command_line,
                            static_cast<unsigned long>(flags)));
}

int load_segments(const LoadPlan& plan) {
  std::vector<kexec_segment> segments;
  for (const Segment& segment : plan.segments) {
    // The kernel's interface carries the physical address in a pointer.
    segments.push_back({segment.data.data(), segment.data.size(),
                        reinterpret_cast<const void*>(static_cast<uintptr_t>(segment.memory.start)),
                        segment.memory.size});
  }
  return call_with_optional_flags(
             flag_bits(plan), optional_flags(plan),
             [&](uint64_t flags) { return kexec_load(plan.entry.value_or(0), segments, flags); })
      .result;
}

int load_files(const LoadPlan& plan, const LoadFiles& files, bool debug) {
  const std::string& line = plan.command_line.text;
  const HandedFiles handed(plan, files);
  std::span<const NamedFlag> optional = file_debug;
  return call_with_optional_flags(flag_bits(plan), debug ? optional : std::span<const NamedFlag>(),
                                  [&](uint64_t flags) {
                                    return kexec_file_load(handed.kernel(), handed.initrd(), line.c_str(),
                                                           line.size() + 1, flags);
                                  })
      .result;
}

// What was planned may still not be so: the kernel may have been asked without the flag for it.
void warn_unless_followed(const SysRoot& root) {
  for (std::string_view what : {"cpu", "memory"}) {
    if (kernel_follows_hotplug(root, what) != false) continue;
    log_warning(
        "/sys/devices/system/{}/crash_hotplug is 0: the kernel will not follow hotplug in the loaded "
        "image; run kdump-load reload after it",
        what);
  }
}

}  // namespace

bool crash_kernel_loaded(const SysRoot& root) {
  std::optional<std::string> text = root.read_line("/sys/kernel/kexec_crash_loaded");
  if (!text) {
    throw Error(Errc::missing,
                "/sys/kernel/kexec_crash_loaded does not exist: this kernel is built without kexec")
        .with_hint("use a kernel with CONFIG_KEXEC and CONFIG_CRASH_DUMP");
  }
  return *text == "1";
}

std::vector<std::string> load_flag_names(const LoadPlan& plan) {
  return names_of(load_flags(plan));
}

std::vector<std::string> optional_flag_names(const LoadPlan& plan) {
  return names_of(optional_flags(plan));
}

NegotiatedCall call_with_optional_flags(uint64_t flags, std::span<const NamedFlag> optional,
                                        const FlaggedCall& call) {
  std::vector<std::string_view> dropped;
  NegotiatedCall done;
  for (const NamedFlag& flag : optional) {
    done = {call(flags | flag.bits), flag.name};
    if (done.result != EINVAL) break;
    dropped.push_back(flag.name);
  }
  if (dropped.size() == optional.size()) done = {call(flags), ""};
  // Refused without any, too: it was not the flags.
  if (done.result == EINVAL) return done;
  for (std::string_view name : dropped) log_info("the kernel does not know {}: left out", name);
  return done;
}

Fd memory_file(const std::string& name, Bytes content) {
  // Kernels with vm.memfd_noexec want the flag, older ones refuse it
  // (Documentation/userspace-api/mfd_noexec.rst).
  constexpr unsigned memfd_noexec_seal = 8;
  int created = ::memfd_create(name.c_str(), MFD_CLOEXEC | memfd_noexec_seal);
  if (created < 0 && errno == EINVAL) created = ::memfd_create(name.c_str(), MFD_CLOEXEC);
  if (created < 0) throw error_from_errno(errno, name + ": memfd_create");
  Fd writable(created);
  write_all(writable, content, name);
  // The kernel reads no file that is open for writing (fs/kernel_read_file.c, deny_write_access).
  return Fd::open(fmt::format("/proc/self/fd/{}", writable.get()), O_RDONLY);
}

HandedFiles::HandedFiles(const LoadPlan& plan, const LoadFiles& files)
    : kernel_in_memory_(plan.unpacked_kernel.empty() ? Fd()
                                                     : memory_file("unpacked kernel", plan.unpacked_kernel)),
      initrd_in_memory_(plan.extracted_initrd.empty()
                            ? Fd()
                            : memory_file("initramfs of the kernel file", plan.extracted_initrd)),
      kernel_(plan.unpacked_kernel.empty() ? files.kernel : kernel_in_memory_),
      initrd_(plan.extracted_initrd.empty() ? files.initrd : initrd_in_memory_) {}

void require_unchanged(const Fd& fd, const InputIdentity& planned) {
  std::vector<uint8_t> now(std::min<uint64_t>(file_size(fd).value_or(planned.size), largest_input));
  now.resize(read_at(fd, 0, now, planned.path));
  if (identify(planned.path, now).sha256 == planned.sha256) return;
  throw Error(Errc::format, planned.path + ": the file was changed after it was checked")
      .with_hint("wait until whatever writes it is done, and load again");
}

void load_crash_kernel(const LoadPlan& plan, const LoadFiles& files, bool debug) {
  if (!plan.good()) throw Error(Errc::unsupported, "a plan with failed checks is never loaded");
  bool by_file = plan.call == LoadCall::kexec_file_load;
  if (by_file) {
    require_unchanged(files.kernel, plan.kernel);
    if (plan.initrd && plan.initrd->is_whole_file()) require_unchanged(files.initrd, *plan.initrd);
  }
  int result = by_file ? load_files(plan, files, debug) : load_segments(plan);
  if (result != 0) throw explain_kexec_errno(plan.call, result, to_string(plan.call), plan.architecture);
  if (!crash_kernel_loaded(SysRoot())) {
    throw Error(Errc::io, fmt::format("{} succeeded, but /sys/kernel/kexec_crash_loaded is not 1: no crash "
                                      "kernel is loaded",
                                      to_string(plan.call)));
  }
  if (plan.header_upkeep == HeaderUpkeep::kernel) warn_unless_followed(SysRoot());
}

void unload_crash_kernel() {
  // Lockdown allows unloading only through the newer call.
  LoadCall call = LoadCall::kexec_file_load;
  int result = kexec_file_load(-1, -1, nullptr, 0, KEXEC_FILE_UNLOAD | KEXEC_FILE_ON_CRASH);
  if (result == ENOSYS) {
    call = LoadCall::kexec_load;
    result = kexec_load(0, {}, KEXEC_ON_CRASH);
  }
  if (result != 0) throw explain_kexec_errno(call, result, "unloading the crash kernel");
  if (crash_kernel_loaded(SysRoot())) {
    throw Error(Errc::io, "unloading succeeded, but /sys/kernel/kexec_crash_loaded is still 1");
  }
}

}  // namespace kdk
