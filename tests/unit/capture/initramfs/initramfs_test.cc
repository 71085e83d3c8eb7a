// The crash kernel's initramfs: the archive, a kernel's modules, the way to a device, the configuration that
// goes in. On small machines of our own making, as files below a directory.
#include <elf.h>
#include <gtest/gtest.h>
#include <lzma.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cstring>
#include <fstream>

#include "capture/initramfs/cpio.h"
#include "capture/initramfs/crash_config.h"
#include "capture/initramfs/device_chain.h"
#include "capture/initramfs/image.h"
#include "capture/initramfs/kernel_modules.h"
#include "capture/run/mount_table.h"
#include "core/formats/unpack_module.h"
#include "core/base/error.h"

namespace kdk {
namespace {

namespace fs = std::filesystem;

const std::string elf_magic =
    "\x7f"
    "ELF";

std::string module_text(const std::string& info = "") {
  return elf_magic + std::string(1, '\0') + info + std::string(100, 'm');
}

std::vector<uint8_t> program(uint32_t segment_type) {
  std::vector<uint8_t> out(sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr));
  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_phoff = sizeof header;
  header.e_phentsize = sizeof(Elf64_Phdr);
  header.e_phnum = 1;
  Elf64_Phdr segment{};
  segment.p_type = segment_type;
  std::memcpy(out.data(), &header, sizeof header);
  std::memcpy(out.data() + sizeof header, &segment, sizeof segment);
  return out;
}

// A virtual machine: / on vda2 (virtio, by PCI), /data on an encrypted volume, a watchdog, a kernel with its
// modules.
class Machine {
 public:
  Machine() {
    std::string name = testing::TempDir() + "kdk-initramfs-XXXXXX";
    path = ::mkdtemp(name.data());
    const std::string pci = "sys/devices/pci0000:00/0000:00:03.0";
    const std::string disk = pci + "/virtio0/block/vda";
    write(pci + "/modalias", "pci:v00001AF4d00001001\n");
    driver(pci, "virtio-pci", "virtio_pci");
    write(pci + "/virtio0/modalias", "virtio:d00000002v00001AF4\n");
    driver(pci + "/virtio0", "virtio_blk", "virtio_blk");
    block(disk + "/vda2", "vda2", "254:2");
    block("sys/devices/virtual/block/dm-0", "dm-0", "253:0");
    write("sys/devices/virtual/block/dm-0/dm/uuid", "CRYPT-LUKS2-0123-data\n");
    write("dev/vda2", "");
    write("dev/dm-0", "");
    link("../../vda2", "dev/disk/by-uuid/1234-abcd");
    link("../../vda2", "dev/disk/by-label/my\\x20crash");
    write("proc/self/mountinfo",
          "22 28 0:21 / /proc rw - proc proc rw\n"
          "28 1 254:2 / / rw,relatime shared:1 - ext4 /dev/vda2 rw\n"
          "29 28 0:26 / /tmp rw - tmpfs tmpfs rw\n"
          "30 28 253:0 / /data rw - xfs /dev/mapper/data rw\n"
          "31 28 254:2 /srv/a\\040b /bound rw - ext4 /dev/vda2 rw\n"
          "32 28 0:40 /@home /home rw - btrfs /dev/vda2 rw\n");
    watchdog("watchdog0", "active");
    const std::string lib = "lib/modules/6.1/";
    write(lib + "modules.dep",
          "kernel/virtio_pci.ko: kernel/virtio_ring.ko kernel/virtio.ko\n"
          "kernel/virtio_ring.ko: kernel/virtio.ko\n"
          "kernel/virtio.ko:\n"
          "kernel/virtio_blk.ko: kernel/virtio_ring.ko kernel/virtio.ko\n"
          "kernel/ext4.ko: kernel/jbd2.ko\n"
          "kernel/jbd2.ko:\n"
          "kernel/crc32c_generic.ko:\n"
          "kernel/softdog.ko:\n"
          "kernel/other.ko:\n");
    write(lib + "modules.softdep", "# comment\nsoftdep ext4 pre: crc32c post: other\n");
    write(
        lib + "modules.alias",
        "# comment\nalias fs-ext4 ext4\nalias crc32c crc32c_generic\nalias virtio:d00000002v* virtio_blk\n");
    write(lib + "modules.builtin", "kernel/drivers/serial-core.ko\n");
    write(lib + "modules.builtin.modinfo", std::string("vfat.alias=fs-vfat\0vfat.file=fs/vfat\0", 36));
    write("lib/modules/6.1/modules.builtin.more", "");
    for (const char* name_ :
         {"virtio_pci", "virtio_ring", "virtio", "virtio_blk", "jbd2", "crc32c_generic", "softdog", "other"})
      write(lib + "kernel/" + name_ + ".ko", module_text());
    write(lib + "kernel/ext4.ko",
          module_text(std::string("firmware=ext4.bin\0firmware=../../etc/shadow\0", 45)));
    write("lib/firmware/ext4.bin", "firmware");
    const std::vector<uint8_t> fine = program(PT_LOAD), shared = program(PT_INTERP);
    write("capture", std::string(fine.begin(), fine.end()));
    write("shared", std::string(shared.begin(), shared.end()));
  }
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;
  ~Machine() { fs::remove_all(path); }

  void write(const std::string& file, const std::string& text) const {
    fs::create_directories((path / file).parent_path());
    std::ofstream(path / file, std::ios::binary) << text;
  }
  void link(const std::string& target, const std::string& file) const {
    fs::create_directories((path / file).parent_path());
    fs::create_symlink(target, path / file);
  }
  // As sysfs has them, relative.
  void link_to(const std::string& target, const std::string& file) const {
    fs::create_directories(path / target);
    link((path / target).lexically_relative((path / file).parent_path()).string(), file);
  }
  void driver(const std::string& device, const std::string& name, const std::string& module) const {
    const std::string place = "sys/bus/some/drivers/" + name;
    if (!module.empty() && !fs::exists(path / place)) link_to("sys/module/" + module, place + "/module");
    link_to(place, device + "/driver");
  }
  void block(const std::string& device, const std::string& name, const std::string& number) const {
    write(device + "/dev", number + "\n");
    link_to(device, "sys/class/block/" + name);
    link_to(device, "sys/dev/block/" + number);
  }
  void watchdog(const std::string& name, const std::string& state) const {
    const std::string device = "sys/devices/platform/dog";
    driver(device, "softdog", "softdog");
    write(device + "/watchdog/" + name + "/state", state + "\n");
    link_to(device + "/watchdog/" + name, "sys/class/watchdog/" + name);
  }

  SysRoot root() const { return SysRoot(path); }
  RunConfig config(const std::string& text) const { return read_run_config(ConfigFile::parse(text, "test")); }
  Image image(const std::string& text) const {
    return build_image(root(), {"6.1", config(text), path / "capture", path / "capture"});
  }
  fs::path path;
};

std::string unpacked(const std::vector<uint8_t>& packed) {
  std::string out(1 << 20, '\0');
  z_stream stream{};
  if (inflateInit2(&stream, 15 + 16) != Z_OK) return {};
  stream.next_in = const_cast<uint8_t*>(packed.data());
  stream.avail_in = static_cast<uInt>(packed.size());
  stream.next_out = reinterpret_cast<uint8_t*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  const int result = inflate(&stream, Z_FINISH);
  out.resize(result == Z_STREAM_END ? stream.total_out : 0);
  (void)inflateEnd(&stream);
  return out;
}

const std::string directory = "[[target]]\nkind = \"directory\"\npath = \"/var/crash\"\n";

template <typename F>
std::string problem(F&& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.message();
  }
  return "no error";
}

TEST(Cpio, AsTheKernelReadsIt) {
  CpioArchive archive;
  archive.add_file("bin/x", as_bytes(std::string_view("hello")), 0755);
  archive.add_directory("dev");
  const std::vector<uint8_t> bytes = archive.bytes();
  EXPECT_EQ(bytes.size() % 4, 0);
  EXPECT_EQ(archive.unpacked_bytes(), 4096);
  // Walked by the format's own rules: 110 bytes of header, a name, padding, content, padding.
  std::vector<std::string> seen;
  for (size_t at = 0; at + 110 <= bytes.size();) {
    const auto field = [&](unsigned n) {
      return std::stoul(std::string(bytes.begin() + static_cast<long>(at + 6 + 8 * n),
                                    bytes.begin() + static_cast<long>(at + 14 + 8 * n)),
                        nullptr, 16);
    };
    ASSERT_EQ(std::string(bytes.begin() + static_cast<long>(at), bytes.begin() + static_cast<long>(at) + 6),
              "070701");
    const std::string name(reinterpret_cast<const char*>(bytes.data()) + at + 110);
    EXPECT_EQ(field(11), name.size() + 1);
    const size_t content = (at + 110 + name.size() + 1 + 3) & ~size_t{3};
    seen.push_back(name + " " + std::to_string(field(1)) + " " +
                   std::string(bytes.begin() + static_cast<long>(content),
                               bytes.begin() + static_cast<long>(content + field(6))));
    at = (content + field(6) + 3) & ~size_t{3};
  }
  EXPECT_EQ(seen,
            (std::vector<std::string>{"bin 16877 ", "bin/x 33261 hello", "dev 16877 ", "TRAILER!!! 0 "}));
}

TEST(UnpackModule, AsDistributionsPackThem) {
  const std::string plain = module_text(std::string("depends=a,b\0", 12));
  const Bytes bytes = as_bytes(std::string_view(plain));
  std::vector<uint8_t> xz(lzma_stream_buffer_bound(plain.size())), zstd(ZSTD_compressBound(plain.size())),
      gz(1000);
  size_t size = 0;
  ASSERT_EQ(lzma_easy_buffer_encode(6, LZMA_CHECK_CRC32, nullptr, bytes.data(), bytes.size(), xz.data(),
                                    &size, xz.size()),
            LZMA_OK);
  xz.resize(size);
  zstd.resize(ZSTD_compress(zstd.data(), zstd.size(), bytes.data(), bytes.size(), 1));
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY);
  stream.next_in = const_cast<uint8_t*>(bytes.data());
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = gz.data();
  stream.avail_out = static_cast<uInt>(gz.size());
  ASSERT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  gz.resize(stream.total_out);
  deflateEnd(&stream);
  const std::vector<uint8_t> expected(bytes.begin(), bytes.end());
  for (const std::vector<uint8_t>& packed : {expected, xz, zstd, gz}) {
    EXPECT_EQ(unpack_module(packed, "m"), expected);
    if (packed == expected) continue;
    std::vector<uint8_t> damaged = packed;
    damaged.resize(damaged.size() / 2);
    EXPECT_NE(problem([&] { unpack_module(damaged, "m.ko"); }).find("m.ko"), std::string::npos);
  }
  EXPECT_EQ(problem([] { unpack_module(as_bytes(std::string_view("text")), "m.ko"); }),
            "m.ko: damaged module: no ELF file");
  EXPECT_EQ(module_info(bytes, "depends"), std::vector<std::string>{"a,b"});
  EXPECT_TRUE(module_info(bytes, "pends").empty());
}

TEST(KernelModules, InTheOrderTheyAreLoaded) {
  const Machine machine;
  const KernelModules kernel(machine.root(), "6.1");
  KernelModules::List list;
  EXPECT_TRUE(kernel.add("virtio-pci", list));
  EXPECT_EQ(list, (KernelModules::List{"kernel/virtio.ko", "kernel/virtio_ring.ko", "kernel/virtio_pci.ko"}));
  EXPECT_TRUE(kernel.add_alias("virtio:d00000002v00001AF4", list));
  EXPECT_EQ(list.size(), 4);
  list.clear();
  EXPECT_TRUE(kernel.add_alias("fs-ext4", list));
  EXPECT_EQ(list, (KernelModules::List{"kernel/crc32c_generic.ko", "kernel/jbd2.ko", "kernel/ext4.ko"}));
  list.clear();
  EXPECT_TRUE(kernel.add("serial_core", list)) << "built in";
  EXPECT_FALSE(kernel.add("nothing", list));
  EXPECT_FALSE(kernel.add_alias("pci:none", list));
  EXPECT_TRUE(list.empty());
  EXPECT_NE(problem([&] { KernelModules(machine.root(), "9"); }).find("no kernel of this release"),
            std::string::npos);
}

TEST(KernelModules, SoftdepsThatGoInCircles) {
  const Machine machine;
  machine.write("lib/modules/6.1/modules.softdep", "softdep ext4 pre: jbd2\nsoftdep jbd2 pre: ext4\n");
  KernelModules::List list;
  EXPECT_TRUE(KernelModules(machine.root(), "6.1").add("ext4", list));
  EXPECT_EQ(list.size(), 2);
}

std::vector<std::string> modules_of(const std::vector<ChainDevice>& chain) {
  std::vector<std::string> out;
  for (const ChainDevice& device : chain) out.push_back(device.module);
  return out;
}

TEST(DeviceChain, ControllersFirst) {
  const Machine machine;
  const BlockDevice device = block_device(machine.root(), "/dev/vda2");
  EXPECT_EQ(device.number, "254:2");
  EXPECT_EQ(modules_of(device_chain(machine.root(), device)),
            (std::vector<std::string>{"virtio_pci", "virtio_blk"}));
  EXPECT_EQ(block_device(machine.root(), "UUID=1234-abcd").name, "vda2");
  EXPECT_EQ(block_device(machine.root(), "LABEL=my crash").name, "vda2");
  EXPECT_EQ(stable_name(machine.root(), device), "UUID=1234-abcd");
  EXPECT_EQ(stable_name(machine.root(), {"sdz", "8:0"}), "/dev/sdz");
  EXPECT_EQ(problem([&] { block_device(machine.root(), "LABEL=gone"); }),
            "LABEL=gone: there is no such block device now");
}

TEST(DeviceChain, SuppliersBeforeWhoNeedsThem) {
  const Machine machine;
  machine.driver("sys/devices/platform/clock", "clk", "clk_board");
  machine.link_to("sys/devices/platform/clock", "sys/devices/virtual/devlink/clock--pci/supplier");
  machine.link_to("sys/devices/virtual/devlink/clock--pci",
                  "sys/devices/pci0000:00/0000:00:03.0/supplier:platform:clock");
  EXPECT_EQ(modules_of(device_chain(machine.root(), BlockDevice{"vda2", "254:2"})),
            (std::vector<std::string>{"clk_board", "virtio_pci", "virtio_blk"}));
}

TEST(DeviceChain, OneNamespaceBehindControllers) {
  const Machine machine;
  machine.driver("sys/devices/pci0000:00/0000:00:05.0", "nvme", "nvme");
  machine.link_to("sys/devices/pci0000:00/0000:00:05.0/nvme/nvme0",
                  "sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme0");
  machine.block("sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1", "nvme0n1", "259:0");
  EXPECT_EQ(modules_of(device_chain(machine.root(), BlockDevice{"nvme0n1", "259:0"})),
            std::vector<std::string>{"nvme"});
}

TEST(DeviceChain, SoftwareDevicesAreRefused) {
  const Machine machine;
  EXPECT_EQ(problem([&] {
              device_chain(machine.root(), BlockDevice{"dm-0", "253:0"});
            }),
            "dm-0 is encrypted: its drivers alone do not make it");
  machine.write("sys/devices/virtual/block/dm-0/dm/uuid", "LVM-x");
  EXPECT_NE(problem([&] {
              device_chain(machine.root(), BlockDevice{"dm-0", "253:0"});
            }).find("LVM"),
            std::string::npos);
}

TEST(MountTable, WhereAPathIs) {
  const Machine machine;
  const std::vector<Mount> mounts = parse_mounts(read_text_file(machine.path / "proc/self/mountinfo"));
  EXPECT_EQ(mount_of(mounts, "/var/crash").number, "254:2");
  EXPECT_EQ(mount_of(mounts, "/tmpfoo").number, "254:2");
  EXPECT_EQ(mount_of(mounts, "/tmp/x").type, "tmpfs");
  EXPECT_EQ(path_inside(mount_of(mounts, "/var/crash/"), "/var/crash/"), "var/crash");
  EXPECT_EQ(path_inside(mount_of(mounts, "/bound/c"), "/bound/c"), "srv/a b/c");
  EXPECT_EQ(path_inside(mount_of(mounts, "/"), "/"), ".");
  EXPECT_NE(problem([] { parse_mounts("1 2 3\n"); }).find("is no line of it"), std::string::npos);
}

TEST(CrashConfig, ADirectoryIsAFileSystem) {
  const Machine machine;
  const CrashConfig crash = crash_config(machine.root(), machine.config(directory + "keep = 3\n"));
  const RunTarget& target = crash.config.targets.at(0);
  EXPECT_EQ(target.kind, TargetKind::mount);
  EXPECT_EQ(target.device, "UUID=1234-abcd");
  EXPECT_EQ(target.file_system, "ext4");
  EXPECT_EQ(target.path, "var/crash");
  EXPECT_EQ(target.keep, 3);
  const CrashConfig btrfs =
      crash_config(machine.root(), machine.config("[[target]]\nkind = \"directory\"\npath = \"/home/x\"\n"));
  EXPECT_EQ(btrfs.config.targets[0].path, "@home/x");
  EXPECT_EQ(btrfs.config.targets[0].options, "subvolid=5");
  EXPECT_EQ(btrfs.config.targets[0].file_system, "btrfs");
}

TEST(CrashConfig, UdevKnowsTheFileSystem) {
  const Machine machine;
  machine.block("sys/devices/pci0000:00/0000:00:03.0/virtio0/block/vdb", "vdb", "254:16");
  machine.write("dev/vdb", "");
  const std::string text = "[[target]]\nkind = \"mount\"\ndevice = \"/dev/vdb\"\n";
  EXPECT_NE(problem([&] { machine.image(text); }).find("the type of its file system cannot be told"), std::string::npos);
  machine.write("run/udev/data/b254:16", "S:disk/by-label/crash\nE:ID_FS_USAGE=filesystem\nE:ID_FS_TYPE=ext4\n");
  EXPECT_EQ(crash_config(machine.root(), machine.config(text)).targets.at(0).target.file_system, "ext4");
}

TEST(CrashConfig, WhatCannotBeDoneIsRefused) {
  const Machine machine;
  const auto refused = [&](const std::string& text) { return problem([&] { machine.image(text); }); };
  EXPECT_EQ(refused("[[target]]\nkind = \"directory\"\npath = \"/tmp/x\"\n"),
            "target 1 (directory /tmp/x): /tmp/x is on /tmp (tmpfs), which a crash kernel cannot mount");
  EXPECT_EQ(refused("[[target]]\nkind = \"nfs\"\nserver = \"192.0.2.1\"\nexport = \"/x\"\n"),
            "network: 192.0.2.1 (192.0.2.1): no network interface leads there now");
  EXPECT_NE(refused("[[target]]\nkind = \"directory\"\npath = \"/data/x\"\n").find("dm-0 is encrypted"),
            std::string::npos);
  EXPECT_NE(refused("[run]\nfailure_action = \"shell\"\n" + directory).find("there is no shell"),
            std::string::npos);
  EXPECT_NE(refused("[[target]]\nkind = \"mount\"\ndevice = \"/dev/vda2\"\ntype = \"zfs\"\n")
                .find("kernel 6.1 has no file system zfs"),
            std::string::npos);
  fs::remove(machine.path / "lib/modules/6.1/modules.alias");
  machine.write("lib/modules/6.1/modules.dep", "kernel/ext4.ko:\n");
  EXPECT_NE(refused(directory).find("kernel 6.1 has no driver virtio_pci for 0000:00:03.0"),
            std::string::npos);
}

TEST(CrashConfig, ReadBackItIsTheSame) {
  const Machine machine;
  const std::string text =
      "[capture]\nlevel = [17, 31]\ncompress = \"zstd:3\"\nthreads = 2\nprogress = \"plain\"\n"
      "scrub = \"/etc/rules\"\nscrub_strict = true\n"
      "[run]\nconsole_lines = 7\nprepare_deadline = \"11s\"\nlog_deadline = \"12s\"\nsummary_deadline = "
      "\"13s\"\n"
      "dump_deadline = \"14m\"\ntotal_deadline = \"2h\"\nstall = \"15s\"\nwatchdog = \"none\"\nwatchdog_timeout = \"16s\"\nfinal_action "
      "= \"poweroff\"\n"
      "failure_action = \"halt\"\n"
      "[[target]]\nkind = \"mount\"\ndevice = \"LABEL=my \\\"crash\\\\\"\ntype = \"xfs\"\noptions = "
      "\"noatime\"\npath = \"a/b\"\n"
      "wait = \"9s\"\nkeep = 4\nkeep_size = \"3G\"\nmax_size = \"2G\"\nencrypt_to = \"/etc/key.pub\"\n"
      "[[target]]\nkind = \"raw\"\ndevice = \"/dev/vdb\"\n";
  const std::string written = to_toml(machine.config(text));
  const RunConfig again = machine.config(written);
  EXPECT_EQ(to_toml(again), written);
  for (const char* line : {"level = [17, 31]",
                           "compress = \"zstd:3\"",
                           "threads = 2",
                           "progress = \"plain\"",
                           "console_lines = 7",
                           "prepare_deadline = \"11s\"",
                           "log_deadline = \"12s\"",
                           "summary_deadline = \"13s\"",
                           "dump_deadline = \"840s\"",
                           "total_deadline = \"7200s\"",
                           "stall = \"15s\"",
                           "watchdog = \"none\"",
                           "watchdog_timeout = \"16s\"",
                           "final_action = \"poweroff\"",
                           "failure_action = \"halt\"",
                           "device = \"LABEL=my \\\"crash\\\\\"",
                           "type = \"xfs\"",
                           "options = \"noatime\"",
                           "path = \"a/b\"",
                           "wait = \"9s\"",
                           "keep = 4",
                           "keep_size = \"3145728K\"",
                           "max_size = \"2097152K\"",
                           "scrub = \"/etc/rules\"",
                           "scrub_strict = true",
                           "encrypt_to = \"/etc/key.pub\"",
                           "kind = \"raw\"",
                           "device = \"/dev/vdb\""}) {
    EXPECT_NE(written.find(std::string(line) + "\n"), std::string::npos) << line;
  }
}

TEST(CrashConfig, WhereDumpsAreNow) {
  const Machine machine;
  const auto where = [&](const std::string& text) {
    return dump_directory(machine.root(), machine.config(text).targets.at(0)).string();
  };
  EXPECT_EQ(where(directory), "/var/crash");
  EXPECT_EQ(where("[[target]]\nkind = \"mount\"\ndevice = \"UUID=1234-abcd\"\npath = \"dumps\"\n"), "/dumps");
  EXPECT_EQ(where("[[target]]\nkind = \"raw\"\ndevice = \"/dev/vda2\"\n"), "");
}

TEST(Image, HoldsTheWayToTheTarget) {
  const Machine machine;
  const Image image = machine.image(directory);
  EXPECT_EQ(image.modules,
            (std::vector<std::string>{"virtio.ko", "virtio_ring.ko", "virtio_pci.ko", "virtio_blk.ko",
                                      "crc32c_generic.ko", "jbd2.ko", "ext4.ko", "softdog.ko"}));
  EXPECT_EQ(image.firmware, std::vector<std::string>{"ext4.bin"}) << "and nothing outside of /lib/firmware";
  EXPECT_EQ(image.module_bytes, (8 + 1 + 1) * 4096) << "each in a page, with firmware and order";
  EXPECT_EQ(image.packed, machine.image(directory).packed) << "the same bytes";
  EXPECT_EQ(image.packed[0], 0x1f);
  EXPECT_EQ(problem([&] {
              build_image(machine.root(), {"6.1", machine.config(directory), machine.path / "shared",
                                           machine.path / "capture"});
            }).find((machine.path / "shared").string() + ": is linked with shared libraries"),
            0);
}

// A dump that was to be sealed or scrubbed must not go out without.
TEST(Image, HoldsRulesAndKeysThatTheConfigurationNames) {
  const Machine machine;
  const std::string text = "[capture]\nscrub = \"/etc/kdump/rules.toml\"\n" + directory +
                           "encrypt_to = \"/etc/kdump/key.pub\"\n";
  EXPECT_NE(problem([&] { machine.image(text); }).find("rules.toml"), std::string::npos);
  machine.write("etc/kdump/rules.toml", "[[keys]]\nkinds = [\"keyrings\"]\n");
  EXPECT_NE(problem([&] { machine.image(text); }).find("key.pub"), std::string::npos);
  machine.write("etc/kdump/key.pub", "kdumpkit-public-key-1 nonsense\n");
  EXPECT_NE(problem([&] { machine.image(text); }).find("the key is damaged"), std::string::npos);
  // RFC 7748, 6.1: Alice's public key.
  machine.write("etc/kdump/key.pub", "kdumpkit-public-key-1 hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=\n");
  const Image image = machine.image(text);
  EXPECT_NE(image.config.find("scrub = \"/etc/kdump/rules.toml\"\n"), std::string::npos);
  EXPECT_NE(image.config.find("encrypt_to = \"/etc/kdump/key.pub\"\n"), std::string::npos);
  const std::string archive = unpacked(image.packed);
  EXPECT_NE(archive.find("etc/kdump/rules.toml"), std::string::npos);
  EXPECT_NE(archive.find("kinds = [\"keyrings\"]"), std::string::npos);
  EXPECT_NE(archive.find("kdumpkit-public-key-1 hSDw"), std::string::npos);
}

TEST(Image, AsFilesForOtherTools) {
  const Machine machine;
  const fs::path tree = machine.path / "tree";
  // As dracut prepares its own: directories that are links.
  fs::create_directories(tree / "usr/bin");
  fs::create_symlink("usr/bin", tree / "bin");
  const Image image = build_image(
      machine.root(), {"6.1", machine.config(directory), machine.path / "capture", machine.path / "capture", tree});
  EXPECT_TRUE(image.packed.empty());
  std::vector<std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(tree)) {
    if (entry.is_regular_file()) files.push_back(entry.path().lexically_relative(tree).string());
  }
  std::ranges::sort(files);
  EXPECT_EQ(files, (std::vector<std::string>{
                       "etc/kdumpkit.toml", "lib/firmware/ext4.bin", "modules/crc32c_generic.ko",
                       "modules/ext4.ko", "modules/jbd2.ko", "modules/order", "modules/softdog.ko",
                       "modules/virtio.ko", "modules/virtio_blk.ko", "modules/virtio_pci.ko",
                       "modules/virtio_ring.ko", "usr/bin/kdump-capture", "usr/bin/kdump-init"}));
  EXPECT_EQ(fs::status(tree / "bin/kdump-init").permissions(), fs::perms(0755));
  EXPECT_EQ(read_text_file(tree / "etc/kdumpkit.toml"), image.config);
  EXPECT_EQ(read_text_file(tree / "modules/order").find("virtio.ko\nvirtio_ring.ko\n"), 0);
}

TEST(Image, AWatchdogThatNobodyUsesStaysOut) {
  const Machine machine;
  machine.write("sys/devices/platform/dog/watchdog/watchdog0/state", "inactive\n");
  const std::vector<std::string> modules = machine.image(directory).modules;
  EXPECT_EQ(std::ranges::count(modules, "softdog.ko"), 0);
  machine.write("sys/devices/platform/dog/watchdog/watchdog0/state", "active\n");
  const std::vector<std::string> none = machine.image("[run]\nwatchdog = \"none\"\n" + directory).modules;
  EXPECT_EQ(std::ranges::count(none, "softdog.ko"), 0);
}

}  // namespace
}  // namespace kdk
