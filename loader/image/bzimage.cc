#include "loader/image/bzimage.h"

#include <fmt/format.h>

#include <algorithm>

#include "loader/image/containers.h"
#include "loader/image/image.h"
#include "loader/image/layers.h"
#include "loader/image/pe.h"

namespace kdk {
namespace {

constexpr uint64_t sector = 512;
constexpr uint64_t header_at = 0x1f1;
constexpr uint16_t boot_flag = 0xaa55;
constexpr uint32_t header_magic = 0x53726448;  // "HdrS"
constexpr uint16_t protocol_2_12 = 0x020c;     // the first with xloadflags
constexpr unsigned default_setup_sectors = 4;  // what 0 means
constexpr uint8_t loaded_high = 1;             // loadflags: a bzImage, not a zImage
constexpr uint16_t flag_kernel_64 = 1 << 0;    // xloadflags
constexpr uint16_t flag_above_4g = 1 << 1;
constexpr uint16_t flag_five_level = 1 << 5;
constexpr uint64_t max_alignment = uint64_t{1} << 30;
constexpr uint64_t max_command_line = 1 << 20;

// struct setup_header of arch/x86/include/uapi/asm/bootparam.h, from offset 0x1f1 of the file.
struct SetupHeader {
  uint8_t setup_sects;
  ul16 root_flags;
  ul32 syssize;  // 16-byte units
  ul16 ram_size;
  ul16 vid_mode;
  ul16 root_dev;
  ul16 boot_flag;
  ul16 jump;
  ul32 header;
  ul16 version;
  ul32 realmode_swtch;
  ul16 start_sys_seg;
  ul16 kernel_version;
  uint8_t type_of_loader;
  uint8_t loadflags;
  ul16 setup_move_size;
  ul32 code32_start;
  ul32 ramdisk_image;
  ul32 ramdisk_size;
  ul32 bootsect_kludge;
  ul16 heap_end_ptr;
  uint8_t ext_loader_ver;
  uint8_t ext_loader_type;
  ul32 cmd_line_ptr;
  ul32 initrd_addr_max;
  ul32 kernel_alignment;
  uint8_t relocatable_kernel;
  uint8_t min_alignment;
  ul16 xloadflags;
  ul32 cmdline_size;
  ul32 hardware_subarch;
  ul64 hardware_subarch_data;
  ul32 payload_offset;  // from the end of the setup code
  ul32 payload_length;
  ul64 setup_data;
  ul64 pref_address;
  ul32 init_size;
};
static_assert(sizeof(SetupHeader) == 0x264 - header_at && alignof(SetupHeader) == 1);

SetupHeader read_header(Bytes file) {
  std::optional<SetupHeader> header = load<SetupHeader>(file, header_at);
  if (!header || header->header != header_magic) {
    std::string_view other = name_kernel_format(file);
    if (!other.empty())
      throw Error(Errc::unsupported, fmt::format("no \"HdrS\" at offset 0x202: this is {}", other));
    throw Error(Errc::format, "not an x86 bzImage: no \"HdrS\" at offset 0x202");
  }
  if (header->boot_flag != boot_flag) throw Error(Errc::format, "no boot sector mark 0xaa55 at offset 0x1fe");
  if (header->version < protocol_2_12) {
    throw Error(Errc::unsupported, fmt::format("boot protocol {}.{:02} at offset 0x206 is older than 2.12",
                                               header->version >> 8, header->version & 0xff));
  }
  if ((header->loadflags & loaded_high) == 0)
    throw Error(Errc::unsupported, "a zImage, not a bzImage (loadflags at offset 0x211)");
  return *header;
}

// The banner lies in the setup code, NUL-terminated; its pointer counts from the end of the boot sector.
std::string read_version(Bytes setup, uint16_t pointer) {
  if (pointer == 0) return {};
  uint64_t at = sector + pointer;
  if (at >= setup.size()) {
    throw Error(Errc::format,
                fmt::format("the kernel version at offset {:#x} (pointer at 0x20e) is outside the "
                            "{:#x} bytes of setup code",
                            at, setup.size()));
  }
  return std::string(Cursor(setup.subspan(at), "kernel version").cstring());
}

// init_size has room for the packed kernel and for the unpacked file with its relocations as well
// (arch/x86/boot/header.S), half as much again as the kernel reserves when it runs (setup_arch: from _text to
// __end_of_kernel_reserve). That is what the packed vmlinux' program headers span, and those are its first
// bytes; but for 4 to 6 MiB of workspace behind the BSS (.init.scratch), which are counted although they are
// free. nullopt when it is packed with what we cannot unpack.
std::optional<uint64_t> read_running_size(Bytes payload) {
  constexpr size_t headers_end = 64 << 10;
  const PackFormat packing = detect_pack_format(payload);
  if (packing == PackFormat::none) return elf_memory_span(payload);
  if (packing == PackFormat::bzip2) return std::nullopt;
  std::vector<uint8_t> start;
  unpack_member(payload, packing, [&](Bytes part) {
    start.insert(start.end(), part.begin(), part.end());
    return start.size() < headers_end;
  });
  return elf_memory_span(start);
}

}  // namespace

BzImage parse_bzimage(Bytes file) {
  SetupHeader header = read_header(file);
  BzImage image;
  image.protocol = header.version;
  unsigned sectors = header.setup_sects == 0 ? default_setup_sectors : header.setup_sects;
  image.setup_size = (sectors + 1) * sector;
  image.kernel_size = uint64_t{header.syssize} * 16;
  if (!in_bounds(file.size(), image.setup_size, image.kernel_size)) {
    throw Error(
        Errc::format,
        fmt::format("truncated: setup code and kernel should reach offset {:#x} (setup_sects at 0x1f1, "
                    "syssize at 0x1f4), but the file ends at {:#x}",
                    image.setup_size + image.kernel_size, file.size()));
  }
  image.version = read_version(file.first(image.setup_size), header.kernel_version);
  if (header.payload_offset != 0) {
    if (!in_bounds(image.kernel_size, header.payload_offset, header.payload_length)) {
      throw Error(Errc::format,
                  fmt::format("the payload at offset 0x248 ({:#x} bytes at {:#x}) leaves the "
                              "kernel's {:#x} bytes",
                              +header.payload_length, +header.payload_offset, image.kernel_size));
    }
    image.payload_offset = image.setup_size + header.payload_offset;
    image.payload_size = header.payload_length;
  }
  image.init_size = header.init_size;
  if (image.init_size < image.kernel_size || image.init_size > max_image_bytes) {
    throw Error(Errc::format,
                fmt::format("init_size {:#x} at offset 0x260 is not plausible for {:#x} bytes of "
                            "kernel",
                            image.init_size, image.kernel_size));
  }
  image.alignment = header.kernel_alignment;
  if (!is_power_of_two(image.alignment) || image.alignment > max_alignment) {
    throw Error(Errc::format,
                fmt::format("kernel_alignment {:#x} at offset 0x230 is not plausible", image.alignment));
  }
  image.command_line_size = header.cmdline_size;
  if (image.command_line_size == 0 || image.command_line_size > max_command_line) {
    throw Error(Errc::format,
                fmt::format("cmdline_size {} at offset 0x238 is not plausible", image.command_line_size));
  }
  image.preferred_address = header.pref_address;
  image.relocatable = header.relocatable_kernel != 0;
  image.entry_64bit = (header.xloadflags & flag_kernel_64) != 0;
  image.above_4g = (header.xloadflags & flag_above_4g) != 0;
  image.five_level = (header.xloadflags & flag_five_level) != 0;
  return image;
}

KernelImage load_bzimage(std::vector<uint8_t> file) {
  UnpackedKernel unpacked = unpack_kernel(std::move(file));
  KernelImage image;
  image.bytes = std::move(unpacked.kernel.bytes);
  BzImage header = parse_bzimage(image.bytes);
  image.info.format = "bzImage";
  image.info.compression = std::move(unpacked.packing);
  image.info.release = header.release();
  image.info.image_size = header.init_size;
  const Bytes payload = Bytes(image.bytes).subspan(header.payload_offset, header.payload_size);
  std::optional<uint64_t> running =
      with_context(fmt::format("the packed kernel at offset {:#x}", header.payload_offset),
                   [&] { return read_running_size(payload); });
  image.info.running_size = std::min(running.value_or(header.init_size), header.init_size);
  image.info.signature_size = pe_signature_size(image.bytes);
  image.info.bzimage = std::move(header);
  return image;
}

}  // namespace kdk
