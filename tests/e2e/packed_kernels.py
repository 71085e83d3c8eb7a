"""Further kernel files for a guest, made of its kernel: packed, in a zboot image, in a unified kernel image, as vmlinux."""
import subprocess
import sys
import tempfile
from pathlib import Path

import own_kernel
import own_zboot
import packages
from machines import Machine

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))
import kernel_files  # noqa: E402  (found through the path above)

# Behind what the machine needs; the last word tells the crash kernel's line from others.
COMMAND_LINE = "quiet crashkernel=256M panic=5 kdk_from_uki=1"
# file name -> how it is packed; levels that are quick, as the method is what counts here
PACKED = {"Image.gz": "gzip", "Image.zst": "zstd", "Image.xz": "xzkern", "Image.lz4": "lz4"}


def make(name: str, kernel: packages.Kernel | own_kernel.OwnKernel, initrd: bytes) -> bytes:
    """The content of one file. vmlinux: without its debug information, which no boot loader would read. vmlinuz.efi: from
    Linux' own build. linux.efi: a unified kernel image with `initrd` and a command line, on arm64 around a zboot image."""
    machine, content = kernel.machine, kernel.image.read_bytes()
    if name in PACKED:
        return kernel_files.packed(content, PACKED[name], quick=True)
    if name == "zboot.efi":
        return kernel_files.zboot(content, "zstd22", quick=True)
    if name == "vmlinuz.efi":
        return own_zboot.vmlinuz(kernel).read_bytes()
    if name == "vmlinux":
        return objcopy(machine, ["--strip-debug"], kernel.vmlinux)
    if name == "linux.efi":
        inner = content if machine.name == "x86-64" else make("zboot.efi", kernel, initrd)
        line = f"{machine.command_line} {COMMAND_LINE}\n\0".encode()
        return kernel_files.unified(machine.triplet.split("-")[0],
                                    [(".cmdline", line), (".initrd", initrd), (".linux", inner)])
    raise ValueError(name)


def image_of_vmlinux(kernel: packages.Kernel) -> bytes:
    """As arch/arm64/boot/Makefile makes its Image."""
    return objcopy(kernel.machine, ["-O", "binary", "-R", ".note", "-R", ".note.gnu.build-id", "-R", ".comment", "-S"], kernel.vmlinux)


def objcopy(machine: Machine, options: list[str], file: Path) -> bytes:
    with tempfile.TemporaryDirectory() as temp:
        out = Path(temp, "out")
        subprocess.run([machine.tool("objcopy"), *options, file, out], check=True)
        return out.read_bytes()
