// Files that hold a kernel of another format, each read into what it holds. All offsets and sizes are
// checked.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/base/bytes.h"
#include "loader/image/decompress.h"

namespace kdk {

// An EFI program that unpacks the kernel behind its headers and starts it.
// Source: Linux drivers/firmware/efi/libstub/zboot-header.S and Makefile.zboot.
struct ZbootImage {
  PackFormat format = PackFormat::none;
  Bytes payload;
};
// By the magic number alone.
bool is_zboot_image(Bytes file);
// Of a file that is one. Throws Error{format} when it is cut, Error{unsupported} for an unknown packing method.
ZbootImage read_zboot_image(Bytes file);

// A unified kernel image: a PE program with a kernel, its initramfs and its command line in sections.
// Source: UAPI group, "Unified Kernel Image (UKI)"; systemd-stub(7).
struct UnifiedImage {
  Bytes kernel;              // .linux: a kernel of any kind
  Bytes initrd;              // .initrd; empty: none
  std::string command_line;  // .cmdline, as systemd-stub hands it on; empty: none
  std::string release;       // .uname; empty: not said
};
// nullopt when the file is no PE file or has no .linux section. Of an image with several profiles, what boots
// when nobody chooses one: the first profile's sections, and the base's where that profile has none of the
// name. Throws Error{format} when a section reaches outside of the file.
std::optional<UnifiedImage> read_unified_image(Bytes file);

// The flat image in an arm64 vmlinux, as `objcopy -O binary` makes it in the kernel's build: what its
// PT_LOADs hold, by physical address from the lowest one. nullopt when the file is no ELF file of that
// machine. Throws Error{format} when it is cut, or when its segments make no kernel. Source: Linux
// arch/arm64/boot/Makefile; the ELF specification, "Program Header".
std::optional<std::vector<uint8_t>> flatten_arm64_vmlinux(Bytes file);

// Bytes of memory that the PT_LOADs of a vmlinux of any machine span, by physical address, BSS included: what
// the kernel keeps for itself while it runs. `start` need only reach to the end of the program headers.
// nullopt when it is no 64-bit ELF file or loads nothing. Throws Error{format} for headers that are cut or
// make no kernel.
std::optional<uint64_t> elf_memory_span(Bytes start);

}  // namespace kdk
