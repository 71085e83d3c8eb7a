#!/usr/bin/python3
"""Crashes a stock Debian kernel in QEMU, loaded by our kdump-load and saved by our kdump-capture.

One run is two boots of one virtual machine: production.sh arms the crash kernel and crashes, crash.sh saves the dump.
Everything the guest leaves in /out on its disk is in the run's directory afterwards, next to console.log.
Runs of the named CONFIGS are cached by everything that went into them, so that all tests share one crash.

  guest.py get CONFIG           run it, or find it in the cache; prints the run's directory
  guest.py run CONFIG --out D   run it now with other programs, memory, kernel; see README.md
  guest.py download             fetch every kernel the CONFIGS need
"""
import argparse
import dataclasses
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import bad_files
import initramfs
import kernels
import machines
import module
import own_zboot
import packages
import packed_kernels
import qemu
import signed_images
import systemd
from packages import Skip

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
RUNS = packages.CACHE / "runs"


@dataclasses.dataclass(frozen=True)
class Config:
    """One machine to crash. cpu is QEMU's -cpu; memory in MiB; stage scripts are files of guest/."""
    kernel: str  # a name of kernels.MACHINES, which also gives the architecture
    cpu: str
    memory: int = 1024
    smp: str = "2"  # QEMU's -smp
    crashkernel: str = "256M"  # empty: there is no crash kernel
    crash_cpu: int = 0
    trigger: str = "c"  # for sysrq; anything else is what module/kdk_crash.c is to do
    load_args: str = ""  # more for kdump-load load
    save_args: str = "-d 31 --compress zstd"
    keep_full: bool = False
    estimate: bool = False  # `kdump-capture estimate` before the crash
    crash_append: str = "nr_cpus=1"
    production: str = "production.sh"
    crash: str = "crash.sh"
    disk_mib: int = 3072
    bad_files: bool = False  # also put what bad_files.py makes on the disk
    vmcoreinfo_device: bool = False  # QEMU learns where the VMCOREINFO is
    # For `kdump-capture run`: a second disk with ext4 (label "crash"), a third without a file system, and QEMU's user
    # network, where the host's loopback is 10.0.2.2.
    ext4_disk_mib: int = 0
    raw_disk_mib: int = 0
    network: bool = False
    modules: str = ""  # further ones of the crash kernel, by name
    devices: str = ""  # more for QEMU's -device, each a word
    firmware: str = ""  # a file for QEMU's -bios, instead of its own
    secure_boot: bool = False  # UEFI (x86-64) that boots what is signed with its snakeoil key only
    signed_images: bool = False  # puts what signed_images.py makes on the disk; a kdump-load that can check it
    board: str = ""  # more for QEMU's -machine
    append: str = ""  # more for the first kernel's command line
    boots: int = 1  # of the same disk, one after another; console.log is the last one's
    plug_memory: int = 0  # MiB that can be plugged in later; there are slots for it then
    systemd: bool = False  # systemd is the first kernel's init, and udev has our rule
    crash_kernel: str = ""  # the kernel to crash into, a name of kernels.MACHINES; empty: the same
    kernel_files: str = ""  # names of packed_kernels.py, made of the crash kernel, for packed-production.sh

    resets: bool = False  # the crash kernel is not started: the machine is reset instead

    @property
    def crash_kernel_name(self) -> str:
        return self.crash_kernel or self.kernel

    @property
    def machine(self) -> machines.Machine:
        return kernels.MACHINES[self.kernel]


# pauth-impdef: QEMU's own pointer-authentication function instead of the architected one, which TCG computes very
# slowly. The kernel cannot tell them apart.
ARM64_MAX = "max,pauth-impdef=on"
ARM64_EFI = "/usr/share/qemu-efi-aarch64/QEMU_EFI.fd"
# Code and variables; the variables are the guest's own copy.
SECURE_EFI = ("/usr/share/OVMF/OVMF_CODE_4M.secboot.fd", "/usr/share/OVMF/OVMF_VARS_4M.snakeoil.fd")
HOTPLUG = {"plug_memory": 512, "crash_cpu": 2, "production": "hotplug-production.sh", "save_args": "-d 17 --compress zstd"}
CONFIGS = {
    "6.1-a57": Config("6.1-cloud-arm64", "cortex-a57", keep_full=True),
    "6.12-a57": Config("6.12-cloud-arm64", "cortex-a57", keep_full=True, estimate=True),
    "6.12-max": Config("6.12-cloud-arm64", ARM64_MAX, crash_cpu=1),
    "6.12-16k-max": Config("6.12-16k-arm64", ARM64_MAX, memory=1536, crash_cpu=1),
    # What must be refused or saved in part; see test_bad_cases.py. A disk that the dump fills.
    "bad-cases": Config("6.12-cloud-arm64", "cortex-a57", production="bad-production.sh", crash="bad-crash.sh",
                        disk_mib=512, bad_files=True),
    # kdump-capture run with every kind of target, in a crash kernel that is short of memory; see test_run.py.
    "run": Config("6.12-cloud-arm64", "cortex-a57", crash="run.sh", crashkernel="192M", crash_append="nr_cpus=2",
                  ext4_disk_mib=48, raw_disk_mib=64, network=True, modules="virtio_net nfsv4 softdog"),
    # The forecast that an initramfs fits, and `reserve`; see test_reservation.py.
    "reservation": Config("6.12-cloud-arm64", "cortex-a57", production="reservation.sh", crashkernel="192M"),
    # Above 4 GiB the crash kernel also takes memory for bounce buffers.
    "reservation-high": Config("6.12-cloud-arm64", "cortex-a57", memory=6144, production="reservation.sh",
                               crashkernel="256M,high"),
    # x86-64: qemu64 has 4-level page tables, max has 5 levels.
    "6.1-amd64-qemu64": Config("6.1-cloud-amd64", "qemu64", crash_cpu=1, keep_full=True),
    "6.12-amd64-max": Config("6.12-cloud-amd64", "max", keep_full=True),
    # The same by the older system call, with segments of our making.
    "6.1-amd64-kexec": Config("6.1-cloud-amd64", "qemu64", load_args="--syscall kexec"),
    "6.12-amd64-kexec-efi": Config("6.12-cloud-amd64", "max", load_args="--syscall kexec", firmware="/usr/share/ovmf/OVMF.fd"),
    "6.12-amd64-kexec-high": Config("6.12-cloud-amd64", "qemu64", memory=6144, crashkernel="256M,high",
                                    load_args="--syscall kexec"),
    "6.12-amd64-kexec": Config("6.12-cloud-amd64", "max", crash_cpu=1, load_args="--syscall kexec"),
    # Changes after it was armed; see test_state.py. A kernel that does not follow hotplug by itself.
    "6.1-amd64-state": Config("6.1-cloud-amd64", "qemu64", smp="2,maxcpus=3", production="state-production.sh"),
    # A crash region of half of the memory: room for more than kexec_load allows.
    "6.12-arm64-state": Config("6.12-cloud-arm64", "cortex-a57", crashkernel="512M", production="state-production.sh"),
    # A crash on purpose, and the boot after it; see test_crash_test.py.
    "crash-test": Config("6.12-cloud-amd64", "qemu64", production="crash-test-production.sh",
                         crash="crash-test-crash.sh", boots=2, modules="i6300esb", devices="i6300esb"),
    # Grows after it was armed, and crashes on the new CPU; see test_hotplug.py. User memory is kept, free pages are not.
    "6.1-amd64-hotplug": Config("6.1-cloud-amd64", "qemu64", smp="2,maxcpus=3", systemd=True, **HOTPLUG),
    # This kernel takes a CPU later only under a hypervisor that it knows, which QEMU without KVM is not: the third CPU is
    # there from the beginning and comes online later.
    "6.12-amd64-hotplug": Config("6.12-cloud-amd64", "qemu64", smp="3", append="maxcpus=2", **HOTPLUG),
    "6.12-amd64-hotplug-kexec": Config("6.12-cloud-amd64", "qemu64", smp="3", append="maxcpus=2", systemd=True,
                                       load_args="--syscall kexec", **HOTPLUG),
    "6.12-arm64-hotplug": Config("6.12-cloud-arm64", "cortex-a57", firmware=ARM64_EFI, **(HOTPLUG | {"crash_cpu": 1})),
    # A thousand processes; no test's, see tests/bench/report_bench.py.
    "6.12-tasks": Config("6.12-cloud-arm64", "cortex-a57", production="tasks-production.sh", keep_full=True),
    # From each of the kernel's stacks. (6.2 changed where x86-64 has its exception stacks, and how it finds the others.)
    "6.1-amd64-softirq": Config("6.1-cloud-amd64", "max", crash_cpu=1, trigger="softirq bug"),
    "6.1-amd64-overflow": Config("6.1-cloud-amd64", "qemu64", crash_cpu=1, trigger="task overflow"),
    "6.12-amd64-hardirq": Config("6.12-cloud-amd64", "qemu64", crash_cpu=1, trigger="hardirq null"),
    "6.12-amd64-nmi": Config("6.12-cloud-amd64", "max", trigger="nmi"),
    # Through ACPI and EFI instead of a device tree; with crash regions below and above 4 GiB.
    "6.1-arm64-acpi": Config("6.1-cloud-arm64", "cortex-a57", firmware=ARM64_EFI),
    "6.12-arm64-acpi-high": Config("6.12-cloud-arm64", ARM64_MAX, memory=6144, crashkernel="256M,high", firmware=ARM64_EFI),
    # One region on both sides of 4 GiB (where the kernel would put its CMA area); entered at EL2, GICv3.
    "6.12-arm64-across-4g": Config("6.12-cloud-arm64", "cortex-a57", memory=6144, crashkernel="256M@3968M",
                                   board="virtualization=on", append="cma=0"),
    # Entered at EL2, GICv2, eight CPUs, addresses hidden from root, no KASLR.
    "6.12-arm64-el2": Config("6.12-cloud-arm64", "cortex-a57", smp="8", crash_cpu=5, board="virtualization=on,gic-version=2",
                             append="nokaslr sysctl.kernel.kptr_restrict=2"),
    # Into a kernel of another page size and back.
    "6.12-4k-to-16k": Config("6.12-cloud-arm64", ARM64_MAX, crash_kernel="6.12-16k-arm64"),
    "6.12-16k-to-4k": Config("6.12-16k-arm64", ARM64_MAX, memory=1536, crash_kernel="6.12-cloud-arm64"),
    # Our own builds.
    "own-4k": Config("own-4k-arm64", "cortex-a57"),
    "own-64k": Config("own-64k-arm64", "cortex-a57", memory=2048, crashkernel="384M",
                      append="default_hugepagesz=2M"),  # 512M otherwise
    "own-4k-to-64k": Config("own-4k-arm64", "cortex-a57", crashkernel="384M", crash_kernel="own-64k-arm64"),
    # Kernel files of every kind, one loaded after another, by both calls; see test_packed.py.
    "6.12-arm64-packed": Config("6.12-cloud-arm64", "cortex-a57", production="packed-production.sh", load_args="--syscall kexec",
                                kernel_files="Image.gz Image.lz4 Image.xz Image.zst linux.efi vmlinux vmlinuz.efi"),
    "own-4k-packed": Config("own-4k-arm64", "cortex-a57", production="packed-production.sh", load_args="--syscall file",
                            kernel_files="Image.gz zboot.efi"),
    "6.12-amd64-uki": Config("6.12-cloud-amd64", "qemu64", production="packed-production.sh", load_args="--syscall file",
                             kernel_files="linux.efi"),
    # What the kernel does with signatures, against the forecast; see test_signatures.py.
    "signatures": Config("own-4k-arm64", "cortex-a57", production="signatures.sh", signed_images=True),
    "signatures-secure-boot": Config("6.12-cloud-amd64", "max", production="signatures.sh", signed_images=True,
                                     secure_boot=True),
    "6.12-arm64-hardirq": Config("6.12-cloud-arm64", "cortex-a57", crash_cpu=1, trigger="hardirq null", board="gic-version=2"),
    # A byte of the loaded initramfs is changed before the crash; see test_digest.py.
    "6.12-arm64-damaged": Config("6.12-cloud-arm64", "cortex-a57", trigger="damage", production="damage-production.sh",
                                 board="virtualization=on", resets=True),
    "6.12-amd64-damaged": Config("6.12-cloud-amd64", "max", trigger="damage", production="damage-production.sh",
                                 load_args="--syscall kexec", resets=True),
    # Dumps that did not come through kdump; see test_qemu_dump.py.
    "qemu-dump": Config("6.12-cloud-amd64", "max", memory=512, crashkernel="", production="dump.sh", crash_cpu=1,
                        vmcoreinfo_device=True),
    "qemu-dump-no-device": Config("6.1-cloud-amd64", "qemu64", memory=512, crashkernel="", production="dump.sh", crash_cpu=1),
}

# Directories of the run cache, newest first; one is 20 MB, or 1 GB with the full vmcore. All configurations at least: a
# test may still be reading the oldest one while another test adds its own.
KEEP_RUNS = len(CONFIGS) + 12  # and those of whole Debian systems, failed and earlier ones


class Run:
    """The directory a run left behind."""

    def __init__(self, directory: Path):
        self.directory = directory

    def path(self, name: str) -> Path:
        return self.directory / name

    def text(self, name: str) -> str:
        return self.path(name).read_text(errors="replace")

    def exit_code(self, step: str) -> int | None:
        """What a step of the guest's scripts returned; None when it was never reached."""
        file = self.path(step + ".rc")
        return int(file.read_text()) if file.exists() else None


class Programs:
    """The programs to put into the guest: static ones of its architecture."""

    def __init__(self, machine: machines.Machine, load: Path | None = None, capture: Path | None = None,
                 overlay: Path | None = None, can_check_images: bool = False):
        built = Path(os.environ.get("KDK_BUILD", ROOT / "build"))
        preset = machine.name + "-signatures" if can_check_images else machine.name
        self.load = load or built / preset / "bin" / "kdump-load"
        self.capture, self.overlay = capture or built / machine.name / "bin" / "kdump-capture", overlay
        self.rules = built / machine.name / "loader" / "98-kdumpkit.rules"
        for program, by in [(self.load, preset), (self.capture, machine.name)]:
            if not program.exists():
                raise Skip(f"{program} is not built: cmake --preset {by} && cmake --build --preset {by}")


def check_tools(machine: machines.Machine, sign: bool = False) -> None:
    signing = ["openssl", "sbsign", "sbattach", "evmctl"] if sign else []
    for tool in [machine.qemu[0], machine.tool("g++"), "mkfs.ext4", "debugfs", *signing]:
        if not shutil.which(tool, path=os.environ["PATH"] + ":/usr/sbin:/sbin"):
            raise Skip(f"{tool} is not installed: run scripts/deps")


def content(program: Path, machine: machines.Machine) -> bytes:
    """An ELF program stripped; a script as it is."""
    raw = program.read_bytes()
    return initramfs.stripped(program, machine.tool("strip")) if raw.startswith(b"\x7fELF") else raw


def helper(machine: machines.Machine, name: str) -> bytes:
    """A program for the guest, of one source file here."""
    with tempfile.TemporaryDirectory() as temp:
        program = Path(temp, name)
        subprocess.run([machine.tool("g++"), "-std=c++20", "-O2", "-static", "-s", "-Wl,--build-id=none",
                        "-o", program, HERE / f"{name}.cc"], check=True)
        return program.read_bytes()


def build_initramfs(config: Config, kernel: packages.Kernel, programs: Programs) -> tuple[bytes, bytes]:
    """(production, crash): each only with what its stage needs."""
    machine = kernel.machine
    conf = "".join(f"{name}='{value}'\n" for name, value in [
        ("CRASH_CPU", config.crash_cpu), ("TRIGGER", config.trigger), ("CRASH_APPEND", config.crash_append),
        ("LOAD_ARGS", config.load_args), ("SAVE_ARGS", config.save_args), ("KEEP_FULL", "yes" if config.keep_full else ""),
        ("SECURE_BOOT", "yes" if config.secure_boot else ""),
        ("PLUG_CPU", "yes" if "maxcpus" in config.smp else ""), ("PLUG_MEMORY", config.plug_memory or "")])
    production = {"bin/kdump-load": content(programs.load, machine), "bin/workload": helper(machine, "workload")}
    if config.signed_images:
        production["bin/kernel_calls"] = helper(machine, "kernel_calls")
    if config.secure_boot:  # own kernels have it in /proc
        production[f"boot/config-{kernel.release}"] = packages.configuration(kernel).read_bytes()
    if config.trigger != "c":
        production["kdk_crash.ko"] = module.kdk_crash(kernel).read_bytes()
    crash = {"bin/kdump-capture": content(programs.capture, machine)}
    if config.estimate:
        production |= crash
    images = []
    crash_kernel = kernels.kernel(config.crash_kernel_name)
    for stage, files, booted in [(config.production, production, kernel), (config.crash, crash, crash_kernel)]:
        image = initramfs.Initramfs()
        image.add("bin/busybox", packages.busybox(machine).read_bytes())
        image.add("init", (HERE / "guest" / "init.sh").read_bytes())
        image.add("stage.sh", (HERE / "guest" / stage).read_bytes())
        image.add("guest.conf", conf.encode())
        for name, data in files.items():
            image.add(name, data)
        for file in booted.modules:
            image.add("modules/" + file.name, file.read_bytes())
        if config.modules and files is crash:
            for file in packages.further_modules(booted, config.modules.split()):
                image.add("modules/further-" + file.name, file.read_bytes())
        if config.systemd and files is production:
            systemd.add(image, machine, programs.rules)
        if programs.overlay:
            image.add_tree(programs.overlay)
        images.append(image.pack())
    return images[0], images[1]


def run(config: Config, programs: Programs, out: Path, timeout: int = 900, echo: bool = False) -> Run:
    """Boots the guest, waits until both kernels are done and fills `out` (which must be new or empty)."""
    kernel = kernels.kernel(config.kernel)
    check_tools(config.machine, config.signed_images)
    return _run(config, kernel, *build_initramfs(config, kernel, programs), out, timeout, echo)


def _run(config: Config, kernel: packages.Kernel, production: bytes, crash: bytes, out: Path, timeout: int,
         echo: bool) -> Run:
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()):
        raise RuntimeError(f"{out} is not empty: an older run's files would be taken for this one's")
    with tempfile.TemporaryDirectory(dir=out) as temp:
        files, disk, initrd = Path(temp, "files"), Path(temp, "disk"), Path(temp, "production.initrd")
        files.mkdir()
        initrd.write_bytes(production)
        (files / "crash.initrd").write_bytes(crash)
        crash_kernel = kernels.kernel(config.crash_kernel_name)
        shutil.copyfile(crash_kernel.image, files / "Image")
        (files / "kernels").mkdir()
        for name in config.kernel_files.split():
            (files / "kernels" / name).write_bytes(packed_kernels.make(name, crash_kernel, crash))
        if config.bad_files:
            bad_files.make(files, kernel.image)
        keys = Path(temp, "keys")
        keys.mkdir()
        attributes = signed_images.make(kernel, files, keys) if config.signed_images else {}
        with disk.open("wb") as image:
            image.truncate(config.disk_mib << 20)
        subprocess.run(["/sbin/mkfs.ext4", "-q", "-F", "-d", files, disk], check=True)
        shutil.rmtree(files)
        if attributes:
            signed_images.set_attributes(disk, attributes, keys)
        further = further_disks(config, Path(temp))
        for number in range(config.boots):
            if number:
                (out / "console.log").rename(out / f"console-{number}.log")
            qemu.boot(kernel.machine, qemu_options(config, kernel, [disk, *further], initrd, keys), out, timeout, echo)
        # Replays the journal, should the guest have died with the disk mounted. Exit code 1: it had to.
        subprocess.run(["/sbin/e2fsck", "-p", disk], stdout=subprocess.DEVNULL, check=False)
        subprocess.run(["/sbin/debugfs", "-R", f"rdump /out {temp}", disk], stderr=subprocess.DEVNULL, check=True)
        for file in Path(temp, "out").glob("*"):  # no such directory: the guest did not get that far
            file.rename(out / file.name)
    description = dataclasses.asdict(config) | {"machine": kernel.machine.name, "release": kernel.release,
                                                "image": str(kernel.image), "vmlinux": str(kernel.vmlinux)}
    (out / "run.json").write_text(json.dumps(description, indent=2) + "\n")
    return Run(out)


def further_disks(config: Config, directory: Path) -> list[Path]:
    disks = []
    for name, mib in [("ext4", config.ext4_disk_mib), ("raw", config.raw_disk_mib)]:
        if not mib:
            continue
        disks.append(directory / name)
        with disks[-1].open("wb") as image:
            image.truncate(mib << 20)
        if name == "ext4":
            subprocess.run(["/sbin/mkfs.ext4", "-q", "-F", "-L", "crash", disks[-1]], check=True)
    return disks


def secure_boot_options(kernel: packages.Kernel, work: Path) -> list:
    variables = work / "variables"
    shutil.copyfile(SECURE_EFI[1], variables)
    return ["-machine", "smm=on", "-global", "driver=cfi.pflash01,property=secure,value=on",
            *(option for unit, file in enumerate([f"{SECURE_EFI[0]},readonly=on", variables]) for option in
              ["-drive", f"if=pflash,format=raw,unit={unit},file={file}"]),
            "-kernel", signed_images.boot_image(kernel, work)]


def qemu_options(config: Config, kernel: packages.Kernel, disks: list[Path], initrd: Path, work: Path) -> list:
    memory = str(config.memory)
    if config.plug_memory:
        memory += f",slots=1,maxmem={config.memory + config.plug_memory}M"
    # Without a crash kernel it stops at the panic, so that QEMU can look at it.
    panic = f"panic=5 crashkernel={config.crashkernel}" if config.crashkernel else "panic=0"
    return [*(["-bios", config.firmware] if config.firmware else []), *(["-machine", config.board] if config.board else []),
            "-cpu", config.cpu, "-smp", config.smp, "-m", memory,
            *(["-device", "vmcoreinfo"] * config.vmcoreinfo_device),
            *(option for number, disk in enumerate(disks) for option in
              ["-drive", f"file={disk},format=raw,if=none,id=disk{number},cache=unsafe",
               "-device", f"virtio-blk-pci,drive=disk{number}"]),
            *(option for device in config.devices.split() for option in ["-device", device]),
            *(["-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net,romfile="] if config.network else []),
            *(secure_boot_options(kernel, work) if config.secure_boot else ["-kernel", kernel.image]), "-initrd", initrd,
            "-append", f"{kernel.machine.command_line} {panic} {config.append}".rstrip()]


def get(config: Config, programs: Programs | None = None) -> Run:
    """A run of this configuration: from the cache when nothing it depends on has changed."""
    kernel = kernels.kernel(config.kernel)
    check_tools(config.machine, config.signed_images)
    for firmware in [config.firmware, *(SECURE_EFI if config.secure_boot else [])]:
        if firmware and not Path(firmware).exists():
            raise Skip(f"{firmware} is not installed: run scripts/deps")
    programs = programs or Programs(kernel.machine, can_check_images=config.signed_images)
    production, crash = build_initramfs(config, kernel, programs)
    key = hashlib.sha256()
    # A kernel's place in the cache says which build it is.
    images = [str(kernels.kernel(name).image).encode() for name in (config.kernel, config.crash_kernel_name)]
    harness = [Path(module_.__file__).read_bytes() for module_ in (sys.modules[__name__], qemu)]
    if config.kernel_files:
        harness += [Path(module_.__file__).read_bytes() for module_ in (packed_kernels, packed_kernels.kernel_files)]
    if config.bad_files:
        harness.append(Path(bad_files.__file__).read_bytes())
    if config.signed_images:
        harness += signed_images.sources()
    for part in [repr(config).encode(), kernel.release.encode(), *images, production, crash, *harness]:
        key.update(hashlib.sha256(part).digest())
    final = RUNS / f"{kernel.release}-{config.cpu.split(',')[0]}-{key.hexdigest()[:12]}"
    RUNS.mkdir(parents=True, exist_ok=True)
    # Two tests may want the same run at the same time: the second waits for the first one's.
    with open(RUNS / f".lock-{hashlib.sha256(repr(config).encode()).hexdigest()[:12]}", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _make(config, kernel, production, crash, final)
    os.utime(final)
    return Run(final)


def is_kept(run: Path) -> bool:
    """Whether there is such a run to take. KDK_GUESTS_SINCE (seconds since the epoch) asks for runs made after that."""
    since = float(os.environ.get("KDK_GUESTS_SINCE", 0))
    if run.exists() and run.joinpath("console.log").stat().st_mtime < since:
        earlier = run.with_name("earlier-" + run.name)
        shutil.rmtree(earlier, ignore_errors=True)
        run.rename(earlier)
    return run.exists()


def _make(config: Config, kernel: packages.Kernel, production: bytes, crash: bytes, final: Path) -> None:
    if is_kept(final):
        return
    with tempfile.TemporaryDirectory(dir=RUNS, prefix=".partial-") as temp:
        result = _run(config, kernel, production, crash, Path(temp, "run"), 900, False)
        needed = ["finished"] if config.crashkernel else ["facts.crash", "panicked.kdump"]
        if config.resets:
            needed = ["flip.rc"]
        if not all(result.path(name).exists() for name in needed):
            failed = RUNS / ("failed-" + final.name)
            shutil.rmtree(failed, ignore_errors=True)
            result.directory.rename(failed)
            tail = Run(failed).text("console.log").splitlines()[-15:]
            raise RuntimeError(f"the guest did not get to the end; see {failed}. It last said:\n" + "\n".join(tail))
        result.directory.rename(final)
    _prune(RUNS, KEEP_RUNS)


def _prune(directory: Path, keep: int) -> None:
    runs = [path for path in directory.iterdir() if not path.name.startswith(".")]
    for old in sorted(runs, key=lambda path: path.stat().st_mtime, reverse=True)[keep:]:
        shutil.rmtree(old, ignore_errors=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    download = commands.add_parser("download", help="fetch kernels and busybox into the cache")
    download.add_argument("kernels", nargs="*", metavar="KERNEL", help="default: every kernel the configurations need")
    for name in ["get", "run"]:
        command = commands.add_parser(name)
        command.add_argument("config", choices=CONFIGS)
        command.add_argument("--load", type=Path, help="another kdump-load")
        command.add_argument("--capture", type=Path, help="another kdump-capture")
        command.add_argument("--overlay", type=Path, help="a tree of further files for both initramfs images")
    command.add_argument("--out", type=Path, required=True, help="directory for what the guest leaves")
    command.add_argument("--verbose", action="store_true", help="follow the guest's console on stderr")
    command.add_argument("--timeout", type=int, default=900, help="seconds")
    for field in dataclasses.fields(Config):
        if field.type is bool:
            command.add_argument("--" + field.name.replace("_", "-"), action=argparse.BooleanOptionalAction)
        else:
            command.add_argument("--" + field.name.replace("_", "-"), type=field.type)
    options = parser.parse_args()

    if options.command == "download":
        for name in options.kernels or kernels.MACHINES:
            kernel = kernels.kernel(name, download=True)
            packages.busybox(kernel.machine, download=True)
            if name in packages.UPGRADES.values():
                packages.package_file(name, download=True)
            for config in CONFIGS.values():
                if config.modules and config.crash_kernel_name == name:
                    packages.further_modules(kernel, config.modules.split(), download=True)
            if name == own_zboot.KERNEL:
                own_zboot.vmlinuz(kernel, download=True)
            if any(config.kernel == name and config.secure_boot for config in CONFIGS.values()):
                packages.configuration(kernel, download=True)
            if any(config.kernel == name and config.trigger != "c" for config in CONFIGS.values()):
                module.headers(kernel, download=True)
            if any(config.kernel == name and config.systemd for config in CONFIGS.values()):
                systemd.tree(kernel.machine, download=True)
        return 0
    config = CONFIGS[options.config]
    programs = Programs(config.machine, options.load, options.capture, options.overlay, config.signed_images)
    if options.command == "get":
        print(get(config, programs).directory)
        return 0
    changed = {field.name: getattr(options, field.name) for field in dataclasses.fields(Config)
               if getattr(options, field.name) is not None}
    start = time.monotonic()
    result = run(dataclasses.replace(config, **changed), programs, options.out, options.timeout, options.verbose)
    for file in sorted(result.directory.glob("*.rc")):
        print(f"{file.stem}: exit {file.read_text().strip()}")
    print(f"{result.directory}: {time.monotonic() - start:.0f} s")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (Skip, RuntimeError) as error:
        sys.exit(f"guest.py: {error}")
