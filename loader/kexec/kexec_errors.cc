// What the kernel's refusals mean, and what to do about each.
//
// Sources: kexec_load(2), kexec_file_load(2), and the kernel's files that
// tests/unit/loader/kexec_errno_test.cc lists for each errno.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>

#include "loader/arch/architecture.h"
#include "loader/kexec/kexec.h"
#include "loader/plan/elf64.h"

namespace kdk {
namespace {

// The kernel's ENOTSUPP, which user space has no name for (include/linux/errno.h).
constexpr int enotsupp = 524;

// Where it means something else on one architecture, `elf_machine` says on which; those come first.
struct Cause {
  int errno_value;
  Errc code;
  std::string_view why;
  std::string_view hint;
  uint16_t elf_machine = 0;
};

// Both calls.
constexpr std::array common_causes = {
    Cause{EPERM, Errc::denied, "the kernel does not allow it",
          "run as root (CAP_SYS_BOOT); check kernel.kexec_load_disabled, kernel.kexec_load_limit_panic and "
          "/sys/kernel/security/lockdown"},
    Cause{EBUSY, Errc::io, "another program is loading a kernel", "try again"},
    Cause{ENOMEM, Errc::io, "not enough free memory to stage the segments", "free memory and try again"},
    Cause{EFAULT, Errc::io, "the kernel could not read what kdump-load gave it",
          "this is a bug of kdump-load: report it with the output of `kdump-load plan -v`"},
};

constexpr std::array segment_causes = {
    Cause{EADDRNOTAVAIL, Errc::unsupported,
          "a segment is not inside the region reserved for the crash kernel",
          "compare /proc/iomem with `kdump-load plan`; the region may have been shrunk meanwhile"},
    Cause{EINVAL, Errc::unsupported, "the kernel found the segments or flags invalid",
          "run `kdump-load plan -v` and report its output: the checks should have found this"},
    Cause{ENOSYS, Errc::unsupported, "this kernel has no kexec_load", "use a kernel with CONFIG_KEXEC"},
    // security/integrity/ima/ima_main.c, ima_load_data: without a file there is no signature to look at.
    Cause{EACCES, Errc::denied, "the IMA policy wants a signature, which this call cannot carry",
          "use --syscall file with a signed kernel, where the kernel has it"},
};

constexpr std::string_view use_signed_kernel =
    "load the kernel this machine booted, or one whose signer the kernel trusts; `kdump-load check-image` "
    "and the "
    "kernel log tell more";

constexpr std::array file_causes = {
    Cause{
        EPERM, Errc::denied, "the kernel does not allow it",
        "run as root (CAP_SYS_BOOT); check kernel.kexec_load_disabled, kernel.kexec_load_limit_panic; under "
        "lockdown (/sys/kernel/security/lockdown) the kernel file must be signed by a key this kernel "
        "trusts: "
        "`kdump-load check-image` and the kernel log tell more"},
    Cause{EACCES, Errc::denied, "the IMA policy refuses the kernel or the initramfs",
          "give the file a security.ima signature the policy accepts (evmctl ima_sign)"},
    Cause{EINVAL, Errc::unsupported,
          "the kernel takes no such image (pages or byte order that this CPU does not have), or found its "
          "signature, the "
          "device tree, the command line or the flags invalid",
          "use a kernel with the page size of the running one; `kdump-load check-image` judges its "
          "signature; the kernel "
          "log, with -v, names what it missed",
          elf64::machine_aarch64},
    Cause{ENOEXEC, Errc::unsupported, "the kernel does not take this kind of kernel file",
          "use the plain Image; the kernel log names what it missed", elf64::machine_aarch64},
    Cause{ENOEXEC, Errc::unsupported, "the kernel does not take this kind of kernel file",
          "use the plain bzImage (/boot/vmlinuz-*); the kernel log names what it missed"},
    Cause{
        EINVAL, Errc::unsupported,
        "the kernel found the signature of the kernel file, the command line, the flags or the sizes invalid",
        "look at the signature with `kdump-load check-image`; shorten the command line; else run `kdump-load "
        "plan -v` "
        "and report its output: the checks should have found this"},
    Cause{EADDRNOTAVAIL, Errc::unsupported, "the crash region has no room for the kernel and its initramfs",
          "boot with a larger crashkernel=; the region may have been shrunk meanwhile"},
    Cause{ENOMEM, Errc::io, "not enough memory for the files, or too little room in the crash region",
          "free memory and try again, or boot with a larger crashkernel="},
    Cause{ENOSYS, Errc::unsupported, "this kernel is built without kexec_file_load",
          "use a kernel with CONFIG_KEXEC_FILE"},
    Cause{EBADF, Errc::io, "a file is not open for reading", "check the files"},
    Cause{ETXTBSY, Errc::io, "a file is open for writing",
          "wait until whatever writes it is done, and load again"},
    Cause{EFBIG, Errc::unsupported, "a file is larger than the kernel takes", "use a smaller initramfs"},
    Cause{EIO, Errc::io, "the kernel could not read a file", "check the disk"},
    // Signatures
    Cause{EKEYREJECTED, Errc::denied, "the signature of the kernel file is not accepted", use_signed_kernel},
    Cause{ENOKEY, Errc::denied, "the signer of the kernel file is not among the kernel's keys",
          use_signed_kernel},
    Cause{EKEYEXPIRED, Errc::denied, "the key of the signature has expired", use_signed_kernel},
    Cause{EKEYREVOKED, Errc::denied, "the key of the signature is revoked", use_signed_kernel},
    Cause{ENODATA, Errc::denied, "the kernel file is not signed, and this kernel insists on it",
          use_signed_kernel},
    Cause{EBADMSG, Errc::denied, "the signature of the kernel file is damaged", use_signed_kernel},
    Cause{ELIBBAD, Errc::denied, "the kernel file or its signature is no proper PE file", use_signed_kernel},
    Cause{ENOPKG, Errc::unsupported, "the signature uses an algorithm this kernel does not have",
          use_signed_kernel},
    Cause{EMSGSIZE, Errc::denied, "the signature of the kernel file is longer than it says",
          use_signed_kernel},
    Cause{ENOENT, Errc::unsupported, "this kernel lacks the hash the signature or the purgatory needs",
          "load the kernel's crypto modules (sha256), or sign with a hash it has (/proc/crypto)"},
    Cause{enotsupp, Errc::unsupported, "this kernel cannot verify signatures of such files",
          use_signed_kernel},
};

template <size_t N>
const Cause* find_cause(const std::array<Cause, N>& causes, int errno_value, uint16_t elf_machine) {
  auto found = std::find_if(causes.begin(), causes.end(), [&](const Cause& cause) {
    return cause.errno_value == errno_value && (cause.elf_machine == 0 || cause.elf_machine == elf_machine);
  });
  return found == causes.end() ? nullptr : &*found;
}

}  // namespace

Error explain_kexec_errno(LoadCall call, int errno_value, std::string_view action,
                          const Architecture* architecture) {
  uint16_t machine = architecture != nullptr ? architecture->elf_machine : 0;
  const Cause* cause = call == LoadCall::kexec_load ? find_cause(segment_causes, errno_value, machine)
                                                    : find_cause(file_causes, errno_value, machine);
  if (cause == nullptr) cause = find_cause(common_causes, errno_value, machine);
  std::string system = std::generic_category().message(errno_value);
  if (cause == nullptr) {
    return Error(Errc::io, fmt::format("{}: the kernel refused ({})", action, system))
        .with_hint("the kernel log (dmesg) may say why");
  }
  return Error(cause->code, fmt::format("{}: {} ({})", action, cause->why, system))
      .with_hint(std::string(cause->hint));
}

}  // namespace kdk
