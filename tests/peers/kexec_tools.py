#!/usr/bin/python3
"""Debian's kexec-tools and kdump-load on the same machines: same program headers, same usable memory.

kexec(8) reads /proc of the machine it runs on, so its words were recorded there: tests/golden/machines/NAME/kexec.txt is
`kexec -p -d -c` in the guest whose /proc and /sys are beside it in root. kdump-load plans for that root here.

usage: kexec_tools.py KDUMP_LOAD WRITE_FAKE_MACHINE
"""
import json
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

MACHINES = Path(__file__).resolve().parent.parent / "golden" / "machines"
PROGRAM, WRITER = sys.argv[1:3]
MIB = 1 << 20
# kexec-tools looks for _text in /proc/kallsyms. Without CONFIG_KALLSYMS_ALL it is not there, and what then goes into
# the program headers makes the crash kernel oops.
DEFECT = ["arm64-6.1"]


class Theirs:
    """What kexec -p -d said."""

    def __init__(self, name: str):
        self.text = (MACHINES / name / "kexec.txt").read_text()
        self.notes, self.ram, self.image, self.vmcoreinfo = set(), set(), None, None
        for what, kind, physical, virtual, size in re.findall(
                r"^(.*)[Hh]eader: p_type = (\d), p_offset = \S+ p_paddr = (\S+) p_vaddr = (\S+) p_filesz = \S+ p_memsz = (\S+)",
                self.text, re.MULTILINE):
            start, address, length = int(physical, 16), int(virtual, 16), int(size, 16)
            if "vmcoreinfo" in what:
                self.vmcoreinfo = (start, length)
            elif kind == "4":
                self.notes.add((start, length))
            elif "Kernel text" in what:
                self.image = (start, address, length)
            else:
                self.ram.add((start, address, length))

    def usable(self) -> list:
        """arm64: linux,usable-memory-range, behind linux,elfcorehdr."""
        return sorted(ranges(r"^cells_size_fitted: (\w+)-(\w+)", self.text)[1:])

    def e820(self) -> set:
        table = self.text.split("E820 memmap:\n")[1]
        return {(start, size, int(kind)) for (start, size), kind in
                zip(ranges(r"^(\w{16})-(\w{16}) \(\d\)", table), re.findall(r"^\w{16}-\w{16} \((\d)\)", table, re.MULTILINE))}


def ranges(pattern: str, text: str) -> list:
    """(start, size) of lines with a first and a last address."""
    return [(int(first, 16), int(last, 16) + 1 - int(first, 16)) for first, last in re.findall(pattern, text, re.MULTILINE)]


def e820_of(boot_params: bytes) -> set:
    """Documentation/arch/x86/zero-page.rst: the number of entries at 0x1e8, entries of 20 bytes at 0x2d0."""
    return {struct.unpack_from("<QQI", boot_params, 0x2d0 + 20 * i) for i in range(boot_params[0x1e8])}


class KexecTools(unittest.TestCase):
    maxDiff = 3000

    def setUp(self):
        self.directory = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.directory)
        subprocess.run([WRITER, self.directory], check=True)

    def plan(self, name: str) -> dict:
        kernel = "bzImage" if name.startswith("amd64") else "Image"
        done = subprocess.run([PROGRAM, "plan", "--json", "--syscall", "kexec", "--sysroot", MACHINES / name / "root",
                               "--kernel", self.directory / kernel, "--initrd", self.directory / "initrd",
                               "--output-dir", self.directory], capture_output=True, text=True)
        self.assertEqual(0, done.returncode, done.stderr)
        return json.loads(done.stdout)

    def headers(self, plan: dict, kind: str) -> list:
        number = lambda text: int(text, 16) if text else 0  # noqa: E731
        return [(number(h["physical_address"]), number(h["virtual_address"]), number(h["size"]))
                for h in plan["program_headers"] if h["kind"] == kind]

    def each(self, check, *without) -> None:
        """Runs check(name, theirs, plan) for every recorded machine."""
        names = [path.parent.name for path in sorted(MACHINES.glob("*/kexec.txt"))]
        self.assertGreaterEqual(len(names), 7)
        for name in names:
            if name not in without:
                with self.subTest(name):
                    check(name, Theirs(name), self.plan(name))

    def test_notes(self):
        def check(name, theirs, plan):
            self.assertEqual(theirs.notes, {(start, size) for start, _, size in self.headers(plan, "cpu_note")})
            self.assertEqual([theirs.vmcoreinfo], [(start, size) for start, _, size in self.headers(plan, "vmcoreinfo")])

        self.each(check)

    def test_kernel_image(self):
        def check(name, theirs, plan):
            self.assertEqual([theirs.image], self.headers(plan, "kernel_image"))

        self.each(check, *DEFECT)

    def test_ram(self):
        def check(name, theirs, plan):
            ours = set(self.headers(plan, "ram"))
            # x86-64: kexec-tools offers RAM below 1 MiB from a copy. Today's kernels set that RAM aside for the crash
            # kernel, which overwrites it; it is in neither the kernel's own headers nor in ours.
            self.assertTrue(all(start >= MIB for start, _, _ in ours) or not name.startswith("amd64"))
            low = {header for header in theirs.ram if header[0] < MIB}
            self.assertEqual(len(low), int(name.startswith("amd64")))
            self.assertEqual(theirs.ram - low, ours)

        self.each(check, *DEFECT)

    def test_where_they_go_wrong(self):
        for name in DEFECT:
            theirs, plan = Theirs(name), self.plan(name)
            iomem = (MACHINES / name / "root/proc/iomem").read_text()
            system_ram = ranges(r"^(\w+)-(\w+) : System RAM", iomem)
            inside = lambda start: any(first <= start < first + size for first, size in system_ram)  # noqa: E731
            self.assertFalse(inside(theirs.image[0]))
            [(start, _, size)] = self.headers(plan, "kernel_image")
            self.assertTrue(inside(start) and inside(start + size - 1))
            code = ranges(r"^ *(\w+)-(\w+) : Kernel code", iomem)[0][0]
            self.assertTrue(start <= code < start + size)
            # Which RAM there is they still agree on.
            physical = lambda headers: {(header[0], header[2]) for header in headers}  # noqa: E731
            self.assertEqual(physical(theirs.ram), physical(self.headers(plan, "ram")))

    def test_usable_memory(self):
        def check(name, theirs, plan):
            regions = sorted((int(region["start"], 16), int(region["size"], 16)) for region in plan["crash_regions"])
            if name.startswith("arm64"):
                self.assertEqual(theirs.usable(), regions)
                self.assertIn("linux,usable-memory-range", {edit["target"].split("/")[-1] for edit in plan["device_tree"]["edits"]})
                return
            theirs_e820, ours = theirs.e820(), e820_of((self.directory / "boot_params.bin").read_bytes())
            ram = lambda table: {(start, size) for start, size, kind in table if kind == 1}  # noqa: E731
            # What the firmware keeps is handed on alike; of the crash regions all but a little is RAM, each program
            # keeping its own program headers out.
            self.assertEqual({entry for entry in theirs_e820 if entry[2] != 1}, {entry for entry in ours if entry[2] != 1})
            low = lambda table: {(start, size) for start, size in ram(table) if start < MIB}  # noqa: E731
            self.assertEqual(low(theirs_e820), low(ours))
            for table in [theirs_e820, ours]:
                inside = [(start, size) for start, size in ram(table) if start >= MIB]
                for start, size in inside:
                    self.assertTrue(any(first <= start and start + size <= first + length for first, length in regions))
                left_out = sum(size for _, size in regions) - sum(size for _, size in inside)
                self.assertTrue(0 < left_out < 2 * MIB, left_out)

        self.each(check)

if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
