// LoadPlan: everything the crash kernel will be given, computed without changing anything.
//
// make_plan is pure: the same machine and inputs give the same bytes. `plan` and `load --dry-run` print it,
// `load` hands it to the kernel, tests compute it for recorded machines. A plan always comes with its checks;
// one that failed is still a plan (people want to see what is wrong), but kexec.h refuses to load it.
//
// There are two ways to load. With kexec_load we make and place every segment. With kexec_file_load the
// kernel does, from the files and the command line; then the plan says what it will be asked and where its
// rules put things, so that what it would refuse is known before.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "loader/arch/architecture.h"
#include "loader/image/image.h"
#include "loader/image/initrd.h"
#include "loader/machine/machine.h"
#include "loader/plan/addresses.h"
#include "loader/plan/command_line.h"
#include "loader/plan/dtb.h"
#include "loader/plan/elfcorehdr.h"
#include "loader/plan/tree_memory.h"

namespace kdk {

// Whether memory is compared with digests before the crash kernel starts (digest.h).
enum class DigestMode { automatic, on, off };
std::string_view to_string(DigestMode mode);  // "auto", "on", "off"

struct InputFile {
  std::string path;
  std::vector<uint8_t> bytes;
  std::string section = {};  // of the PE file at `path` that `bytes` are; empty: all of it
};

struct LoadInputs {
  InputFile kernel;
  std::optional<InputFile> initrd;
  std::optional<InputFile> dtb;  // --dtb; absent: the machine's own
  CommandLineOptions command_line;
  BootSeeds seeds;
  std::optional<LoadCall> call;  // absent: chosen by the machine (choose_loader.h)
  DigestMode digest = DigestMode::automatic;
};

// One kexec segment: `data` is copied to physical `memory`, the rest of it is zero.
struct Segment {
  std::string name;  // "kernel", "initrd", "trampoline", "elfcorehdr", "dtb", "purgatory"
  Range memory;
  std::vector<uint8_t> data;
  // The running kernel may write to it after the load, when hotplug changes the program headers: its content
  // is no proof of damage then, so no digest may cover it.
  bool rewritten_by_kernel = false;
};

// Where the kernel's own rules will put a segment it makes itself.
struct ExpectedSegment {
  std::string name;  // "elfcorehdr", "purgatory", "boot_params", "kernel", "initrd", "control_pages"
  Range memory;
  bool estimated = false;  // its size is the kernel's secret: an upper bound is used
};

struct Check {
  enum class Status { ok, warning, failed };
  std::string name;  // stable, snake_case
  Status status = Status::ok;
  std::string detail;  // what was found, and on failure what to do
};
std::string_view to_string(Check::Status status);

// A file that went in, by content.
struct InputIdentity {
  std::string path;
  uint64_t size = 0;
  std::string sha256;        // lowercase hexadecimal
  std::string section = {};  // as InputFile has it: size and hash are those of that section

  bool is_whole_file() const { return section.empty(); }
  std::string name() const;  // for people: "/boot/linux.efi", "/boot/linux.efi (section .initrd)"
};
InputIdentity identify(const std::string& path, Bytes content);
InputIdentity identify(const InputFile& input);

// How long the command line may be.
struct CommandLineLimit {
  uint64_t characters = 0;  // without the NUL
  std::string reason;       // whose limit it is
};

// What the crash kernel's memory will look like when it unpacks its initramfs. Bytes; an estimate on the safe
// side.
struct MemoryEstimate {
  uint64_t usable = 0;         // main and low crash regions
  uint64_t kernel = 0;         // image with BSS
  uint64_t kernel_own = 0;     // struct pages, page tables, per-CPU data, hash tables, bounce buffers
  uint64_t initrd_packed = 0;  // held until unpacked
  uint64_t unpack_limit = 0;   // what the root file system may hold then
  bool limited_by_tmpfs = false;
  std::optional<InitrdEstimate> initrd;
};

// Who makes the loaded program headers right again when CPUs or memory come or go.
enum class HeaderUpkeep {
  kernel,  // the running one, in the loaded image
  reload,  // nobody: it must be loaded again
};
std::string_view to_string(HeaderUpkeep upkeep);

// The device tree the crash kernel gets.
struct DeviceTreePlan {
  std::string source;
  std::vector<DtbEdit> edits;
  TreeMemory memory;                          // read back from the finished tree
  std::vector<std::string_view> uefi_wanted;  // uefi_properties_read_by the crash kernel
};

struct DigestPlan {
  DigestMode mode = DigestMode::automatic;  // asked for
  bool on = false;
  std::string reason;         // why it is on or off
  uint64_t bytes = 0;         // what is, or would be, compared; 0 with kexec_file_load
  double seconds = 0;         // an estimate on the safe side
  bool instructions = false;  // the CPUs are known to have SHA-256 instructions
  std::string console;        // who shows the message on a mismatch; empty: nobody
  bool can_reset = false;     // the machine is reset then; else its CPU stops
};

struct LoadPlan {
  const Architecture* architecture = nullptr;
  LoadCall call = LoadCall::kexec_load;
  std::string call_reason;  // why this call, for people
  InputIdentity kernel;
  std::optional<InputIdentity> initrd;
  KernelInfo image;
  std::vector<Range> crash_regions;  // ascending; the last is the main one
  std::vector<Range> system_ram;
  std::vector<CpuNote> cpu_notes;
  CommandLine command_line;
  CommandLineLimit command_line_limit;
  std::optional<DeviceTreePlan> device_tree;
  MemoryEstimate memory;
  HeaderUpkeep header_upkeep = HeaderUpkeep::reload;

  DigestPlan digest;

  // kexec_load
  std::optional<KernelAddresses> addresses;
  std::vector<Range> dumped_ram;  // what the program headers offer of system_ram
  std::vector<CoreHeader> core_headers;
  std::vector<Segment> segments;  // ascending by address
  std::optional<uint64_t> entry;  // physical address of the purgatory, or of the trampoline

  // kexec_file_load
  std::vector<ExpectedSegment> expected;  // ascending by address
  // The kernel takes only plain files: what to give it instead of a packed one, and instead of an initramfs
  // that is a section of a file. Empty: the file itself.
  std::vector<uint8_t> unpacked_kernel;
  std::vector<uint8_t> extracted_initrd;

  std::vector<Check> checks;

  bool good() const;  // no check failed
  const Segment* find_segment(std::string_view name) const;
  const Range& main_region() const { return crash_regions.back(); }
};

// Throws Error when there is nothing to plan with: no crash region, an unusable kernel image or device tree,
// or a region that cannot hold the segments at all. Everything else ends up in `checks`.
LoadPlan make_plan(const Machine& machine, LoadInputs inputs);

}  // namespace kdk
