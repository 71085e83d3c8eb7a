// A recorded machine built from nothing: the files under /proc and /sys that kdump-load reads, and the inputs
// a user gives it. Every part can be changed before it is written, so each test breaks exactly one thing.
//
// The default is a healthy arm64 guest like those of the end-to-end tests: 1 GiB of RAM at 0x40000000, two
// CPUs, a crash region of 256 MiB, 48-bit addresses on a kernel built for 52 (so PHYS_OFFSET is biased).
// FakeMachine::x86_64() is its x86-64 sister: 1 GiB of RAM from 0, without a device tree.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/bytes.h"

namespace kdk::testing {

struct FakeSegment {
  uint64_t vaddr = 0;
  uint64_t paddr = 0;
  uint64_t size = 0;
};

struct FakeTree {
  unsigned cells = 2;  // #address-cells and #size-cells of the root
  bool chosen = true;
  std::map<std::string, std::vector<uint8_t>> chosen_properties;
  std::vector<std::pair<uint64_t, uint64_t>> reservations;
  uint64_t padding = 0;  // bytes of a property that only takes room
  // Of the memory node; empty: there is none. Absent: the System RAM of its machine's /proc/iomem, or the
  // default machine's.
  std::optional<std::vector<std::pair<uint64_t, uint64_t>>> memory;
  std::string memory_reg = "reg";
  std::string memory_status;          // empty: no such property
  bool devices = true;                // a node beside /chosen and the memory
  const char* psci_method = nullptr;  // of PSCI, which is that node; null: no such property

  FakeTree();  // not inline: GCC 12 would warn of members it takes for uninitialized
  // A firmware tree after a first boot: initrd addresses, seeds, UEFI properties.
  static FakeTree booted();
  // What the EFI stub of Debian's kernels makes where firmware has no tree: /chosen alone.
  static FakeTree efi_stub();
  std::vector<uint8_t> bytes() const;
};

struct FakeCpu {
  unsigned number = 0;
  uint64_t notes = 0;
  bool with_size = true;   // crash_notes_size exists
  bool with_notes = true;  // crash_notes exists
};

struct FakeMachine {
  std::string iomem;
  std::vector<FakeCpu> cpus;
  std::string possible_cpus;                      // /sys/devices/system/cpu/possible
  std::optional<uint64_t> midr;                   // .../regs/identification/midr_el1 of every CPU
  std::string meminfo;                            // /proc/meminfo; empty: not there
  std::optional<std::string> vmcoreinfo_address;  // content of /sys/kernel/vmcoreinfo
  bool kcore = true;
  uint16_t kcore_machine = 183;
  std::vector<FakeSegment> kcore_segments;
  std::string vmcoreinfo;  // text of the note in /proc/kcore
  std::string kallsyms;
  std::string command_line;
  std::optional<FakeTree> tree;  // /sys/firmware/fdt
  std::optional<std::string> crash_size;
  std::string crash_loaded = "0";
  std::string lockdown;
  std::string load_disabled = "0";
  std::string load_limit = "-1";
  std::string boot_id = "11111111-2222-3333-4444-555555555555";
  std::string architecture = "aarch64\n";      // /proc/sys/kernel/arch
  std::optional<std::string> config;           // /boot/config-6.12.0-fake
  std::optional<std::string> elfcorehdr_size;  // /sys/kernel/crash_elfcorehdr_size
  std::string cpuinfo;                         // /proc/cpuinfo
  std::string consoles;                        // /sys/class/tty/console/active
  // Attributes of /sys/class/tty/PORT, "ttyAMA0/type" and the like.
  std::map<std::string, std::string> serial_ports;
  std::optional<bool> secure_boot;   // EFI variable
  std::string firmware_bits;         // /sys/firmware/efi/fw_platform_size
  std::string efi_systab;            // /sys/firmware/efi/systab
  std::vector<uint8_t> boot_params;  // /sys/kernel/boot_params/data
  std::string crash_hotplug;         // /sys/devices/system/{cpu,memory}/crash_hotplug

  FakeMachine();
  static FakeMachine x86_64();
  // The default machine with pages of so many bytes.
  static FakeMachine with_pages(uint64_t page_size);
  std::vector<uint8_t> kcore_bytes() const;
  // Writes all of it below `root`, which is emptied first.
  void write(const std::filesystem::path& root) const;
};

// Addresses of the default machine.
constexpr uint64_t fake_ram_start = 0x40000000;
constexpr uint64_t fake_ram_size = 0x40000000;
constexpr uint64_t fake_crash_start = 0x6ac00000;
constexpr uint64_t fake_crash_size = 0x10000000;
constexpr uint64_t fake_linear_offset = 0xffff0b1000000000;
constexpr uint64_t fake_image_paddr = 0x40200000;
constexpr uint64_t fake_image_size = 0x2240000;
constexpr uint64_t fake_image_voffset = 0xffffd775c2800000;

struct FakeImage {
  uint64_t text_offset = 0;
  uint64_t image_size = 0x200000;
  uint64_t flags = 0xa;  // little-endian, 4 KiB pages, any base
  uint64_t file_size = 0x20000;
  bool pe = true;  // with a PE header and one section that reaches the end of the file
  // The names of device tree properties in it: by default those that EFI support of Debian's kernels asks
  // for.
  std::string_view names =
      "linux,uefi-system-table linux,uefi-mmap-start linux,uefi-mmap-size linux,uefi-mmap-desc-size "
      "linux,uefi-mmap-desc-ver linux,uefi-secure-boot";

  std::vector<uint8_t> bytes() const;
};

struct FakeBzImage {
  unsigned setup_sectors = 3;
  uint32_t kernel_size = 0x20000;  // a multiple of 16
  uint32_t init_size = 0x3000000;
  uint32_t alignment = 0x200000;
  uint64_t preferred_address = 0x1000000;
  uint16_t protocol = 0x020f;
  uint16_t xloadflags = 0x7f;
  uint8_t loadflags = 1;
  uint8_t relocatable = 1;
  uint16_t boot_flag = 0xaa55;
  uint32_t command_line_size = 2047;
  uint32_t payload_offset = 0x2cc;
  uint32_t payload_size = 0x10000;
  std::string version = "6.12.0-fake (builder@host) #1 SMP";
  bool pe = true;
  uint32_t signature_size = 0;  // of a certificate table behind the kernel

  std::vector<uint8_t> bytes() const;
};

struct FakeFile {
  std::string name;
  uint64_t size = 0;
  uint32_t mode = 0100755;
};

// A newc archive with its trailer. Contents are zero bytes.
std::vector<uint8_t> fake_cpio(const std::vector<FakeFile>& files);
std::vector<uint8_t> gzip(Bytes data);
std::vector<uint8_t> zstd(Bytes data);

// A directory that is removed with its content.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

void write_test_file(const std::filesystem::path& path, Bytes content);

}  // namespace kdk::testing
