#!/usr/bin/python3
"""Files of a stock Debian arm64 kernel: packed, as the zboot image that Linux' own build makes of it, in a unified kernel image,
as vmlinux. A plan for a recorded machine has the same kernel for all of them. No guest runs."""
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import e2e
import guest
import packed_kernels

MACHINE = guest.ROOT / "tests" / "golden" / "machines" / "arm64-6.12" / "root"
INITRD = b"070701" + b"0" * 104 + b"TRAILER!!!\0" + bytes(3)


class KernelFiles(e2e.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.kernel = KERNEL
        cls.image = cls.kernel.image.read_bytes()

    def planned(self, name: str, *options: str) -> tuple[dict, bytes]:
        """The plan, and the kernel in it."""
        with tempfile.TemporaryDirectory() as temp:
            file = Path(temp, name)
            file.write_bytes(packed_kernels.make(name, self.kernel, INITRD))
            done = subprocess.run([e2e.BIN / "kdump-load", "plan", "--json", "--sysroot", MACHINE, "--output-dir", temp,
                                   "--kernel", file, "--syscall", "kexec", *options], capture_output=True, text=True, check=False)
            self.assertEqual(name == "linux.efi", done.returncode == 1, done.stderr)  # that initramfs has no /init
            return json.loads(done.stdout), Path(temp, "kernel.bin").read_bytes()

    def test_packed(self):
        for name in packed_kernels.PACKED:
            plan, kernel = self.planned(name)
            self.assertEqual(hashlib.sha256(self.image).digest(), hashlib.sha256(kernel).digest(), name)
            self.assertIn(plan["kernel"]["compression"], ("gzip", "zstd", "xz", "lz4"))

    def test_vmlinux(self):
        """Debian signs the Image; so it is compared with what the kernel's build makes of the vmlinux."""
        plan, kernel = self.planned("vmlinux")
        built = packed_kernels.image_of_vmlinux(self.kernel)
        self.assertEqual(hashlib.sha256(built).digest(), hashlib.sha256(kernel).digest())
        self.assertEqual("ELF (vmlinux)", plan["kernel"]["compression"])

    def test_zboot_of_the_kernels_build(self):
        """That pads the Image to the memory it needs."""
        plan, kernel = self.planned("vmlinuz.efi")
        built = packed_kernels.image_of_vmlinux(self.kernel)
        padded = built.ljust(int.from_bytes(built[16:24], "little"), b"\0")
        self.assertEqual(hashlib.sha256(padded).digest(), hashlib.sha256(kernel).digest())
        self.assertEqual("EFI zboot (gzip)", plan["kernel"]["compression"])

    def test_our_zboot_is_the_builds(self):
        """kernel_files.zboot() differs from it in where things are and how many, and in the decompressor that it lacks."""
        built = packed_kernels.own_zboot.vmlinuz(self.kernel).read_bytes()
        ours = packed_kernels.kernel_files.zboot(packed_kernels.image_of_vmlinux(self.kernel), "gzip")
        payload = [file[int.from_bytes(file[8:12], "little"):][:int.from_bytes(file[12:16], "little")] for file in (built, ours)]
        self.assertEqual(hashlib.sha256(payload[0]).digest(), hashlib.sha256(payload[1]).digest())
        sizes_and_places = {0x08, 0x5C, 0x60, 0x68, 0x90, 0x100, 0x108, 0x128, 0x12C, 0x134}
        different = {at & ~3 for at in range(0x1000) if built[at] != ours[at]}
        self.assertLessEqual(different, sizes_and_places, [hex(at) for at in different])

    def test_unified(self):
        plan, kernel = self.planned("linux.efi", "--uki-initrd", "--uki-command-line")
        self.assertEqual(hashlib.sha256(self.image).digest(), hashlib.sha256(kernel).digest())
        self.assertEqual("unified kernel image, EFI zboot (zstd)", plan["kernel"]["compression"])
        self.assertEqual((".initrd", hashlib.sha256(INITRD).hexdigest()), (plan["initrd"]["section"], plan["initrd"]["sha256"]))
        self.assertIn("kdk_from_uki=1", plan["command_line"]["text"])
        self.assertEqual(["quiet", "crashkernel=256M"], plan["command_line"]["removed"])


if __name__ == "__main__":
    try:
        KERNEL = guest.kernels.kernel(packed_kernels.own_zboot.KERNEL)
        packed_kernels.own_zboot.vmlinuz(KERNEL)
    except guest.Skip as skip:
        print(f"skipped: {skip}")
        sys.exit(1 if os.environ.get("CI") == "true" else 77)
    unittest.main(argv=sys.argv[:1], verbosity=2)
