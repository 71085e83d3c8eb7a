"""A whole Debian 12 on a disk, booted by its own GRUB: apt, systemd, udev, Debian's kernel and initramfs. Our packages are on
it, as files or installed, and a stage script of guest/, which systemd starts in each boot, is the administrator.

The disk is as an installer makes it for a BIOS: GRUB before the first partition, the root file system in it. (Under OVMF one
run of two hung in the firmware after the reset that ends the crash kernel; SeaBIOS has less to do then.)
"""
import contextlib
import dataclasses
import fcntl
import hashlib
import os
import re
import shlex
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

sys.path += [str(guest.ROOT / "tests" / folder) for folder in ("packages", "support")]
import chroot  # noqa: E402
import doc_commands  # noqa: E402

HERE = Path(__file__).resolve().parent
MEMORY_MIB = 1024
COMMON = "debian-common.sh"  # what the stage scripts share, put in front of them
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


@dataclasses.dataclass(frozen=True)
class Scenario:
    """One disk, and what is done on it."""
    stage: str  # a file of guest/
    machine: Machine = X86_64
    installed: bool = False  # our packages are installed when it boots first; otherwise they are files in /packages
    append: str = ""  # to the kernel's command line
    disks: tuple[str, ...] = ()  # further ones, each "LABEL MIB", with ext4 of this label
    network: bool = False  # QEMU's user network, where the host's loopback is 10.0.2.2

    @property
    def command_line(self) -> str:
        return f"{self.machine.command_line} {self.append}".strip()

    def script(self) -> str:
        text = "#!/bin/sh\n" + "".join((HERE / "guest" / name).read_text() for name in (COMMON, self.stage))
        # The commands that the documentation shows, one step each; the kernel in it is another machine's.
        steps = [f"step documented-{number} sh -c {shlex.quote(re.sub(r'/boot/vmlinuz-6[^ ]*', '/boot/vmlinuz-$(uname -r)', command.text))}\n"
                 for number, command in enumerate(doc_commands.on_a_machine())]
        return text.replace("@DOCUMENTED@\n", "".join(steps))


README = Scenario("debian-stage.sh")


def make_packages(out: Path) -> list[Path]:
    done = subprocess.run([guest.ROOT / "scripts" / "package", out], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          env=os.environ | {"DEB_BUILD_OPTIONS": "noautodbgsym"})
    if done.returncode != 0:
        raise RuntimeError(done.stdout[-3000:])
    # Without the documentation: a sentence changed there is no reason to run the guest again.
    return sorted(deb for deb in out.glob("*.deb") if not deb.name.startswith("kdumpkit-doc_"))


def kernel_release(root: Path) -> str:
    return next(root.glob("boot/vmlinuz-*")).name.removeprefix("vmlinuz-")


def make_root(scenario: Scenario, debs: list[Path], archive: Path, root: Path, identity: str, overlay: Path | None) -> None:
    """The files, but for the boot loader's. Those of `overlay` come last."""
    root.mkdir()
    subprocess.run(["tar", "-x", "--numeric-owner", "-C", root, "-f", archive], check=True)
    (root / "etc/fstab").write_text(f"UUID={identity} / ext4 defaults 0 1\n")
    (root / "etc/hostname").write_text("machine\n")
    (root / "packages").mkdir()
    for deb in debs:
        shutil.copy(deb, root / "packages")
    if scenario.installed:
        done = subprocess.run(["chroot", root, "sh", "-c", "apt-get -y install /packages/*.deb"], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive"})
        if done.returncode != 0:
            raise RuntimeError(done.stdout[-3000:])
        shutil.rmtree(root / "packages")
    if scenario.network:
        (root / "etc/systemd/network").mkdir(parents=True, exist_ok=True)
        (root / "etc/systemd/network/wired.network").write_text("[Match]\nName=en*\n[Network]\nDHCP=yes\n")
        subprocess.run(["systemctl", f"--root={root}", "enable", "--quiet", "systemd-networkd.service"], check=True)
    if overlay:
        shutil.copytree(overlay, root, dirs_exist_ok=True)
    (root / "stage.sh").write_text(scenario.script())
    (root / "stage.sh").chmod(0o755)
    (root / "etc/systemd/system/kdk-stage.service").write_text(STAGE_UNIT)
    subprocess.run(["systemctl", f"--root={root}", "enable", "--quiet", "kdk-stage.service"], check=True)


def make_disk(scenario: Scenario, debs: list[Path], root_archive: Path, directory: Path, overlay: Path | None = None) -> Path:
    """The disk, made below `directory`."""
    root, disk = directory / "root", directory / "disk"
    identity = str(uuid.uuid5(uuid.NAMESPACE_DNS, "kdumpkit.test"))
    make_root(scenario, debs, root_archive, root, identity, overlay)
    kernel = kernel_release(root)
    # What an installer does: a partition, its file system, the boot loader, its first menu.
    (root / "etc/default/grub").write_text('GRUB_DEFAULT=0\nGRUB_TIMEOUT=0\nGRUB_DISTRIBUTOR=Debian\nGRUB_TERMINAL=serial\n'
                                           f'GRUB_CMDLINE_LINUX="{scenario.command_line} panic=5"\n')
    (root / "boot/grub").mkdir(exist_ok=True)
    (root / "boot/grub/grub.cfg").write_text(f"linux /boot/vmlinuz-{kernel} root=UUID={identity} ro {scenario.command_line}\n"
                                             f"initrd /boot/initrd.img-{kernel}\nboot\n")
    grub = root / "usr/lib/grub/i386-pc"
    shutil.copytree(grub, root / "boot/grub/i386-pc")
    subprocess.run(["chroot", root, "grub-mkimage", "-O", "i386-pc", "-o", "/tmp/core.img", "-p", "(hd0,msdos1)/boot/grub",
                    "biosdisk", "part_msdos", "ext2", "normal", "configfile", "linux", "serial", "search_fs_uuid"], check=True)
    # boot.img expects the rest behind it, as the partition table leaves room for it: sectors 1 to 2047.
    boot = (grub / "boot.img").read_bytes()[:440]
    core = (root / "tmp/core.img").read_bytes()
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


def further_disks(scenario: Scenario, directory: Path) -> list[Path]:
    out = []
    for disk in scenario.disks:
        label, mib = disk.split()
        out.append(directory / f"disk-{label}")
        subprocess.run(["/sbin/mkfs.ext4", "-q", "-F", "-L", label, out[-1], f"{mib}M"], check=True)
    return out


def rdump(disk: str, inside: str, out: Path) -> None:
    """Copies a directory of a file system that nobody has mounted."""
    subprocess.run(["/sbin/debugfs", "-R", f"rdump /{inside} {out}", disk], stderr=subprocess.DEVNULL, check=True)


def _run(scenario: Scenario, debs: list[Path], root_archive: Path, out: Path, timeout: int, echo: bool, overlay: Path | None = None) -> None:
    out.mkdir()
    with tempfile.TemporaryDirectory(dir=out) as temp:
        disks = [make_disk(scenario, debs, root_archive, Path(temp), overlay), *further_disks(scenario, Path(temp))]
        options = ["-action", "reboot=reset", "-cpu", "qemu64,-svm", "-smp", "1", "-m", str(MEMORY_MIB)]
        for number, disk in enumerate(disks):
            options += ["-drive", f"file={disk},format=raw,if=none,id=disk{number},cache=unsafe",
                        "-device", f"virtio-blk-pci,drive=disk{number}"]
        if scenario.network:
            options += ["-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net"]
        qemu.boot(scenario.machine, options, out, timeout, echo)
        partition = f"{disks[0]}?offset={PARTITION}"
        subprocess.run(["/sbin/e2fsck", "-p", partition], stdout=subprocess.DEVNULL, check=False)
        for directory in ["out", "var/crash"]:
            rdump(partition, directory, Path(temp))
        for file in Path(temp, "out").glob("*"):
            file.rename(out / file.name)
        if Path(temp, "crash").exists():
            Path(temp, "crash").rename(out / "var-crash")


@contextlib.contextmanager
def _packages(scenario: Scenario):
    """The packages as they are built now, and the archive of a root file system for them."""
    guest.check_tools(scenario.machine)
    if os.geteuid() != 0:
        raise Skip("making a root file system needs root")
    with tempfile.TemporaryDirectory() as temp:
        debs = make_packages(Path(temp))
        try:
            archive = chroot.archive_for(debs)
        except chroot.CannotMake as problem:
            raise Skip(str(problem)) from problem
        yield debs, archive


def run_now(scenario: Scenario, overlay: Path, out: Path, timeout: int = 1700, echo: bool = False) -> guest.Run:
    """A run that is not kept: what is in `overlay` is this time's."""
    with _packages(scenario) as (debs, archive):
        _run(scenario, debs, archive, out, timeout, echo, overlay)
    return guest.Run(out)


def get(scenario: Scenario = README, timeout: int = 1700, echo: bool = False) -> guest.Run:
    """The run of the packages as they are built now: from the cache when nothing it depends on has changed."""
    with _packages(scenario) as (debs, archive):
        key = hashlib.sha256()
        for part in [archive.name.encode(), *(deb.read_bytes() for deb in debs), scenario.script().encode(), repr(scenario).encode(),
                     Path(__file__).read_bytes(), Path(qemu.__file__).read_bytes()]:
            key.update(hashlib.sha256(part).digest())
        final = guest.RUNS / f"debian-{scenario.machine.name}-{scenario.stage.removesuffix('.sh')}-{key.hexdigest()[:12]}"
        guest.RUNS.mkdir(parents=True, exist_ok=True)
        with open(guest.RUNS / f".lock-{scenario.stage}", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not guest.is_kept(final):
                _make(scenario, debs, archive, final, timeout, echo)
    os.utime(final)
    return guest.Run(final)


def _make(scenario: Scenario, debs: list[Path], archive: Path, final: Path, timeout: int, echo: bool) -> None:
    with tempfile.TemporaryDirectory(dir=guest.RUNS, prefix=".partial-") as temp:
        result = guest.Run(Path(temp, "run"))
        try:
            _run(scenario, debs, archive, result.directory, timeout, echo)
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
