// What the machine demands, read from files, and the forecast: a pure function, tested case by case.
#include "loader/signature/kernel_policy.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "loader/signature/forecast.h"

namespace kdk {
namespace {

namespace fs = std::filesystem;

class KernelPolicyTest : public testing::Test {
 protected:
  void SetUp() override {
    root_ = fs::temp_directory_path() / ("kdk-policy-" + std::to_string(::getpid()));
    fs::remove_all(root_);
    write("/proc/sys/kernel/osrelease", "6.12-test\n");
    write("/sys/firmware/devicetree/base/model", "x");
  }
  void TearDown() override { fs::remove_all(root_); }
  void write(std::string_view path, std::string_view text) {
    fs::path file = root_ / path.substr(1);
    fs::create_directories(file.parent_path());
    write_file_atomic(file, as_bytes(text));
  }
  void write_config(std::string_view text) { write("/boot/config-6.12-test", text); }
  void write_variable(const std::string& name, std::string_view guid, uint8_t attributes, char value) {
    std::string bytes = {static_cast<char>(attributes), 0, 0, 0, value};
    write("/sys/firmware/efi/efivars/" + name + "-" + std::string(guid), bytes);
  }
  KernelPolicy read() { return read_kernel_policy(SysRoot(root_)); }

  static constexpr std::string_view global_ = "8be4df61-93ca-11d2-aa0d-00e098032b8c";
  static constexpr std::string_view shim_ = "605dab50-e046-4300-abb6-3dd810dd8b23";
  fs::path root_;
};

TEST_F(KernelPolicyTest, SecureBootAsTheStubDecides) {
  EXPECT_EQ(read().secure_boot, false);  // no EFI
  fs::create_directories(root_ / "sys/firmware/efi/efivars");
  EXPECT_EQ(read().secure_boot, std::nullopt);  // not mounted
  write_variable("Other", global_, 6, 0);
  EXPECT_EQ(read().secure_boot, false);
  write_variable("SecureBoot", global_, 6, 1);
  EXPECT_EQ(read().secure_boot, true);
  write_variable("MokSBStateRT", shim_, 7, 1);  // non-volatile: anybody may have written it
  EXPECT_EQ(read().secure_boot, true);
  write_variable("MokSBStateRT", shim_, 6, 1);
  EXPECT_EQ(read().secure_boot, false);
  write_variable("MokSBStateRT", shim_, 6, 0);
  write_variable("SetupMode", global_, 6, 1);
  EXPECT_EQ(read().secure_boot, false);
  write("/sys/firmware/efi/efivars/SecureBoot-" + std::string(global_), "ab");
  EXPECT_EQ(read().secure_boot, std::nullopt);
}

TEST_F(KernelPolicyTest, LockdownIsUnknownUnlessSaid) {
  EXPECT_EQ(read().lockdown, std::nullopt);
  write_config("CONFIG_KEXEC=y\n");
  EXPECT_EQ(read().lockdown, "none");  // built without
  write_config("CONFIG_SECURITY_LOCKDOWN_LSM=y\n");
  EXPECT_EQ(read().lockdown, std::nullopt);
  write("/sys/kernel/security/lockdown", "none [integrity] confidentiality\n");
  EXPECT_EQ(read().lockdown, "integrity");
  write("/sys/kernel/security/lockdown", "none integrity confidentiality\n");
  EXPECT_EQ(read().lockdown, std::nullopt);
}

TEST_F(KernelPolicyTest, ImaRulesOfTheKernelAndOfBoot) {
  write_config("CONFIG_IMA_APPRAISE=y\nCONFIG_IMA_APPRAISE_BOOTPARAM=y\n");
  write("/proc/cmdline", "quiet ima_policy=tcb|secure_boot ima_appraise=enforce\n");
  KernelPolicy policy = read();
  EXPECT_EQ(policy.ima.appraises, true);
  EXPECT_TRUE(policy.ima.complete);
  ASSERT_EQ(policy.ima.rules.size(), 1u);
  EXPECT_TRUE(policy.ima.rules[0].needs_signature);
  write("/proc/cmdline", "ima_appraise=log ima_policy=appraise_tcb\n");
  policy = read();
  EXPECT_EQ(policy.ima.appraises, false);
  write("/proc/cmdline", "ima_policy=appraise_tcb\n");
  EXPECT_EQ(read().ima.rules.size(), 3u);
  write("/etc/ima/ima-policy",
        "# comment\nmeasure func=KEXEC_KERNEL_CHECK\nappraise func=MODULE_CHECK\n"
        "appraise func=KEXEC_KERNEL_CHECK appraise_type=imasig|modsig uid=0\n");
  policy = read();
  ASSERT_EQ(policy.ima.rules.size(), 1u);
  EXPECT_TRUE(policy.ima.rules[0].allows_appended);
  EXPECT_EQ(policy.ima.rules[0].conditions, std::vector<std::string>{"uid=0"});
  write("/sys/kernel/security/ima/policy", "dont_appraise func=KEXEC_KERNEL_CHECK\n");
  policy = read();
  ASSERT_EQ(policy.ima.rules.size(), 1u);
  EXPECT_FALSE(policy.ima.rules[0].appraise);
  write_config("CONFIG_KEXEC=y\n");
  EXPECT_EQ(read().ima.appraises, false);
}

TEST_F(KernelPolicyTest, EnforcementNeedsBothHalvesKnown) {
  EXPECT_EQ(read().enforces_signatures(), std::nullopt);
  write_config("CONFIG_KEXEC_SIG_FORCE=y\n");
  EXPECT_EQ(read().enforces_signatures(), false);  // nothing to enforce
  write_config("CONFIG_KEXEC_SIG=y\nCONFIG_KEXEC_SIG_FORCE=y\n");
  EXPECT_EQ(read().enforces_signatures(), true);
  write_config("CONFIG_KEXEC_SIG=y\nCONFIG_IMA_ARCH_POLICY=y\n");
  EXPECT_EQ(read().enforces_signatures(), false);
  fs::create_directories(root_ / "sys/firmware/efi/efivars");
  EXPECT_EQ(read().enforces_signatures(), std::nullopt);
  write_variable("SecureBoot", global_, 6, 1);
  EXPECT_EQ(read().enforces_signatures(), true);
}

class ForecastTest : public testing::Test {
 protected:
  using State = CheckOutcome::State;
  ForecastTest() {
    opened_ = open_image_layers(arm64_image());
    facts_.kernel = &opened_.layers.back();
    facts_.pe = {State::bad, "ENODATA", "not signed"};
    policy_.lockdown = "none";
    policy_.secure_boot = false;
    policy_.ima.appraises = false;
    policy_.ima.complete = true;
    config("");
  }
  static std::vector<uint8_t> arm64_image() {
    std::vector<uint8_t> file(64, 0);
    std::string_view magic = "ARM\x64";
    std::copy(magic.begin(), magic.end(), file.begin() + 56);
    return file;
  }
  // Only kexec_file_load exists, so that the verdict is about it.
  void config(std::string more) {
    policy_.config = KernelConfig("test",
                                  "CONFIG_ARM64=y\nCONFIG_KEXEC_FILE=y\nCONFIG_KEXEC_SIG=y\n"
                                  "CONFIG_KEXEC_IMAGE_VERIFY_SIG=y\n" +
                                      more);
  }
  Forecast forecast() { return make_forecast(facts_, policy_); }
  void rule(const std::string& text) {
    policy_.ima.appraises = true;
    policy_.ima.rules = parse_ima_policy(text);
  }

  ImageLayers opened_;
  ImageFacts facts_;
  KernelPolicy policy_;
};

TEST_F(ForecastTest, UnsignedByLockdownAndEnforcement) {
  EXPECT_EQ(forecast().verdict, Verdict::accepted);
  policy_.lockdown = "confidentiality";
  EXPECT_EQ(forecast().verdict, Verdict::refused);
  EXPECT_EQ(forecast().file_load.error, "EPERM");
  policy_.lockdown = std::nullopt;
  EXPECT_EQ(forecast().verdict, Verdict::unknown);
  config("CONFIG_KEXEC_SIG_FORCE=y\n");
  EXPECT_EQ(forecast().verdict, Verdict::refused);  // whatever lockdown says
  EXPECT_EQ(forecast().file_load.error, "ENODATA");
}

TEST_F(ForecastTest, DoubtCountsOnlyWhereItDecides) {
  facts_.pe = {State::unknown, "ENOKEY", "nobody knows"};
  EXPECT_EQ(forecast().verdict, Verdict::accepted);
  policy_.lockdown = "integrity";
  EXPECT_EQ(forecast().verdict, Verdict::unknown);
  EXPECT_NE(forecast().next_step.find("--cert"), std::string::npos);
  policy_.load_disabled = true;
  EXPECT_EQ(forecast().verdict, Verdict::refused);
  // An unsigned image under lockdown passes a kernel that does not verify: not knowing which is no refusal.
  policy_.load_disabled = false;
  facts_.pe = {State::bad, "ENODATA", "not signed"};
  policy_.config = KernelConfig();
  EXPECT_EQ(forecast().file_load.verdict, Verdict::unknown);
  EXPECT_NE(forecast().next_step.find("configuration"), std::string::npos);
  policy_.config = KernelConfig("test", "CONFIG_ARM64=y\n");
  EXPECT_EQ(forecast().verdict, Verdict::refused);
  EXPECT_EQ(forecast().next_step, "boot a kernel that is built with it");
}

TEST_F(ForecastTest, ImaStandsInForThePeSignatureUnderLockdown) {
  policy_.lockdown = "integrity";
  rule("appraise func=KEXEC_KERNEL_CHECK appraise_type=imasig");
  facts_.ima_signature = {State::good, "", "good"};
  EXPECT_EQ(forecast().verdict, Verdict::refused);  // not guaranteed: user space may load keys
  config("CONFIG_INTEGRITY_TRUSTED_KEYRING=y\n");
  EXPECT_EQ(forecast().verdict, Verdict::accepted);
  policy_.ima.complete = false;  // an earlier rule may decide otherwise
  EXPECT_EQ(forecast().verdict, Verdict::unknown);
  policy_.ima.complete = true;
  facts_.ima_signature = {State::bad, "EACCES", "bad"};
  EXPECT_EQ(forecast().file_load.error, "EACCES");
  // The first appraise rule decides, and a digest is no signature.
  facts_.ima_signature = {State::good, "", "good"};
  rule("appraise func=KEXEC_KERNEL_CHECK\nappraise func=KEXEC_KERNEL_CHECK appraise_type=imasig");
  EXPECT_EQ(forecast().file_load.error, "EPERM");
}

TEST_F(ForecastTest, ImaConditions) {
  facts_.owner = 0;
  facts_.file_system = 0xef53;
  rule("appraise fowner=0");
  EXPECT_EQ(forecast().file_load.error, "EACCES");
  rule("appraise fowner=1000");
  EXPECT_EQ(forecast().verdict, Verdict::accepted);
  rule("dont_appraise fsmagic=0xef53\nappraise fowner=0");
  EXPECT_EQ(forecast().verdict, Verdict::accepted);
  rule("appraise func=KEXEC_KERNEL_CHECK obj_type=boot_t");
  EXPECT_EQ(forecast().verdict, Verdict::unknown);
  facts_.ima_digest = {State::good, "", "matches"};
  EXPECT_EQ(forecast().verdict, Verdict::accepted);  // passes whether the rule applies or not
  policy_.ima.complete = false;
  EXPECT_EQ(forecast().verdict, Verdict::unknown);
}

TEST_F(ForecastTest, PackedImagesLoseTheirAttribute) {
  rule("appraise func=KEXEC_KERNEL_CHECK appraise_type=imasig|modsig");
  facts_.packed = true;
  facts_.ima_signature = {State::good, "", "good"};
  EXPECT_EQ(forecast().file_load.error, "EACCES");
  facts_.appended = {State::good, "", "good"};
  EXPECT_EQ(forecast().verdict, Verdict::accepted);
}

TEST_F(ForecastTest, KexecLoadHasItsOwnObstacles) {
  policy_.config = KernelConfig("test", "CONFIG_ARM64=y\nCONFIG_KEXEC=y\nCONFIG_IMA=y\n");
  EXPECT_EQ(forecast().syscall, "kexec_load");
  policy_.secure_boot = true;
  EXPECT_EQ(forecast().syscall, "kexec_load");  // CONFIG_KEXEC_SIG is off
  rule("appraise func=KEXEC_KERNEL_CHECK");
  EXPECT_EQ(forecast().load.error, "EACCES");
  EXPECT_NE(forecast().next_step.find("CONFIG_KEXEC_FILE"), std::string::npos);  // signing would not help
  rule("appraise fowner=0");  // not about kernel images by name: ima_load_data does not look at it
  EXPECT_EQ(forecast().syscall, "kexec_load");
  policy_.lockdown = "integrity";
  EXPECT_EQ(forecast().load.error, "EPERM");
}

}  // namespace
}  // namespace kdk
