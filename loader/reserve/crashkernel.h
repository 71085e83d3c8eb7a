// What a kernel makes of crashkernel= on its command line.
//
// The kernel's parser finds the word anywhere in the line, takes the last of each kind, forgives odd things
// and gives up on others with one word in its log. It is followed step by step here, so that what will be
// reserved is known before the reboot, and a mistake is named with its character.
//
// Sources: kernel/crash_reserve.c (parse_crashkernel and all it calls; kernel/crash_core.c in older kernels),
// lib/cmdline.c (memparse), lib/vsprintf.c (simple_strtoull).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kdk {

// What the end of the value says: none of the others is plain.
enum class CrashkernelKind { plain, high, low, cma };
std::string_view to_string(CrashkernelKind kind);
CrashkernelKind crashkernel_kind(std::string_view value);

// "START-[END]:SIZE": SIZE on machines with at least START and less than END bytes of RAM.
struct CrashkernelRange {
  uint64_t start = 0;
  std::optional<uint64_t> end;
  uint64_t size = 0;
};

// One value, read. Bytes.
struct CrashkernelValue {
  std::optional<uint64_t> size;          // absent: no range matched
  uint64_t offset = 0;                   // physical address wanted; 0: anywhere
  std::vector<CrashkernelRange> ranges;  // those that were read; empty for a value without ranges
  std::string ignored;                   // characters at the end that the kernel does not look at
};

// Reads what is behind "crashkernel=". `ram` decides between ranges (bytes, rounded up where the kernel
// does); nullopt reads all of them and matches none. Throws Error{format} naming the character where the
// kernel gives up.
CrashkernelValue parse_crashkernel_value(std::string_view value, CrashkernelKind kind,
                                         std::optional<uint64_t> ram);

// One crashkernel= of a command line, and what becomes of it.
struct CrashkernelOption {
  std::string value;
  CrashkernelKind kind = CrashkernelKind::plain;
  bool used = false;
  std::string remark;  // why it is not used, or what is odd about it; empty: nothing to say
};

// What the kernel will try to reserve. Bytes.
struct CrashkernelRequest {
  uint64_t size = 0;
  uint64_t offset = 0;          // 0: anywhere
  bool high = false;            // above 4 GiB, when there is room
  std::optional<uint64_t> low;  // below 4 GiB beside a high one; absent: the kernel's default
  uint64_t cma = 0;             // more, from memory that user space uses meanwhile
};

struct CrashkernelDecision {
  std::vector<CrashkernelOption> options;  // in their order on the line
  std::optional<CrashkernelRequest> request;
  std::string problem;  // why there is none; empty when the line has no crashkernel=
};

// `ram`: bytes of RAM the kernel manages. `rounds_ram`: it rounds them up to 128 MiB before it looks for a
// range (kernel/crash_reserve.c; 6.1 does not yet).
CrashkernelDecision decide_crashkernel(std::string_view command_line, uint64_t ram, bool rounds_ram);

// A size as the kernel reads it ("256M", "0x10000000"), the whole text. Throws Error{format}.
uint64_t parse_memory_size(std::string_view text);
// The shortest such text for a multiple of 1 KiB: "256M"; plain bytes for the rest.
std::string memory_size_text(uint64_t bytes);

}  // namespace kdk
