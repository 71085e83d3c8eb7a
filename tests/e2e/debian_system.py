"""A whole Debian 12 on a disk, booted by its own GRUB under EFI: apt, systemd, udev, Debian's kernel and initramfs. Our
packages are on it as files, and guest/debian-stage.sh, which systemd starts in each boot, does what the README says.

Two disks: the first is a directory that QEMU shows as a FAT file system, with GRUB; the second is the root file system.
"""
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path

import guest
import packages
import qemu
from machines import X86_64, Machine
from packages import Skip

sys.path.insert(0, str(guest.ROOT / "tests" / "packages"))
import chroot  # noqa: E402

HERE = Path(__file__).resolve().parent
# A small cloud image has these; the kernel is the newest of Debian 12's own.
SYSTEM = ["systemd-sysv", "udev", "dbus", "kmod", "procps", "initramfs-tools", "zstd", "linux-image-cloud-amd64", "grub-efi-amd64"]
FIRMWARE = "/usr/share/ovmf/OVMF.fd"
MEMORY_MIB = 1024
DISK_MIB = 2048

STAGE_UNIT = """[Unit]
Description=The test's next stage
[Service]
Type=exec
ExecStart=/stage.sh
StandardOutput=journal+console
StandardError=journal+console
[Install]
WantedBy=multi-user.target
"""


def dependencies(deb: Path) -> set[str]:
    text = subprocess.run(["dpkg-deb", "-f", deb, "Depends"], capture_output=True, text=True, check=True).stdout
    return {re.split(r"[ (|]", part.strip())[0] for part in text.split(",") if part.strip()}


def make_packages(out: Path) -> list[Path]:
    done = subprocess.run([guest.ROOT / "scripts" / "package", out], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          env=os.environ | {"DEB_BUILD_OPTIONS": "noautodbgsym"})
    if done.returncode != 0:
        raise RuntimeError(done.stdout[-3000:])
    return sorted(out.glob("*.deb"))


def make_disks(machine: Machine, debs: list[Path], root_archive: Path, directory: Path) -> list:
    """QEMU's options for the two disks, which are made below `directory`."""
    root, efi, disk = directory / "root", directory / "efi", directory / "disk"
    root.mkdir()
    (efi / "EFI/BOOT").mkdir(parents=True)
    subprocess.run(["tar", "-x", "--numeric-owner", "-C", root, "-f", root_archive], check=True)
    identity = str(uuid.uuid5(uuid.NAMESPACE_DNS, "kdumpkit.test"))
    kernel = next(root.glob("boot/vmlinuz-*")).name.removeprefix("vmlinuz-")
    # What an installer does: file systems, the boot loader, its first menu.
    (root / "etc/fstab").write_text(f"UUID={identity} / ext4 defaults 0 1\n")
    (root / "etc/hostname").write_text("machine\n")
    (root / "etc/default/grub").write_text('GRUB_DEFAULT=0\nGRUB_TIMEOUT=0\nGRUB_DISTRIBUTOR=Debian\nGRUB_TERMINAL=serial\n'
                                           f'GRUB_CMDLINE_LINUX="{machine.command_line} panic=5"\n')
    (root / "boot/grub/grub.cfg").write_text(f"linux /boot/vmlinuz-{kernel} root=UUID={identity} ro {machine.command_line}\n"
                                             f"initrd /boot/initrd.img-{kernel}\nboot\n")
    shutil.copytree(root / "usr/lib/grub/x86_64-efi", root / "boot/grub/x86_64-efi")
    early = root / "tmp/early.cfg"
    early.write_text(f"search --fs-uuid --set=root {identity}\nset prefix=($root)/boot/grub\nconfigfile $prefix/grub.cfg\n")
    subprocess.run(["chroot", root, "grub-mkimage", "-O", "x86_64-efi", "-o", "/tmp/grub.efi", "-p", "/boot/grub", "-c", "/tmp/early.cfg",
                    "ext2", "search", "search_fs_uuid", "configfile", "normal", "linux", "echo", "part_gpt", "serial", "test"], check=True)
    shutil.move(root / "tmp/grub.efi", efi / "EFI/BOOT/BOOTX64.EFI")
    # The test's own.
    (root / "packages").mkdir()
    for deb in debs:
        shutil.copy(deb, root / "packages")
    shutil.copy(HERE / "guest" / "debian-stage.sh", root / "stage.sh")
    (root / "stage.sh").chmod(0o755)
    (root / "etc/systemd/system/kdk-stage.service").write_text(STAGE_UNIT)
    subprocess.run(["systemctl", f"--root={root}", "enable", "--quiet", "kdk-stage.service"], check=True)
    with disk.open("wb") as image:
        image.truncate(DISK_MIB << 20)
    subprocess.run(["/sbin/mkfs.ext4", "-q", "-F", "-U", identity, "-d", root, disk], check=True)
    shutil.rmtree(root)
    return ["-drive", f"file=fat:rw:{efi},format=raw,if=none,id=efi", "-device", "virtio-blk-pci,drive=efi,bootindex=0",
            "-drive", f"file={disk},format=raw,if=none,id=root,cache=unsafe", "-device", "virtio-blk-pci,drive=root"]


def _run(machine: Machine, debs: list[Path], root_archive: Path, out: Path, timeout: int, echo: bool) -> None:
    out.mkdir()
    with tempfile.TemporaryDirectory(dir=out) as temp:
        disks = make_disks(machine, debs, root_archive, Path(temp))
        qemu.boot(machine, ["-action", "reboot=reset", "-bios", FIRMWARE, "-cpu", "qemu64", "-smp", "1", "-m", str(MEMORY_MIB), *disks],
                  out, timeout, echo)
        disk = Path(temp, "disk")
        subprocess.run(["/sbin/e2fsck", "-p", disk], stdout=subprocess.DEVNULL, check=False)
        for directory in ["out", "var/crash"]:
            subprocess.run(["/sbin/debugfs", "-R", f"rdump /{directory} {temp}", disk], stderr=subprocess.DEVNULL, check=True)
        for file in Path(temp, "out").glob("*"):
            file.rename(out / file.name)
        if Path(temp, "crash").exists():
            Path(temp, "crash").rename(out / "crash")


def get(timeout: int = 1700, echo: bool = False) -> guest.Run:
    """The run of the packages as they are built now: from the cache when nothing it depends on has changed."""
    machine = X86_64
    guest.check_tools(machine)
    if not Path(FIRMWARE).exists():
        raise Skip(f"{FIRMWARE} is not installed: run scripts/deps")
    if os.geteuid() != 0:
        raise Skip("making a root file system needs root")
    with tempfile.TemporaryDirectory() as temp:
        debs = make_packages(Path(temp))
        needed = set().union(*(dependencies(deb) for deb in debs)) - {deb.name.split("_")[0] for deb in debs}
        try:
            archive = chroot.archive([*SYSTEM, *sorted(needed)])
        except chroot.CannotMake as problem:
            raise Skip(str(problem)) from problem
        key = hashlib.sha256()
        for part in [archive.name.encode(), *(deb.read_bytes() for deb in debs), (HERE / "guest" / "debian-stage.sh").read_bytes(),
                     Path(__file__).read_bytes(), Path(qemu.__file__).read_bytes()]:
            key.update(hashlib.sha256(part).digest())
        final = guest.RUNS / f"debian-{machine.name}-{key.hexdigest()[:12]}"
        guest.RUNS.mkdir(parents=True, exist_ok=True)
        with open(guest.RUNS / ".lock-debian", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not final.exists():
                _make(machine, debs, archive, final, timeout, echo)
    os.utime(final)
    return guest.Run(final)


def _make(machine: Machine, debs: list[Path], archive: Path, final: Path, timeout: int, echo: bool) -> None:
    with tempfile.TemporaryDirectory(dir=guest.RUNS, prefix=".partial-") as temp:
        result = guest.Run(Path(temp, "run"))
        try:
            _run(machine, debs, archive, result.directory, timeout, echo)
        finally:
            if not result.path("finished").exists() and result.directory.exists():
                failed = guest.RUNS / ("failed-" + final.name)
                shutil.rmtree(failed, ignore_errors=True)
                result.directory.rename(failed)
                print(f"the guest did not get to the end; see {failed}", file=sys.stderr)
        if not result.path("finished").exists():
            raise RuntimeError("the guest did not get to the end")
        result.directory.rename(final)


if __name__ == "__main__":
    try:
        print(get(echo=True).directory)
    except (Skip, RuntimeError) as error:
        sys.exit(f"debian_system.py: {error}")
