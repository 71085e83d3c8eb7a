// Every errno with which the kernel refuses a crash kernel has a cause and a next step of its own. The list
// was made from the sources of Linux 6.12, by the functions that both system calls reach.
#include <gtest/gtest.h>

#include <cerrno>
#include <set>
#include <span>

#include "core/base/error.h"
#include "loader/kexec/kexec.h"

namespace kdk {
namespace {

constexpr int enotsupp = 524;  // include/linux/errno.h

struct Refusal {
  int errno_value;
  const char* source;
};

constexpr Refusal by_segments[] = {
    {EPERM, "kernel/kexec.c, kernel/kexec_core.c (kexec_load_permitted), security/lockdown/lockdown.c"},
    {EACCES, "security/integrity/ima/ima_main.c (ima_load_data)"},
    {EBUSY, "kernel/kexec.c (kexec_trylock)"},
    {EINVAL,
     "kernel/kexec.c (flags, segments, architecture), kernel/kexec_core.c (sanity_check_segment_list)"},
    {EADDRNOTAVAIL, "kernel/kexec.c (kimage_alloc_init), kernel/kexec_core.c (sanity_check_segment_list)"},
    {EFAULT, "kernel/kexec_core.c (kimage_load_crash_segment), mm/util.c (memdup_user)"},
    {ENOMEM, "kernel/kexec.c, kernel/kexec_core.c, arch/x86/kernel/machine_kexec_64.c (init_pgtable)"},
    {ENOSYS, "kernel/sys_ni.c"},
};

constexpr Refusal by_files[] = {
    {EPERM, "kernel/kexec_file.c (kimage_validate_signature), security/loadpin/loadpin.c"},
    {EACCES, "security/integrity/ima/ima_main.c (ima_post_read_file)"},
    {EBUSY, "kernel/kexec_file.c (kexec_trylock)"},
    {EINVAL, "kernel/kexec_file.c, arch/arm64/kernel/kexec_image.c, arch/arm64/kernel/machine_kexec_file.c"},
    {ENOEXEC, "kernel/kexec_file.c, arch/x86/kernel/kexec-bzimage64.c, arch/x86/kernel/machine_kexec_64.c"},
    {EADDRNOTAVAIL, "kernel/kexec_file.c (kexec_locate_mem_hole)"},
    {EFAULT, "mm/util.c (memdup_user)"},
    {ENOMEM, "kernel/kexec_file.c, fs/kernel_read_file.c, kernel/crash_core.c, arch/x86/kernel/crash.c"},
    {ENOSYS, "kernel/sys_ni.c"},
    {EBADF, "fs/kernel_read_file.c"},
    {EFBIG, "fs/kernel_read_file.c"},
    {EIO, "fs/kernel_read_file.c"},
    {ETXTBSY, "include/linux/fs.h (deny_write_access)"},
    {ENOENT, "crypto/asymmetric_keys/verify_pefile.c, kernel/kexec_file.c (crypto_alloc_shash)"},
    {EKEYREJECTED, "kernel/kexec_file.c, crypto/asymmetric_keys/public_key.c, pkcs7_verify.c, pkcs7_trust.c"},
    {ENOKEY, "certs/system_keyring.c, crypto/asymmetric_keys/verify_pefile.c"},
    {EKEYEXPIRED, "security/keys/permission.c (key_validate)"},
    {EKEYREVOKED, "security/keys/permission.c (key_validate)"},
    {ENODATA, "crypto/asymmetric_keys/verify_pefile.c"},
    {EBADMSG, "crypto/asymmetric_keys/verify_pefile.c, pkcs7_parser.c, mscode_parser.c, lib/asn1_decoder.c"},
    {EMSGSIZE, "crypto/asymmetric_keys/verify_pefile.c, lib/asn1_decoder.c"},
    {ELIBBAD, "crypto/asymmetric_keys/verify_pefile.c"},
    {ENOPKG, "crypto/asymmetric_keys/pkcs7_verify.c, public_key.c"},
    {enotsupp, "crypto/asymmetric_keys/verify_pefile.c, signature.c"},
};

void expect_explained(LoadCall call, std::span<const Refusal> refusals, const Architecture& architecture) {
  std::set<std::string> causes;
  for (const Refusal& refusal : refusals) {
    Error error = explain_kexec_errno(call, refusal.errno_value, "load", &architecture);
    std::string why = error.message().substr(0, error.message().rfind('('));
    EXPECT_EQ(why.find("the kernel refused"), std::string::npos)
        << refusal.errno_value << " " << refusal.source;
    EXPECT_TRUE(causes.insert(why).second) << "said twice: " << why;
    EXPECT_FALSE(error.hint().empty()) << refusal.errno_value << " " << refusal.source;
  }
}

TEST(KexecErrno, EveryRefusalHasACauseAndANextStep) {
  for (const Architecture* architecture : {&arm64_architecture, &x86_64_architecture}) {
    expect_explained(LoadCall::kexec_load, by_segments, *architecture);
    expect_explained(LoadCall::kexec_file_load, by_files, *architecture);
  }
}

TEST(KexecErrno, MeansWhatItMeansOnTheArchitecture) {
  auto file = [](int value, const Architecture& architecture) {
    Error error = explain_kexec_errno(LoadCall::kexec_file_load, value, "load", &architecture);
    return error.message() + error.hint();
  };
  EXPECT_NE(file(EINVAL, arm64_architecture).find("page size"), std::string::npos);
  EXPECT_EQ(file(EINVAL, x86_64_architecture).find("page size"), std::string::npos);
  EXPECT_NE(file(ENOEXEC, arm64_architecture).find("plain Image"), std::string::npos);
  EXPECT_NE(file(ENOEXEC, x86_64_architecture).find("bzImage"), std::string::npos);
  EXPECT_NE(file(ENOSYS, arm64_architecture).find("CONFIG_KEXEC_FILE"), std::string::npos);
}

TEST(KexecErrno, PermissionIsSaidAsSuch) {
  for (int value : {EPERM, EACCES}) {
    for (LoadCall call : {LoadCall::kexec_load, LoadCall::kexec_file_load})
      EXPECT_EQ(explain_kexec_errno(call, value, "load").code(), Errc::denied);
  }
  EXPECT_EQ(explain_kexec_errno(LoadCall::kexec_file_load, EKEYREJECTED, "load").code(), Errc::denied);
}

TEST(KexecErrno, AnUnknownOneStillPointsSomewhere) {
  Error error = explain_kexec_errno(LoadCall::kexec_load, ENOTTY, "kexec_load");
  EXPECT_NE(error.message().find("Inappropriate ioctl"), std::string::npos) << error.message();
  EXPECT_NE(error.hint().find("dmesg"), std::string::npos);
}

}  // namespace
}  // namespace kdk
