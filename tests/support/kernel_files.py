"""Kernel files as builds and distributions make them, by other people's programs: packed ones, EFI zboot images, unified
kernel images. For tests on real ones; fake_containers.h has small ones for unit tests."""
import re
import struct
import subprocess
import tempfile
from pathlib import Path

STUBS = Path("/usr/lib/systemd/boot/efi")  # Debian's systemd-boot-efi

# As Linux builds call the compressors: scripts/Makefile.lib (cmd_gzip and its like), scripts/xz_wrap.sh for arm64.
PACKERS = {
    "gzip": ["gzip", "-n", "-f", "-9", "-c"],
    "zstd": ["zstd", "-19", "-q"],
    "zstd22": ["zstd", "-22", "--ultra", "-q"],
    "lzma": ["lzma", "-9"],
    "xzkern": ["xz", "--check=crc32", "--threads=1", "--arm64", "--lzma2=lp=2,lc=2,dict=128MiB"],
    "lz4": ["lz4", "-l", "-9", "-q", "-", "-"],
    "lzo": ["lzop", "-9"],
}


# The same format in a fraction of the time.
QUICK = {"gzip": ["gzip", "-n", "-1", "-c"], "zstd": ["zstd", "-3", "-q"], "zstd22": ["zstd", "-3", "-q"], "lzma": ["lzma", "-0"],
         "xzkern": ["xz", "--check=crc32", "-0"], "lz4": ["lz4", "-l", "-1", "-q", "-", "-"], "lzo": ["lzop", "-1"]}


def packed(data: bytes, method: str, quick: bool = False) -> bytes:
    """By a name of PACKERS."""
    return subprocess.run((QUICK if quick else PACKERS)[method], input=data, capture_output=True, check=True).stdout


def zboot(image: bytes, method: str, quick: bool = False) -> bytes:
    """An arm64 Image as drivers/firmware/efi/libstub/Makefile.zboot packs it, behind the header of zboot-header.S: padded to
    the memory it needs; behind the payload its unpacked size, unless that is gzip's own end, not counted in the header. What
    the firmware would run is left out."""
    memory, = struct.unpack_from("<I", image, 16)
    whole = image.ljust(memory, b"\0")
    payload = packed(whole, method, quick)
    size = b"" if method == "gzip" else struct.pack("<I", len(whole))
    headers, alignment = 0x1000, 0x1000
    text = payload + size
    text += bytes(-len(text) % 4) + struct.pack("<I", 0)  # zboot_code_size
    text += bytes(-len(text) % alignment)
    data = bytes(0x200)
    head = struct.pack("<4s4sIIQ32sII", b"MZ\0\0", b"zimg", headers, len(payload), 0, method.encode(), 0x818223CD, 64)
    optional_size = 112 + 6 * 8
    coff = struct.pack("<IHHIIIHH", 0x4550, 0xAA64, 2, 0, 0, 0, optional_size, 0x206)
    end = headers + len(text) + len(data)
    optional = struct.pack("<HBBIIIIIQIIHHHHHHIIIIHHQQQQII", 0x20B, 0, 0, len(text), len(data), 0, headers, headers, 0, 4096, 512,
                           0, 0, 3, 0, 0, 0, 0, end, headers, 0, 10, 0x100, 0, 0, 0, 0, 0, 6) + bytes(6 * 8)
    sections = b"".join(struct.pack("<8sIIIIQII", name, size, at, size, at, 0, 0, flags) for name, size, at, flags in [
        (b".text", len(text), headers, 0x60000020), (b".data", len(data), headers + len(text), 0xC0000040)])
    return (head + coff + optional + sections).ljust(headers, b"\0") + text + data


def stub(machine: str) -> Path:
    """systemd-stub of "x86_64" or "aarch64"."""
    return STUBS / {"x86_64": "linuxx64.efi.stub", "aarch64": "linuxaa64.efi.stub"}[machine]


def unified(machine: str, sections: list[tuple[str, bytes]]) -> bytes:
    """A unified kernel image, by objcopy as systemd-stub(7) says; sections in the order given."""
    prefix = f"{machine}-linux-gnu-"
    stub_file = stub(machine)

    def dump(option: str) -> str:
        return subprocess.run([prefix + "objdump", option, stub_file], capture_output=True, text=True, check=True).stdout
    alignment = int(re.search(r"SectionAlignment\s+([0-9a-f]+)", dump("-p"))[1], 16)
    ends = [int(size, 16) + int(at, 16) for size, at in re.findall(r"^ +\d+ \S+ +([0-9a-f]+) +([0-9a-f]+)", dump("-h"), re.M)]
    at = max(ends)
    with tempfile.TemporaryDirectory() as temp:
        arguments = []
        for number, (name, content) in enumerate(sections):
            at += -at % alignment
            file = Path(temp, str(number))
            file.write_bytes(content)
            arguments += ["--add-section", f"{name}={file}", "--change-section-vma", f"{name}={at:#x}",
                          "--set-section-flags", f"{name}=data,readonly"]
            at += len(content)
        out = Path(temp, "out")
        subprocess.run([prefix + "objcopy", *arguments, stub_file, out], check=True)
        return out.read_bytes()
