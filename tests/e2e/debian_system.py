"""A whole Debian 12 on a disk, booted by its own GRUB: apt, systemd, udev, Debian's kernel and initramfs. Our packages are on
it as files, and guest/debian-stage.sh, which systemd starts in each boot, does what the README says.

The disk is as an installer makes it for a BIOS: GRUB before the first partition, the root file system in it. (Under OVMF one
run of two hung in the firmware after the reset that ends the crash kernel; SeaBIOS has less to do then.)
"""
import fcntl
import hashlib
import os
import shutil
import struct
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
MEMORY_MIB = 1024
PARTITION = 1 << 20  # where it begins
PARTITION_BYTES = 2 << 30

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


def make_packages(out: Path) -> list[Path]:
    done = subprocess.run([guest.ROOT / "scripts" / "package", out], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          env=os.environ | {"DEB_BUILD_OPTIONS": "noautodbgsym"})
    if done.returncode != 0:
        raise RuntimeError(done.stdout[-3000:])
    # Without the documentation: a sentence changed there is no reason to run the guest again.
    return sorted(deb for deb in out.glob("*.deb") if not deb.name.startswith("kdumpkit-doc_"))


def make_disk(machine: Machine, debs: list[Path], root_archive: Path, directory: Path) -> Path:
    """The disk, made below `directory`."""
    root, disk = directory / "root", directory / "disk"
    root.mkdir()
    subprocess.run(["tar", "-x", "--numeric-owner", "-C", root, "-f", root_archive], check=True)
    identity = str(uuid.uuid5(uuid.NAMESPACE_DNS, "kdumpkit.test"))
    kernel = next(root.glob("boot/vmlinuz-*")).name.removeprefix("vmlinuz-")
    # What an installer does: a partition, its file system, the boot loader, its first menu.
    (root / "etc/fstab").write_text(f"UUID={identity} / ext4 defaults 0 1\n")
    (root / "etc/hostname").write_text("machine\n")
    (root / "etc/default/grub").write_text('GRUB_DEFAULT=0\nGRUB_TIMEOUT=0\nGRUB_DISTRIBUTOR=Debian\nGRUB_TERMINAL=serial\n'
                                           f'GRUB_CMDLINE_LINUX="{machine.command_line} panic=5"\n')
    (root / "boot/grub").mkdir(exist_ok=True)
    (root / "boot/grub/grub.cfg").write_text(f"linux /boot/vmlinuz-{kernel} root=UUID={identity} ro {machine.command_line}\n"
                                             f"initrd /boot/initrd.img-{kernel}\nboot\n")
    grub = root / "usr/lib/grub/i386-pc"
    shutil.copytree(grub, root / "boot/grub/i386-pc")
    subprocess.run(["chroot", root, "grub-mkimage", "-O", "i386-pc", "-o", "/tmp/core.img", "-p", "(hd0,msdos1)/boot/grub",
                    "biosdisk", "part_msdos", "ext2", "normal", "configfile", "linux", "serial", "search_fs_uuid"], check=True)
    # boot.img expects the rest behind it, as the partition table leaves room for it: sectors 1 to 2047.
    boot = (grub / "boot.img").read_bytes()[:440]
    core = (root / "tmp/core.img").read_bytes()
    # The test's own.
    (root / "packages").mkdir()
    for deb in debs:
        shutil.copy(deb, root / "packages")
    shutil.copy(HERE / "guest" / "debian-stage.sh", root / "stage.sh")
    (root / "stage.sh").chmod(0o755)
    (root / "etc/systemd/system/kdk-stage.service").write_text(STAGE_UNIT)
    subprocess.run(["systemctl", f"--root={root}", "enable", "--quiet", "kdk-stage.service"], check=True)
    with disk.open("wb") as image:
        image.truncate(PARTITION + PARTITION_BYTES)
        image.write(boot)
        # One active partition of type Linux, by sectors.
        image.seek(446)
        image.write(struct.pack("<B3sB3sII", 0x80, b"\xfe\xff\xff", 0x83, b"\xfe\xff\xff", PARTITION // 512, PARTITION_BYTES // 512))
        image.seek(510)
        image.write(b"\x55\xaa" + core)
        assert image.tell() < PARTITION
    subprocess.run(["/sbin/mkfs.ext4", "-q", "-F", "-U", identity, "-d", root, "-E", f"offset={PARTITION}", disk,
                    f"{PARTITION_BYTES >> 10}k"], check=True)
    shutil.rmtree(root)
    return disk


def _run(machine: Machine, debs: list[Path], root_archive: Path, out: Path, timeout: int, echo: bool) -> None:
    out.mkdir()
    with tempfile.TemporaryDirectory(dir=out) as temp:
        disk = make_disk(machine, debs, root_archive, Path(temp))
        qemu.boot(machine, ["-action", "reboot=reset", "-cpu", "qemu64,-svm", "-smp", "1", "-m", str(MEMORY_MIB),
                            "-drive", f"file={disk},format=raw,if=none,id=disk,cache=unsafe", "-device", "virtio-blk-pci,drive=disk"],
                  out, timeout, echo)
        partition = f"{disk}?offset={PARTITION}"
        subprocess.run(["/sbin/e2fsck", "-p", partition], stdout=subprocess.DEVNULL, check=False)
        for directory in ["out", "var/crash"]:
            subprocess.run(["/sbin/debugfs", "-R", f"rdump /{directory} {temp}", partition], stderr=subprocess.DEVNULL, check=True)
        for file in Path(temp, "out").glob("*"):
            file.rename(out / file.name)
        if Path(temp, "crash").exists():
            Path(temp, "crash").rename(out / "crash")


def get(timeout: int = 1700, echo: bool = False) -> guest.Run:
    """The run of the packages as they are built now: from the cache when nothing it depends on has changed."""
    machine = X86_64
    guest.check_tools(machine)
    if os.geteuid() != 0:
        raise Skip("making a root file system needs root")
    with tempfile.TemporaryDirectory() as temp:
        debs = make_packages(Path(temp))
        try:
            archive = chroot.archive_for(debs)
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
