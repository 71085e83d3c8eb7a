// Will the running kernel accept this image? A pure function of what was found in the image and on the
// machine; it follows kernel/kexec_file.c (kimage_validate_signature), kernel/kexec.c (kexec_load_check) and
// IMA's hooks step by step. A forecast for the user, never a security boundary: the kernel decides.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "loader/image/layers.h"
#include "loader/signature/kernel_policy.h"

namespace kdk {

// What one of the kernel's checks of this image will find.
struct CheckOutcome {
  enum class State { absent, good, bad, unknown };
  State state = State::absent;
  std::string error;             // errno the kernel returns for it: "EKEYREJECTED"
  std::string reason;            // a sentence
  bool by_platform_key = false;  // good, but by a key that is in the .platform keyring alone
};

struct ImageFacts {
  const ImageLayer* kernel = nullptr;   // the layer that would be loaded; nullptr: it could not be unpacked
  bool packed = false;                  // the kernel gets an unpacked copy, see below
  CheckOutcome pe;                      // first entry of its certificate table
  CheckOutcome ima_signature;           // security.ima of type signature
  CheckOutcome ima_digest;              // security.ima of type digest
  CheckOutcome appended;                // module-style signature
  std::optional<uint32_t> owner;        // of the file that the kernel gets: IMA's fowner=
  std::optional<uint64_t> file_system;  // its magic number: IMA's fsmagic=
};
// An unpacked copy is in memory: no attributes, root's, on tmpfs (loader/kexec/kexec.h, memory_file).
inline constexpr uint32_t unpacked_owner = 0;
inline constexpr uint64_t unpacked_file_system = 0x01021994;

enum class Verdict { accepted, refused, unknown };
std::string_view to_string(Verdict verdict);

struct SyscallForecast {
  std::string_view syscall;
  Verdict verdict = Verdict::accepted;
  std::string error;                 // errno when refused
  std::vector<std::string> reasons;  // what decided, in the kernel's order
  std::string next_step;             // what to do about the first thing in the way; empty when accepted
};

struct Forecast {
  Verdict verdict = Verdict::unknown;
  std::string_view syscall;  // the one to use; empty unless accepted
  SyscallForecast file_load;
  SyscallForecast load;
  std::string next_step;
};
Forecast make_forecast(const ImageFacts& image, const KernelPolicy& policy);

}  // namespace kdk
