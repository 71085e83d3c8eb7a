#!/usr/bin/python3
"""`kdump-load test` with stock kernels, on this host: QEMU boots what would be loaded on a recorded machine, and says how
far it comes. Usage: test_prove.py MACHINE (a name of MACHINES below)"""
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import e2e
import guest
import initramfs
import kernels
import packages

RECORDED = guest.ROOT / "tests" / "golden" / "machines"
# name -> recorded machine, kernel. One below 4 GiB, one above, for each architecture.
MACHINES = {
    "arm64": ("arm64-6.12", "6.12-cloud-arm64"),
    "amd64": ("amd64-6.12-efi-high", "6.1-cloud-amd64"),
}
INIT = b"""#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t devtmpfs dev /dev
exec </dev/console >/dev/console 2>&1
echo "init: vmcore $(/bin/busybox head -c 4 /proc/vmcore | /bin/busybox tail -c 3)"
exec /bin/kdump-capture run --config /etc/kdumpkit.toml --final-action poweroff
"""
# Nowhere to save to: that it is tried is enough.
CONFIG = b"""[[target]]
kind = "mount"
device = "LABEL=nowhere"
wait = "1s"
"""


def image(kernel: packages.Kernel, init: bytes | None, filler_mib: int = 0) -> bytes:
    files = initramfs.Initramfs()
    files.add("bin/busybox", packages.busybox(kernel.machine).read_bytes())
    if init:
        files.add("init", init)
    files.add("bin/kdump-capture", guest.content(guest.Programs(kernel.machine).capture, kernel.machine))
    files.add("etc/kdumpkit.toml", CONFIG)
    if filler_mib:
        files.add("filler", bytes(filler_mib << 20))
    return files.pack()


class Prove(e2e.TestCase):
    machine: str
    kernel: packages.Kernel

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)

    def prove(self, initrd: bytes, expect: int, *arguments) -> dict:
        file = self.directory / "initrd"
        file.write_bytes(initrd)
        done = subprocess.run([e2e.BIN / "kdump-load", "test", "--json", "--sysroot", RECORDED / self.machine / "root",
                               "--kernel", self.kernel.image, "--initrd", file, "--timeout", "600", "--accel", "tcg",
                               "-o", self.directory / "console.log", *arguments],
                              capture_output=True, text=True, timeout=900, check=False)
        self.assertEqual(expect, done.returncode, f"{done.stdout}\n{done.stderr}")
        return self.valid_json(done.stdout)

    def test_reaches_capture(self):
        result = self.prove(image(self.kernel, INIT), 0)
        self.assertEqual("reached", result["verdict"])
        trial = result["trial"]
        self.assertEqual(("capture", "/init"), (trial["stage"], trial["init"]))
        self.assertIn("kdumpkit: capture started, 1 target", "\n".join(trial["capture_said"]))
        self.assertEqual([], trial["refusals"])
        # The kernel has the memory of the recorded machine's crash region, where that machine has it.
        self.assertEqual(trial["crash_regions"], trial["virtual_machine"]["crash_regions"])
        reserved = sum(int(region["size"], 16) for region in trial["crash_regions"])
        self.assertLess(trial["memory_available_bytes"], reserved)
        self.assertGreater(trial["memory_available_bytes"], reserved // 2)
        # /proc/vmcore is there and is an ELF file.
        self.assertIn("init: vmcore ELF", (self.directory / "console.log").read_text(errors="replace"))

    def test_an_initramfs_that_is_too_big(self):
        result = self.prove(image(self.kernel, INIT, filler_mib=400), 1)
        self.assertIn("unpacking the initramfs failed", result["cause"])
        self.assertIn("initrd_unpacks", "\n".join(result["trial"]["refusals"]), "the forecast says so, too")

    def test_an_initramfs_without_init(self):
        result = self.prove(image(self.kernel, None), 1)
        self.assertEqual("kernel", result["trial"]["stage"])
        self.assertIn("the initramfs has no /init", result["cause"])
        self.assertIn("the kernel panicked", result["cause"])

    def test_a_program_for_another_architecture(self):
        other = next(m for m in (packages.ARM64, packages.X86_64) if m is not self.kernel.machine)
        result = self.prove(image(self.kernel, packages.busybox(other).read_bytes()), 1)
        self.assertRegex(result["cause"], r"Failed to execute /init \(error -8\)")

    def test_a_kernel_for_another_architecture(self):
        other = next(name for recorded, name in MACHINES.values() if recorded != self.machine)
        done = subprocess.run([e2e.BIN / "kdump-load", "test", "--sysroot", RECORDED / self.machine / "root",
                               kernels.kernel(other).image], capture_output=True, text=True, timeout=300, check=False)
        self.assertEqual(1, done.returncode, done.stderr)

    def test_without_qemu(self):
        result = self.prove(image(self.kernel, INIT), 3, "--qemu", "/nonexistent")
        self.assertEqual("not_tried", result["verdict"])
        self.assertIn("/nonexistent", result["cause"])


if __name__ == "__main__":
    Prove.machine, name = MACHINES[sys.argv[1]]
    try:
        Prove.kernel = kernels.kernel(name)
        for _, other in MACHINES.values():
            kernels.kernel(other)
        guest.check_tools(Prove.kernel.machine)
        guest.Programs(Prove.kernel.machine)
    except packages.Skip as reason:
        e2e.skip(reason)
    unittest.main(argv=sys.argv[:1], verbosity=2)
