"""The disk of a whole Debian, as an installer makes it: a partition table, the root file system in its partition, GRUB.

amd64: for a BIOS, GRUB before the first partition. (Under OVMF one run of two hung in the firmware after the reset that ends the
crash kernel; SeaBIOS has less to do then.) arm64: GPT, and GRUB on an EFI system partition.
"""
import shutil
import struct
import subprocess
import tempfile
import uuid
from pathlib import Path

from machines import Machine

IDENTITY = str(uuid.uuid5(uuid.NAMESPACE_DNS, "kdumpkit.test"))  # of the root file system
MIB = 1 << 20
EFI_MIB = 64  # of the system partition; FAT32 begins with 33
ROOT_MIB = 2048
PARTITION = {"amd64": MIB, "arm64": (1 + EFI_MIB) * MIB}  # where the one with the root file system begins
# What GRUB must have in it to find the rest of itself.
GRUB_MODULES = ["ext2", "normal", "configfile", "linux", "search_fs_uuid"]


def partition(machine: Machine, disk: Path) -> str:
    """Its root file system, as e2fsprogs' programs take it."""
    return f"{disk}?offset={PARTITION[machine.debian]}"


def make(machine: Machine, root: Path, kernel: str, command_line: str, disk: Path) -> None:
    """Of the files in `root`, to which those of GRUB are added."""
    terminal = {"amd64": "serial", "arm64": "console"}[machine.debian]  # the firmware's console is the serial port
    (root / "etc/default/grub").write_text(f'GRUB_DEFAULT=0\nGRUB_TIMEOUT=0\nGRUB_DISTRIBUTOR=Debian\nGRUB_TERMINAL={terminal}\n'
                                           f'GRUB_CMDLINE_LINUX="{command_line} panic=5"\n')
    (root / "boot/grub").mkdir(exist_ok=True)
    (root / "boot/grub/grub.cfg").write_text(f"linux /boot/vmlinuz-{kernel} root=UUID={IDENTITY} ro {command_line}\n"
                                             f"initrd /boot/initrd.img-{kernel}\nboot\n")
    {"amd64": _bios, "arm64": _efi}[machine.debian](root, disk)
    subprocess.run(["/sbin/mkfs.ext4", "-q", "-F", "-U", IDENTITY, "-d", root, "-E", f"offset={PARTITION[machine.debian]}", disk,
                    f"{ROOT_MIB}M"], check=True)


def _bios(root: Path, disk: Path) -> None:
    grub = root / "usr/lib/grub/i386-pc"
    shutil.copytree(grub, root / "boot/grub/i386-pc")
    subprocess.run(["chroot", root, "grub-mkimage", "-O", "i386-pc", "-o", "/tmp/core.img", "-p", "(hd0,msdos1)/boot/grub",
                    "biosdisk", "part_msdos", "serial", *GRUB_MODULES], check=True)
    # boot.img expects the rest behind it, as the partition table leaves room for it: sectors 1 to 2047.
    boot = (grub / "boot.img").read_bytes()[:440]
    core = (root / "tmp/core.img").read_bytes()
    with disk.open("wb") as image:
        image.truncate(PARTITION["amd64"] + ROOT_MIB * MIB)
        image.write(boot)
        # One active partition of type Linux, by sectors.
        image.seek(446)
        image.write(struct.pack("<B3sB3sII", 0x80, b"\xfe\xff\xff", 0x83, b"\xfe\xff\xff", PARTITION["amd64"] // 512, ROOT_MIB * MIB // 512))
        image.seek(510)
        image.write(b"\x55\xaa" + core)
        assert image.tell() < PARTITION["amd64"]


def _efi(root: Path, disk: Path) -> None:
    """GRUB is where firmware looks for it that was told of no other place: EFI/BOOT."""
    grub = root / "usr/lib/grub/arm64-efi"
    shutil.copytree(grub, root / "boot/grub/arm64-efi")
    with disk.open("wb") as image:
        image.truncate(PARTITION["arm64"] + (ROOT_MIB + 1) * MIB)  # the table once more at the end
    table = f"label: gpt\nstart=1MiB, size={EFI_MIB}MiB, type=uefi\nsize={ROOT_MIB}MiB, type=linux\n"
    subprocess.run(["/sbin/sfdisk", "--quiet", disk], input=table, text=True, check=True)
    with tempfile.TemporaryDirectory(dir=disk.parent) as temp:
        system, program, search = Path(temp, "system"), Path(temp, "grub.efi"), Path(temp, "search.cfg")
        search.write_text(f"search.fs_uuid {IDENTITY} root\nset prefix=($root)/boot/grub\n")
        # The program is this machine's: that of the root could not run here.
        subprocess.run(["grub-mkimage", "-O", "arm64-efi", "-d", grub, "-o", program, "-c", search, "-p", "/boot/grub", "part_gpt",
                        *GRUB_MODULES], check=True)
        subprocess.run(["/sbin/mkfs.vfat", "-F", "32", "-C", system, str(EFI_MIB << 10)], stdout=subprocess.DEVNULL, check=True)
        subprocess.run(["mmd", "-i", system, "::EFI", "::EFI/BOOT"], check=True)
        subprocess.run(["mcopy", "-i", system, program, "::EFI/BOOT/BOOTAA64.EFI"], check=True)
        with disk.open("r+b") as image:
            image.seek(MIB)
            image.write(system.read_bytes())


def further(label: str, mib: int, disk: Path) -> None:
    """A disk with ext4 and nothing in it."""
    subprocess.run(["/sbin/mkfs.ext4", "-q", "-F", "-L", label, disk, f"{mib}M"], check=True)
