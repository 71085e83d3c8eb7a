#!/usr/bin/python3
"""A guest that is broken over and over: booted once for a kernel, its state saved, and for every failure started again from that state.
When it has panicked QEMU dumps its memory. A failure takes some seconds this way, most of which the kernel needs to notice it.

  planted.py download [KERNEL...]     fetches what the module is built with
"""
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import guest
import initramfs
import kernels
import module
import own_kernel
import packages
import qemu

KERNELS = ("6.1-cloud-arm64", "6.12-cloud-arm64", "6.1-cloud-amd64", "6.12-cloud-amd64")
MEMORY_MIB = 256
# KFENCE watches an allocation every 20 ms; slabs of our own cache are checked, and a bad page or slab is a panic (TAINT_BAD_PAGE).
COMMAND_LINE = "panic=0 kfence.sample_interval=20 slub_debug=FZP,kdk_objects panic_on_taint=0x20"
# What every x86-64 processor of the last ten years refuses the kernel: to execute or to read what is the user's.
CPU = {"arm64": ["-cpu", "cortex-a57"], "x86-64": ["-cpu", "qemu64,+smep,+smap"]}
# Our own kernel breaks itself (LKDTM), and authenticates its pointers. No memory tags: QEMU 7.2 has one tag for a whole page (its commit
# 28fb921f02ef, v8.0).
OWN_CPU = ["-cpu", guest.ARM64_MAX]
PANICS, PANICKED = re.compile(r"Kernel panic|not syncing"), re.compile(r"---\[ end Kernel panic")


class Guest:
    """A QEMU process and its console."""

    def __init__(self, options: list, temp: Path):
        self._socket = temp / "qmp"
        command = [*options, "-nographic", "-nodefaults", "-no-reboot", "-serial", "stdio",
                   "-qmp", f"unix:{self._socket},server=on,wait=off"]
        self._log = (temp / "console").open("wb+")
        self._qemu = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=self._log, stderr=subprocess.STDOUT)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self._qemu.kill()
        self._qemu.communicate()
        self._log.close()

    def console(self) -> str:
        self._log.seek(0)
        return self._log.read().decode(errors="replace")

    def wait_for(self, pattern: str | re.Pattern, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while not re.search(pattern, self.console()):
            ended = self._qemu.poll() is not None
            if ended or time.monotonic() > deadline:
                said = "it last said:\n" + "\n".join(self.console().splitlines()[-15:])
                raise RuntimeError(f"the guest ended; {said}") if ended else TimeoutError(f"the guest was silent; {said}")
            time.sleep(0.05)

    def say(self, line: str) -> None:
        self._qemu.stdin.write(line.encode() + b"\n")
        self._qemu.stdin.flush()

    def wake(self) -> None:
        """Waits until the guest listens: what arrives before its state is back is lost, some bytes of it."""
        for _ in range(20):
            self.say("\necho guest: awake")
            try:
                return self.wait_for("guest: awake", 3)
            except TimeoutError:
                pass
        raise RuntimeError("the guest does not listen")

    def monitor(self, timeout: float = 30) -> qemu.Qmp:
        deadline = time.monotonic() + timeout
        while True:
            try:
                return qemu.Qmp(self._socket)
            except OSError:  # it has just been started
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)


class Planted:
    """One kernel, ready to be broken."""

    def __init__(self, kernel_name: str):
        self.kernel = kernels.kernel(kernel_name)
        self.own = isinstance(self.kernel, own_kernel.OwnKernel)
        self.module = None if self.own else module.kdk_plant(self.kernel)
        guest.check_tools(self.kernel.machine)
        self._directory = tempfile.TemporaryDirectory(prefix="kdk-planted-")
        self.temp = Path(self._directory.name)
        image = initramfs.Initramfs()
        image.add("bin/busybox", packages.busybox(self.kernel.machine).read_bytes())
        image.add("init", (guest.HERE / "guest" / "planted.sh").read_bytes())
        if self.module:
            image.add("modules/kdk_plant.ko", self._stripped().read_bytes())
        (self.temp / "initrd").write_bytes(image.pack())
        with Guest(self._options(), self.temp) as booted:
            booted.wait_for("guest: ready", 180)
            monitor = booted.monitor()
            monitor("migrate", uri=f"exec:cat >{self.temp}/state")
            while (state := monitor("query-migrate")["status"]) != "completed":
                if state == "failed":
                    raise RuntimeError("QEMU cannot save its state")
                time.sleep(0.1)

    def close(self) -> None:
        self._directory.cleanup()

    def _stripped(self) -> Path:
        """Without debugging information, which the guest has no use for."""
        out = self.temp / "kdk_plant.ko"
        subprocess.run([self.kernel.machine.tool("strip"), "--strip-debug", "-o", out, self.module], check=True)
        return out

    def _options(self) -> list:
        return [*self.kernel.machine.qemu, *(OWN_CPU if self.own else CPU[self.kernel.machine.name]), "-smp", "2", "-m", str(MEMORY_MIB),
                "-device", "vmcoreinfo", "-kernel", self.kernel.image, "-initrd", self.temp / "initrd",
                "-append", f"{self.kernel.machine.command_line} {COMMAND_LINE}"]

    def broken(self, commands: str, by_host: str, timeout: float) -> tuple[Path, str]:
        """The dump after `commands` in the guest, and after what the host says to QEMU's monitor then; and what was on the console."""
        with Guest([*self._options(), "-incoming", f"exec:cat {self.temp}/state"], self.temp) as started:
            started.wake()
            started.say(f"{commands}\necho guest: done: all")
            monitor = started.monitor()
            if by_host:
                started.wait_for("guest: done: ", timeout)
                monitor("human-monitor-command", **{"command-line": by_host})
            started.wait_for(PANICS, timeout)
            try:
                started.wait_for(PANICKED, 20)
            except TimeoutError:
                pass  # now and then a busy serial port drops some letters of that
            dump = self.temp / "dump.elf"
            dump.unlink(missing_ok=True)
            monitor("stop")
            monitor("dump-guest-memory", paging=False, protocol=f"file:{dump}")
            return dump, started.console()


def main() -> None:
    if sys.argv[1:2] != ["download"]:
        sys.exit(__doc__)
    for name in sys.argv[2:] or KERNELS:
        if name in KERNELS:
            module.headers(kernels.kernel(name, download=True), download=True)


if __name__ == "__main__":
    main()
