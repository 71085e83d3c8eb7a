#!/usr/bin/python3
"""Kernel files as builds and distributions make them: packed by the real compressors with Linux' own options, in an EFI
zboot image of each method, in unified kernel images made of systemd-stub by objcopy. kdump-load finds the same kernel in
each.

usage: kernel_files_test.py KDUMP_LOAD WRITE_FAKE_MACHINE
"""
import hashlib
import json
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "support"))
import kernel_files  # noqa: E402
import schemas  # noqa: E402

PROGRAM, WRITER = sys.argv[1:3]
MEMORY = 3 << 20  # that the fake kernel needs


def fake_image() -> bytes:
    """An Image of 2 MiB without a PE header, half of it nothing to pack."""
    content = random.Random(4).randbytes(1 << 20) + bytes(range(256)) * 4096
    return struct.pack("<IIQQQ24s4sI", 0, 0, 0, MEMORY, 0xA, b"", b"ARM\x64", 0) + content[64:]


class KernelFiles(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.image = fake_image()

    def setUp(self):
        self.directory = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.directory)
        subprocess.run([WRITER, self.directory], check=True)
        self.initrd = (self.directory / "initrd").read_bytes()

    def plan(self, kernel: bytes, *options: str, root: str = "root") -> dict:
        """Checked against its schema; the segments are in self.directory/out."""
        path = self.directory / "kernel"
        path.write_bytes(kernel)
        shutil.rmtree(self.directory / "out", ignore_errors=True)
        done = subprocess.run([PROGRAM, "plan", "--json", "--sysroot", self.directory / root, "--output-dir",
                               self.directory / "out", "--kernel", path, *options], capture_output=True, text=True, check=False)
        self.assertEqual(0, done.returncode, done.stderr)
        document = json.loads(done.stdout)
        self.assertEqual([], schemas.problems(document, "load-plan"))
        return document

    def segment(self, name: str) -> bytes:
        return (self.directory / "out" / f"{name}.bin").read_bytes()

    def test_packed(self):
        names = {"zstd22": "zstd", "xzkern": "xz"}
        for method in kernel_files.PACKERS:
            with self.subTest(method):
                plan = self.plan(kernel_files.packed(self.image, method))
                self.assertEqual(names.get(method, method), plan["kernel"]["compression"])
                self.assertEqual(self.image, self.segment("kernel"))

    def test_zboot(self):
        names = {"zstd22": "zstd", "xzkern": "xz"}
        padded = self.image.ljust(MEMORY, b"\0")
        for method in kernel_files.PACKERS:
            with self.subTest(method):
                plan = self.plan(kernel_files.zboot(self.image, method))
                self.assertEqual(f"EFI zboot ({names.get(method, method)})", plan["kernel"]["compression"])
                self.assertEqual(padded, self.segment("kernel"))

    def test_unified(self):
        line = b"root=/dev/vda2 quiet\n\0"
        inner = kernel_files.zboot(self.image, "zstd22")
        for stub in ("x86_64", "aarch64"):  # whose firmware starts it does not matter here
            uki = kernel_files.unified(stub, [(".osrel", b"ID=test\n"), (".cmdline", line), (".initrd", self.initrd),
                                              (".linux", inner)])
            plan = self.plan(uki)
            self.assertEqual("unified kernel image, EFI zboot (zstd)", plan["kernel"]["compression"])
            self.assertEqual((None, "running kernel"), (plan["initrd"], plan["command_line"]["source"]))
            plan = self.plan(uki, "--uki-initrd", "--uki-command-line", "--append", "debug")
            self.assertEqual(self.image.ljust(MEMORY, b"\0"), self.segment("kernel"))
            self.assertEqual(self.initrd, self.segment("initrd"))
            self.assertEqual((".initrd", hashlib.sha256(self.initrd).hexdigest()),
                             (plan["initrd"]["section"], plan["initrd"]["sha256"]))
            self.assertEqual("unified kernel image", plan["command_line"]["source"])
            self.assertEqual(["quiet"], plan["command_line"]["removed"])
            self.assertTrue(plan["command_line"]["text"].startswith("root=/dev/vda2 debug reset_devices"))

    def test_unified_x86(self):
        kernel = (self.directory / "bzImage").read_bytes()
        uki = kernel_files.unified("x86_64", [(".linux", kernel), (".initrd", self.initrd), (".cmdline", b"ro")])
        for call, segments in (("file", "expected_segments"), ("kexec", "segments")):
            plan = self.plan(uki, "--uki-initrd", "--syscall", call, root="x86-root")
            self.assertIn("initrd", [segment["name"] for segment in plan[segments]])
            self.assertEqual(len(self.initrd), plan["initrd"]["size_bytes"])
        self.assertEqual(self.initrd, self.segment("initrd"))


if __name__ == "__main__":
    missing = [tool for tool in ("gzip", "zstd", "lzma", "xz", "lz4", "lzop", "aarch64-linux-gnu-objcopy",
                                 "x86_64-linux-gnu-objcopy") if not shutil.which(tool)]
    missing += [str(kernel_files.stub(machine)) for machine in ("x86_64", "aarch64")
                if not kernel_files.stub(machine).exists()]
    if missing:
        print(f"skipped, run scripts/deps: {' '.join(missing)}")
        sys.exit(77)
    unittest.main(argv=sys.argv[:1])
