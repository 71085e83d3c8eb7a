"""A whole Debian 12 on a disk, booted by its own GRUB: apt, systemd, udev, Debian's kernel and initramfs. Our packages are on
it, as files or installed, and a stage script of guest/, which systemd starts in each boot, is the administrator."""
import contextlib
import dataclasses
import fcntl
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import debian_disk
import guest
import packages
import qemu
from machines import ARM64, X86_64, Machine
from packages import Skip

sys.path += [str(guest.ROOT / "tests" / folder) for folder in ("packages", "support")]
import chroot  # noqa: E402
import debs as our_debs  # noqa: E402
import doc_commands  # noqa: E402

HERE = Path(__file__).resolve().parent
MEMORY_MIB = 1024
COMMON = "debian-common.sh"  # what the stage scripts share, put in front of them
CPUS = {"amd64": ["-cpu", "qemu64,-svm", "-smp", "1"], "arm64": ["-cpu", "cortex-a57", "-smp", "2", "-bios", guest.ARM64_EFI]}

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
    upgrade: str = ""  # another kernel, by its name in packages.py: its package is a file in /kernel

    @property
    def command_line(self) -> str:
        return f"{self.machine.command_line} {self.append}".strip()

    def script(self) -> str:
        text = "#!/bin/sh\n" + "".join((HERE / "guest" / name).read_text() for name in (COMMON, self.stage))
        # The commands that the documentation shows, one step each; the kernel in it is another machine's.
        steps = [f"step documented-{number} sh -c {shlex.quote(re.sub(r'/boot/vmlinuz-6[^ ]*', '/boot/vmlinuz-$(uname -r)', command.text))}\n"
                 for number, command in enumerate(doc_commands.on_a_machine())]
        return text.replace("@DOCUMENTED@\n", "".join(steps))


# The README's way, by Debian's name of the architecture.
README = {machine.debian: Scenario("debian-stage.sh", machine, upgrade=packages.UPGRADES[machine.debian]) for machine in (X86_64, ARM64)}


def make_packages(out: Path, machine: Machine = X86_64) -> list[Path]:
    made = our_debs.make(out, machine.debian)
    # Without the documentation: a sentence changed there is no reason to run the guest again.
    return sorted(deb for name, deb in made.items() if name != "kdumpkit-doc")


def kernel_release(root: Path) -> str:
    return next(root.glob("boot/vmlinuz-*")).name.removeprefix("vmlinuz-")


def make_root(scenario: Scenario, debs: list[Path], archive: Path, root: Path, overlay: Path | None) -> None:
    """The files, but for the boot loader's. Those of `overlay` come last."""
    root.mkdir()
    subprocess.run(["tar", "-x", "--numeric-owner", "-C", root, "-f", archive], check=True)
    (root / "etc/fstab").write_text(f"UUID={debian_disk.IDENTITY} / ext4 defaults 0 1\n")
    (root / "etc/hostname").write_text("machine\n")
    (root / "packages").mkdir()
    for deb in debs:
        shutil.copy(deb, root / "packages")
    if scenario.upgrade:
        (root / "kernel").mkdir()
        shutil.copy(packages.package_file(scenario.upgrade), root / "kernel")
    if scenario.installed:
        with chroot.foreign_programs(scenario.machine.debian):
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
    make_root(scenario, debs, root_archive, root, overlay)
    debian_disk.make(scenario.machine, root, kernel_release(root), scenario.command_line, disk)
    shutil.rmtree(root)
    return disk


def further_disks(scenario: Scenario, directory: Path) -> list[Path]:
    out = []
    for disk in scenario.disks:
        label, mib = disk.split()
        out.append(directory / f"disk-{label}")
        debian_disk.further(label, int(mib), out[-1])
    return out


def rdump(disk: str, inside: str, out: Path) -> None:
    """Copies a directory of a file system that nobody has mounted."""
    subprocess.run(["/sbin/debugfs", "-R", f"rdump /{inside} {out}", disk], stderr=subprocess.DEVNULL, check=True)


def _run(scenario: Scenario, debs: list[Path], root_archive: Path, out: Path, timeout: int, echo: bool, overlay: Path | None = None) -> None:
    out.mkdir()
    with tempfile.TemporaryDirectory(dir=out) as temp:
        disks = [make_disk(scenario, debs, root_archive, Path(temp), overlay), *further_disks(scenario, Path(temp))]
        options = ["-action", "reboot=reset", *CPUS[scenario.machine.debian], "-m", str(MEMORY_MIB)]
        for number, disk in enumerate(disks):
            options += ["-drive", f"file={disk},format=raw,if=none,id=disk{number},cache=unsafe",
                        "-device", f"virtio-blk-pci,drive=disk{number}"]
        if scenario.network:
            options += ["-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net"]
        qemu.boot(scenario.machine, options, out, timeout, echo)
        partition = debian_disk.partition(scenario.machine, disks[0])
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
    preset = f"{scenario.machine.debian}-packages"
    if scenario.machine.debian != chroot.host() and not (guest.ROOT / "build" / preset / "bin" / "kdump-analyze").exists():
        raise Skip(f"kdump-analyze is not built: cmake --preset {preset} && cmake --build --preset {preset}")
    with tempfile.TemporaryDirectory() as temp:
        debs = make_packages(Path(temp), scenario.machine)
        try:
            archive = chroot.archive_for(debs, scenario.machine.debian)
        except chroot.CannotMake as problem:
            raise Skip(str(problem)) from problem
        yield debs, archive


def run_now(scenario: Scenario, overlay: Path, out: Path, timeout: int = 1700, echo: bool = False) -> guest.Run:
    """A run that is not kept: what is in `overlay` is this time's."""
    with _packages(scenario) as (debs, archive):
        _run(scenario, debs, archive, out, timeout, echo, overlay)
    return guest.Run(out)


def get(scenario: Scenario = README["amd64"], timeout: int = 1700, echo: bool = False) -> guest.Run:
    """The run of the packages as they are built now: from the cache when nothing it depends on has changed."""
    with _packages(scenario) as (debs, archive):
        key = hashlib.sha256()
        for part in [archive.name.encode(), *(deb.read_bytes() for deb in debs), scenario.script().encode(), repr(scenario).encode(),
                     packages.newest_package(scenario.upgrade).encode() if scenario.upgrade else b"",
                     *(Path(module.__file__).read_bytes() for module in (sys.modules[__name__], debian_disk, qemu))]:
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
        print(get(README[sys.argv[1] if len(sys.argv) > 1 else "amd64"], echo=True).directory)
    except (Skip, RuntimeError) as error:
        sys.exit(f"debian_system.py: {error}")
