#include "tests/support/fake_machine.h"

#include <fmt/format.h>
#include <libfdt.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <fstream>
#include <stdexcept>

#include "core/base/error.h"
#include "loader/machine/memory_map.h"
#include "loader/plan/elf64.h"

namespace kdk::testing {
namespace {

std::vector<uint8_t> big_endian(uint64_t value, unsigned bytes) {
  std::vector<uint8_t> out;
  for (unsigned i = bytes; i-- > 0;) out.push_back(static_cast<uint8_t>(i < sizeof value ? value >> (8 * i) : 0));
  return out;
}

void check(int result) {
  if (result < 0) throw std::runtime_error(fdt_strerror(result));
}

// For the memory node; nullopt when the text is one that tests make bad.
std::optional<std::vector<std::pair<uint64_t, uint64_t>>> system_ram_of(std::string_view iomem) {
  try {
    std::vector<std::pair<uint64_t, uint64_t>> ranges;
    for (const Range& range : parse_iomem(iomem).system_ram()) ranges.emplace_back(range.start, range.size);
    return ranges;
  } catch (const Error&) {
    return std::nullopt;
  }
}

}  // namespace

FakeTree::FakeTree() = default;

FakeTree FakeTree::booted() {
  FakeTree tree;
  tree.chosen_properties["linux,initrd-start"] = big_endian(0x48000000, 8);
  tree.chosen_properties["linux,initrd-end"] = big_endian(0x48123456, 8);
  tree.chosen_properties["bootargs"] = {'o', 'l', 'd', 0};
  tree.chosen_properties["kaslr-seed"] = big_endian(0, 8);
  tree.chosen_properties["stdout-path"] = {'/', 'u', 0};
  tree.chosen_properties["linux,uefi-system-table"] = big_endian(0x7f000000, 8);
  tree.reservations = {{0x48000000, 0x124000}, {0x80000, 0x1000}};
  tree.psci_method = "hvc";
  return tree;
}

FakeTree FakeTree::efi_stub() {
  FakeTree tree;
  tree.memory.emplace();
  tree.devices = false;
  tree.chosen_properties["linux,uefi-system-table"] = big_endian(0x7ffd0018, 8);
  tree.chosen_properties["linux,uefi-mmap-start"] = big_endian(0x7bf1e9c0, 8);
  tree.chosen_properties["linux,uefi-mmap-size"] = big_endian(0x630, 4);
  tree.chosen_properties["linux,uefi-mmap-desc-size"] = big_endian(0x30, 4);
  tree.chosen_properties["linux,uefi-mmap-desc-ver"] = big_endian(1, 4);
  tree.chosen_properties["linux,uefi-secure-boot"] = big_endian(2, 4);
  return tree;
}

std::vector<uint8_t> FakeTree::bytes() const {
  std::vector<uint8_t> out(65536 + padding);
  void* fdt = out.data();
  check(fdt_create(fdt, static_cast<int>(out.size())));
  for (auto [start, size] : reservations) check(fdt_add_reservemap_entry(fdt, start, size));
  check(fdt_finish_reservemap(fdt));
  check(fdt_begin_node(fdt, ""));
  check(fdt_property_u32(fdt, "#address-cells", cells));
  check(fdt_property_u32(fdt, "#size-cells", cells));
  check(fdt_property_string(fdt, "model", "fake,machine"));
  if (padding != 0) {
    std::vector<uint8_t> filler(padding, 0x55);
    check(fdt_property(fdt, "padding", filler.data(), static_cast<int>(filler.size())));
  }
  if (chosen) {
    check(fdt_begin_node(fdt, "chosen"));
    for (const auto& [name, value] : chosen_properties) {
      check(fdt_property(fdt, name.c_str(), value.data(), static_cast<int>(value.size())));
    }
    check(fdt_end_node(fdt));
  }
  std::vector<uint8_t> ranges;
  for (auto [start, size] : memory.value_or(std::vector{std::pair{fake_ram_start, fake_ram_size}})) {
    for (uint64_t number : {start, size}) {
      std::vector<uint8_t> bytes = big_endian(number, 4 * cells);
      ranges.insert(ranges.end(), bytes.begin(), bytes.end());
    }
  }
  if (!ranges.empty()) {
    check(fdt_begin_node(fdt, "memory@40000000"));
    check(fdt_property_string(fdt, "device_type", "memory"));
    check(fdt_property(fdt, memory_reg.c_str(), ranges.data(), static_cast<int>(ranges.size())));
    if (!memory_status.empty()) {
      check(fdt_property(fdt, "status", memory_status.c_str(), static_cast<int>(memory_status.size() + 1)));
    }
    check(fdt_end_node(fdt));
  }
  if (devices) {
    check(fdt_begin_node(fdt, "psci"));
    check(fdt_property(fdt, "compatible", "arm,psci-1.0\0arm,psci-0.2", 26));
    if (psci_method != nullptr) {
      check(fdt_property(fdt, "method", psci_method,
                         static_cast<int>(std::string_view(psci_method).size() + 1)));
    }
    check(fdt_end_node(fdt));
  }
  check(fdt_end_node(fdt));
  check(fdt_finish(fdt));
  out.resize(fdt_totalsize(fdt));
  return out;
}

FakeMachine::FakeMachine() {
  iomem =
      "09000000-09000fff : pl011@9000000\n"
      "  09000000-09000fff : 9000000.pl011 pl011@9000000\n"
      "40000000-7fffffff : System RAM\n"
      "  40210000-4167ffff : Kernel code\n"
      "  41680000-41c8ffff : reserved\n"
      "  41c90000-4243ffff : Kernel data\n"
      "  6ac00000-7abfffff : Crash kernel\n"
      "4010000000-401fffffff : PCI ECAM\n";
  cpus = {{0, 0x7fdbec00}, {1, 0x7fde0c00}};
  vmcoreinfo_address = "0x000000004304a000 1024\n";
  kcore_segments = {{fake_image_paddr + fake_image_voffset, fake_image_paddr, fake_image_size},
                    {0xffff800080000000, ~uint64_t{0}, 0x7fffffff0000},  // vmalloc
                    {fake_ram_start + fake_linear_offset, fake_ram_start, fake_ram_size}};
  vmcoreinfo = fmt::format(
      "OSRELEASE=6.12.0-fake\nPAGESIZE=4096\nSYMBOL(_stext)={:x}\nNUMBER(VA_BITS)=52\n"
      "NUMBER(kimage_voffset)={:#x}\nNUMBER(PHYS_OFFSET)=0xfff0f4f000000000\nNUMBER(TCR_EL1_T1SZ)=0x10\n",
      fake_image_paddr + fake_image_voffset + 0x10000, fake_image_voffset);
  // As on a kernel without KALLSYMS_ALL: _text is not listed.
  kallsyms = fmt::format("{:016x} T _stext\n{:016x} T do_something\t[module]\n",
                         fake_image_paddr + fake_image_voffset + 0x10000,
                         fake_image_paddr + fake_image_voffset + 0x20000);
  command_line =
      "BOOT_IMAGE=/boot/vmlinuz root=/dev/vda1 ro quiet console=ttyAMA0 crashkernel=256M panic_on_warn=1\n";
  tree = FakeTree::booted();
  crash_size = "268435456\n";
  cpuinfo =
      "processor\t: 0\nFeatures\t: fp asimd sha1 sha2 crc32\n\n"
      "processor\t: 1\nFeatures\t: fp asimd sha1 sha2 crc32\n\n";
  consoles = "tty0 ttyAMA0\n";
  serial_ports = {{"ttyAMA0/type", "32"},
                  {"ttyAMA0/io_type", "2"},
                  {"ttyAMA0/iomem_base", "0x9000000"},
                  {"ttyAMA0/port", "0x0"}};
}

FakeMachine FakeMachine::with_pages(uint64_t page_size) {
  FakeMachine fake;
  std::string_view usual = "PAGESIZE=4096";
  fake.vmcoreinfo.replace(fake.vmcoreinfo.find(usual), usual.size(), fmt::format("PAGESIZE={}", page_size));
  return fake;
}

FakeMachine FakeMachine::x86_64() {
  FakeMachine fake;
  fake.iomem =
      "00000000-00000fff : Reserved\n"
      "00001000-0009fbff : System RAM\n"
      "000a0000-000bffff : PCI Bus 0000:00\n"
      "00100000-3ffdcfff : System RAM\n"
      "  29000000-2a3fffff : Kernel code\n"
      "  2b000000-2bffffff : Kernel data\n"
      "  2f000000-3effffff : Crash kernel\n"
      "fed00000-fed003ff : HPET 0\n";
  fake.cpus = {{0, 0x3f010000}, {1, 0x3f090000}};
  fake.vmcoreinfo_address = "0x0000000004f5a000 1024\n";
  fake.kcore_machine = elf64::machine_x86_64;
  fake.kcore_segments = {{0xffffffff9d000000, 0x29000000, 0x3400000},
                         {0xffff9a8000001000, 0x1000, 0x9e000},
                         {0xffff9a8000100000, 0x100000, 0x3fedd000}};
  fake.vmcoreinfo =
      "OSRELEASE=6.12.0-fake\nPAGESIZE=4096\nSYMBOL(_stext)=ffffffff9d000000\n"
      "NUMBER(phys_base)=-1946157056\nNUMBER(pgtable_l5_enabled)=0\nKERNELOFFSET=1c000000\n";
  fake.kallsyms = "ffffffff9d000000 T _stext\n";
  fake.command_line =
      "BOOT_IMAGE=/boot/vmlinuz root=/dev/vda1 ro quiet console=ttyS0 crashkernel=256M panic_on_warn=1\n";
  fake.tree.reset();
  fake.architecture = "x86_64\n";
  fake.config =
      "CONFIG_KEXEC=y\nCONFIG_KEXEC_FILE=y\nCONFIG_KEXEC_SIG=y\n# CONFIG_KEXEC_SIG_FORCE is not set\n"
      "CONFIG_IMA_ARCH_POLICY=y\nCONFIG_IMA_APPRAISE=y\n";
  fake.elfcorehdr_size = "917616\n";
  fake.cpuinfo = "processor\t: 0\nflags\t\t: fpu sse2 ssse3 sse4_1 sha_ni\n";
  fake.consoles = "tty0 ttyS0\n";
  fake.serial_ports = {{"ttyS0/type", "4"}, {"ttyS0/io_type", "0"}, {"ttyS0/port", "0x3F8"}};
  return fake;
}

std::vector<uint8_t> FakeMachine::kcore_bytes() const {
  std::string name = "VMCOREINFO";
  std::vector<uint8_t> note(12 + 12 + align_up(vmcoreinfo.size(), 4));
  store(note, 0, ul32(static_cast<uint32_t>(name.size() + 1)));
  store(note, 4, ul32(static_cast<uint32_t>(vmcoreinfo.size())));
  std::copy(name.begin(), name.end(), note.begin() + 12);
  std::copy(vmcoreinfo.begin(), vmcoreinfo.end(), note.begin() + 24);

  elf64::Header header;
  header.ident = elf64::ident_le64;
  header.type = elf64::type_core;
  header.machine = kcore_machine;
  header.phoff = sizeof(header);
  header.phentsize = sizeof(elf64::ProgramHeader);
  header.phnum = static_cast<uint16_t>(kcore_segments.size() + 1);
  uint64_t notes_at = sizeof(header) + sizeof(elf64::ProgramHeader) * header.phnum;
  std::vector<uint8_t> out(notes_at + note.size());
  store(out, 0, header);
  elf64::ProgramHeader row;
  row.type = elf64::pt_note;
  row.offset = notes_at;
  row.filesz = note.size();
  store(out, sizeof(header), row);
  uint64_t at = sizeof(header) + sizeof(row);
  for (const FakeSegment& segment : kcore_segments) {
    elf64::ProgramHeader load_row;
    load_row.type = elf64::pt_load;
    load_row.vaddr = segment.vaddr;
    load_row.paddr = segment.paddr;
    load_row.filesz = segment.size;
    load_row.memsz = segment.size;
    store(out, at, load_row);
    at += sizeof(row);
  }
  std::copy(note.begin(), note.end(), out.begin() + static_cast<ptrdiff_t>(notes_at));
  return out;
}

void FakeMachine::write(const std::filesystem::path& root) const {
  std::filesystem::remove_all(root);
  auto text = [&](std::string_view path, std::string_view content) {
    write_test_file(root / path, as_bytes(content));
  };
  text("proc/iomem", iomem);
  text("proc/cmdline", command_line);
  text("proc/kallsyms", kallsyms);
  text("proc/sys/kernel/kexec_load_disabled", load_disabled);
  text("proc/sys/kernel/kexec_load_limit_panic", load_limit);
  text("proc/sys/kernel/random/boot_id", boot_id);
  text("proc/sys/kernel/arch", architecture);
  text("proc/sys/kernel/osrelease", "6.12.0-fake\n");
  text("sys/kernel/kexec_crash_loaded", crash_loaded);
  if (config) text("boot/config-6.12.0-fake", *config);
  if (!cpuinfo.empty()) text("proc/cpuinfo", cpuinfo);
  if (!consoles.empty()) text("sys/class/tty/console/active", consoles);
  for (const auto& [name, value] : serial_ports) text("sys/class/tty/" + name, value + "\n");
  if (elfcorehdr_size) text("sys/kernel/crash_elfcorehdr_size", *elfcorehdr_size);
  if (!efi_systab.empty()) text("sys/firmware/efi/systab", efi_systab);
  if (!boot_params.empty()) write_test_file(root / "sys/kernel/boot_params/data", boot_params);
  if (!firmware_bits.empty()) text("sys/firmware/efi/fw_platform_size", firmware_bits);
  if (secure_boot) {
    std::string variable = {6, 0, 0, 0, static_cast<char>(*secure_boot ? 1 : 0)};
    text("sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c", variable);
  }
  if (!crash_hotplug.empty()) {
    text("sys/devices/system/cpu/crash_hotplug", crash_hotplug);
    text("sys/devices/system/memory/crash_hotplug", crash_hotplug);
  }
  if (kcore) write_test_file(root / "proc/kcore", kcore_bytes());
  if (vmcoreinfo_address) text("sys/kernel/vmcoreinfo", *vmcoreinfo_address);
  if (crash_size) text("sys/kernel/kexec_crash_size", *crash_size);
  if (!lockdown.empty()) text("sys/kernel/security/lockdown", lockdown);
  if (!possible_cpus.empty()) text("sys/devices/system/cpu/possible", possible_cpus);
  if (!meminfo.empty()) text("proc/meminfo", meminfo);
  if (tree) {
    FakeTree whole = *tree;
    if (!whole.memory) whole.memory = system_ram_of(iomem);
    write_test_file(root / "sys/firmware/fdt", whole.bytes());
  }
  text("sys/devices/system/cpu/cpufreq/dummy", "");
  for (const FakeCpu& cpu : cpus) {
    std::string directory = fmt::format("sys/devices/system/cpu/cpu{}/", cpu.number);
    text(directory + "online", "1\n");
    if (midr) text(directory + "regs/identification/midr_el1", fmt::format("{:#018x}\n", *midr));
    if (!cpu.with_notes) continue;
    text(directory + "crash_notes", fmt::format("{:x}\n", cpu.notes));
    if (cpu.with_size) text(directory + "crash_notes_size", "424\n");
  }
}

namespace {

// The PE headers of an EFI stub with one section, at the start of a kernel.
void put_pe(MutableBytes out, uint16_t machine, uint32_t section_at, uint32_t section_size) {
  constexpr uint64_t coff_at = 0x40, optional_at = coff_at + 24, optional_size = 160;
  out[0] = 'M';
  out[1] = 'Z';
  store(out, 0x3c, ul32(coff_at));
  store(out, coff_at, ul32(0x4550));
  store(out, coff_at + 4, ul16(machine));
  store(out, coff_at + 6, ul16(1));  // sections
  store(out, coff_at + 20, ul16(optional_size));
  store(out, optional_at, ul16(0x20b));
  store(out, optional_at + optional_size + 16, ul32(section_size));
  store(out, optional_at + optional_size + 20, ul32(section_at));
}

}  // namespace

std::vector<uint8_t> FakeImage::bytes() const {
  std::vector<uint8_t> out(file_size);
  if (pe) put_pe(out, 0xaa64, 0x1000, static_cast<uint32_t>(file_size - 0x1000));
  store(out, 8, ul64(text_offset));
  store(out, 16, ul64(image_size));
  store(out, 24, ul64(flags));
  store(out, 56, ul32(0x644d5241));
  std::copy(names.begin(), names.end(), out.begin() + 0x800);
  return out;
}

std::vector<uint8_t> FakeBzImage::bytes() const {
  uint64_t setup_size = (setup_sectors + 1) * 512;
  std::vector<uint8_t> out(setup_size + kernel_size + signature_size);
  if (pe) {
    put_pe(out, 0x8664, static_cast<uint32_t>(setup_size), kernel_size);
    if (signature_size != 0) {
      store(out, 0x58 + 108, ul32(6));  // data directories
      store(out, 0x58 + 144, ul32(static_cast<uint32_t>(setup_size + kernel_size)));
      store(out, 0x58 + 148, ul32(signature_size));
    }
  }
  store(out, 0x1f1, static_cast<uint8_t>(setup_sectors));
  store(out, 0x1f4, ul32(kernel_size / 16));
  store(out, 0x1fe, ul16(boot_flag));
  store(out, 0x200, ul16(0x6aeb));  // a jump over the header, which ends at 0x26c
  std::copy_n("HdrS", 4, out.begin() + 0x202);
  store(out, 0x206, ul16(protocol));
  store(out, 0x211, loadflags);
  if (!version.empty()) {
    store(out, 0x20e, ul16(0x300));
    std::copy(version.begin(), version.end(), out.begin() + 0x500);
  }
  store(out, 0x230, ul32(alignment));
  store(out, 0x234, relocatable);
  store(out, 0x236, ul16(xloadflags));
  store(out, 0x238, ul32(command_line_size));
  store(out, 0x248, ul32(payload_offset));
  store(out, 0x24c, ul32(payload_size));
  store(out, 0x258, ul64(preferred_address));
  store(out, 0x260, ul32(init_size));
  return out;
}

std::vector<uint8_t> fake_cpio(const std::vector<FakeFile>& files) {
  std::string out;
  auto add = [&](const FakeFile& file) {
    std::string header =
        fmt::format("070701{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}", 1,
                    file.mode, 0, 0, 1, 0, file.size, 0, 0, 0, 0, file.name.size() + 1, 0);
    out += header + file.name + '\0';
    out.resize(align_up(out.size(), 4));
    out.resize(align_up(out.size() + file.size, 4));
  };
  for (const FakeFile& file : files) add(file);
  add({"TRAILER!!!", 0, 0});
  return {out.begin(), out.end()};
}

std::vector<uint8_t> gzip(Bytes data) {
  z_stream stream{};
  if (deflateInit2(&stream, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) != Z_OK)
    throw std::bad_alloc();
  std::vector<uint8_t> out(deflateBound(&stream, data.size()) + 64);
  stream.next_in = const_cast<uint8_t*>(data.data());
  stream.avail_in = static_cast<uInt>(data.size());
  stream.next_out = out.data();
  stream.avail_out = static_cast<uInt>(out.size());
  int status = deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  if (status != Z_STREAM_END) throw std::runtime_error("deflate");
  return out;
}

std::vector<uint8_t> zstd(Bytes data) {
  std::vector<uint8_t> out(ZSTD_compressBound(data.size()));
  size_t size = ZSTD_compress(out.data(), out.size(), data.data(), data.size(), 3);
  if (ZSTD_isError(size)) throw std::runtime_error(ZSTD_getErrorName(size));
  out.resize(size);
  return out;
}

TempDir::TempDir() {
  std::string pattern = (std::filesystem::temp_directory_path() / "kdk-loader-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp");
  path_ = pattern;
}

TempDir::~TempDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

void write_test_file(const std::filesystem::path& path, Bytes content) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream file(path, std::ios::binary);
  file << as_text(content);
  if (!file.flush()) throw std::runtime_error(path.string());
}

}  // namespace kdk::testing
