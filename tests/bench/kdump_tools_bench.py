#!/usr/bin/python3
"""kdumpkit beside Debian's kdump-tools with makedumpfile, in the same Debian 12 guest (amd64, 1 GiB, one CPU, TCG): the smallest
crashkernel= with which each still saves the dump, the size of its initramfs, and the time from the panic to the reset that ends
the crash kernel. Prints the README's table. Takes about 25 minutes, as root; scripts/package's needs must be built.

  kdump_tools_bench.py [--step MIB] [--low MIB] [--high MIB] [--repeat N] [--times N] [--out DIR]

What counts as saved: the whole dump is in /var/crash, and kdump-analyze names the crash in it. The reservation is bisected in
steps of --step; the answer is tried --repeat times. The times are medians of --times runs with a roomy
reservation (--high).
"""
import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
import debian_system  # noqa: E402
from debian_system import chroot  # noqa: E402

TOOLS = ["kdumpkit", "kdump-tools"]
THEIRS = ["kdump-tools", "makedumpfile", "kexec-tools"]
THEIR_NEEDS = ["perl", "ucf", "file", "bsdextrautils", "busybox-static", "linux-base", "lsb-base", "debconf", "libxenmisc4.17"]
PATIENCE = 300  # seconds for a crash kernel; one without memory may stand still
PANIC = "Kernel panic - not syncing: sysrq triggered crash"


class Bench:
    def __init__(self, directory: Path):
        self.directory = directory
        self.disk = directory / "disk"

    def prepare(self) -> None:
        """The disk with both installed; that of an earlier run in the same directory is taken."""
        if not (self.directory / "prepared").exists():
            self.make()
            (self.directory / "prepared").touch()

    @property
    def kernel(self) -> Path:
        return next(self.directory.glob("kernel/boot/vmlinuz-*"))

    @property
    def initrd(self) -> Path:
        return next(self.directory.glob("kernel/boot/initrd.img-*"))

    def make(self) -> None:
        debs = debian_system.make_packages(self.directory / "packages")
        archive = chroot.archive([*chroot.SYSTEM, *chroot.TOOLS, *sorted(needed(debs)), *THEIR_NEEDS])
        theirs = self.directory / "theirs"
        theirs.mkdir()
        for name in THEIRS:
            subprocess.run(["apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", name], cwd=theirs, check=True)
        scenario = debian_system.Scenario("../../bench/kdump_tools_stage.sh", installed=True)
        root = self.directory / "kernel"
        debian_system.make_disk(scenario, [*debs, *theirs.glob("*.deb")], archive, self.directory)
        root.mkdir()
        subprocess.run(["tar", "-x", "-C", root, "--wildcards", "-f", archive, "./boot/*"], check=True)
        self.boot(self.disk, "bench=setup", 600)
        self.read(self.disk, "out", self.directory)

    def boot(self, disk: Path, append: str, seconds: int) -> float | None:
        """How long after the panic the guest ended; None: it had to be ended, or there was no panic."""
        machine = debian_system.X86_64
        qemu = subprocess.Popen(
            [*machine.qemu, "-nographic", "-nodefaults", "-no-reboot", "-serial", "stdio", "-cpu", "qemu64,-svm", "-smp", "1",
             "-m", str(debian_system.MEMORY_MIB), "-kernel", self.kernel, "-initrd", self.initrd, "-append",
             f"root=/dev/vda1 ro {machine.command_line} panic=5 {append}",
             "-drive", f"file={disk},format=raw,if=none,id=disk,cache=unsafe", "-device", "virtio-blk-pci,drive=disk"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
        timers = [subprocess.Popen(["sh", "-c", f"sleep {seconds}; kill {qemu.pid}"])]
        panic = None
        with (self.directory / ("console-" + append.replace(" ", "-"))).open("w", buffering=1) as log:
            for line in qemu.stdout:
                log.write(line)
                if PANIC in line and panic is None:
                    panic = time.monotonic()
                    timers.append(subprocess.Popen(["sh", "-c", f"sleep {PATIENCE}; kill {qemu.pid}"]))
        code = qemu.wait()
        for timer in timers:
            timer.kill()
            timer.wait()
        return time.monotonic() - panic if panic and code == 0 else None

    def read(self, disk: Path, inside: str, out: Path) -> None:
        partition = debian_system.debian_disk.partition(debian_system.X86_64, disk)
        # To replay the journal. Having done that it fails to open the image again, since it looks for it at offset 0.
        subprocess.run(["/sbin/e2fsck", "-p", partition], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        debian_system.rdump(partition, inside, out)

    def text(self, name: str) -> str:
        return (self.directory / "out" / f"{name}.stdout").read_text()

    def crash(self, tool: str, mib: int) -> float | None:
        """Seconds from panic to reset; None: the dump was not saved."""
        with tempfile.TemporaryDirectory(dir=self.directory) as temp:
            disk = Path(temp, "disk")
            subprocess.run(["cp", "--sparse=always", self.disk, disk], check=True)
            seconds = self.boot(disk, f"bench={tool} crashkernel={mib}M", 900)
            self.read(disk, "var/crash", Path(temp))
            dumps = [*Path(temp).glob("crash/*Z/vmcore"), *Path(temp).glob("crash/*/dump.*")]
            saved = len(dumps) == 1 and "sysrq_handle_crash" in subprocess.run(
                [ROOT / "build/release/bin/kdump-analyze", "bt", dumps[0]], capture_output=True, text=True).stdout
        print(f"  {tool} crashkernel={mib}M: {f'saved, {seconds:.1f} s' if saved and seconds else 'NOT saved'}", file=sys.stderr, flush=True)
        return seconds if saved else None

    def smallest(self, tool: str, low: int, high: int, step: int, repeat: int) -> int:
        """By bisection between `low`, which must fail, and `high`, which must do; then upwards until it holds."""
        while high - low > step:
            middle = (low + high) // 2 // step * step
            if self.crash(tool, middle) is None:
                low = middle
            else:
                high = middle
        while not all(self.crash(tool, high) is not None for _ in range(repeat - 1)):
            high += step
        return high


def needed(debs: list[Path]) -> set[str]:
    return set().union(*(chroot.dependencies(deb) for deb in debs)) - {deb.name.split("_")[0] for deb in debs}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--step", type=int, default=4)
    parser.add_argument("--low", type=int, default=32)
    parser.add_argument("--high", type=int, default=256)
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--out", type=Path, help="where the guests' consoles stay (default: nowhere)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temp:
        bench = Bench(options.out or Path(temp))
        bench.directory.mkdir(parents=True, exist_ok=True)
        bench.prepare()
        said = bench.text("ours").splitlines()[-1]
        ours = re.search(r"([\d.]+) MB packed, ([\d.]+) MiB unpacked, ([\d.]+) MiB of that", said)
        unpacked, modules = (int(bench.text(f"theirs-{name}").split()[0]) / (1 << 20) for name in ("unpacked", "modules"))
        times = {}
        for tool in TOOLS:
            runs = [bench.crash(tool, options.high) for _ in range(options.times)]
            if None in runs:
                sys.exit(f"{tool} does not save the dump with {options.high} MiB: see the console")
            times[tool] = statistics.median(runs)
        smallest = {tool: bench.smallest(tool, options.low, options.high, options.step, options.repeat) for tool in TOOLS}
        print("| | kdumpkit | kdump-tools, makedumpfile |\n|---|---|---|")
        print("| smallest crashkernel= that saves the dump, MiB | {kdumpkit} | {kdump-tools} |".format(**smallest))
        print(f"| initramfs, packed, MB | {ours[1]} | {int(bench.text('theirs-packed')) / 1e6:.1f} |")
        print(f"| initramfs, unpacked, MiB (of that kernel modules) | {ours[2]} ({ours[3]}) | {unpacked:.1f} ({modules:.1f}) |")
        print("| panic to reset, s | {kdumpkit:.1f} | {kdump-tools:.1f} |".format(**times))


if __name__ == "__main__":
    main()
