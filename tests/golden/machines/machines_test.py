#!/usr/bin/python3
"""Plans for recorded machines: NAME/root is what kdump-load reads, NAME/plan.json what it shall make of it (plan-kexec.json
by kexec_load, where that is not the usual call), NAME/dtb.diff how dtc sees the device tree change.

usage: machines_test.py KDUMP_LOAD WRITE_FAKE_MACHINE    KDK_GOLDEN_REWRITE=1 rewrites the expected files
"""
import difflib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "support"))
import schemas  # noqa: E402

PROGRAM, WRITER = sys.argv[1:3]
MACHINES = sorted(path.parent.name for path in HERE.glob("*/root"))
REWRITE = os.environ.get("KDK_GOLDEN_REWRITE") is not None


class Machines(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.directory = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.directory)
        subprocess.run([WRITER, self.directory], check=True)

    def plan(self, name: str, *arguments) -> str:
        kernel = "bzImage" if name.startswith("amd64") else "Image"
        done = subprocess.run([PROGRAM, "plan", "--json", "--sysroot", HERE / name / "root", "--output-dir", self.directory,
                               "--kernel", self.directory / kernel, "--initrd", self.directory / "initrd", *arguments],
                              capture_output=True, text=True)
        self.assertEqual((0, ""), (done.returncode, done.stderr), name)
        self.assertEqual([], schemas.problems(json.loads(done.stdout), "load-plan"))
        text = re.sub(r'("name": "kdump-load",\s+"version": ")[^"]*', r"\g<1>0.0.0", done.stdout)
        recorded = HERE / name / "root"
        return text.replace(f"{self.directory}/", "/boot/").replace(f"{recorded}/", "/")

    def compare(self, name: str, file: str, text: str) -> None:
        path = HERE / name / file
        if REWRITE:
            path.write_text(text)
        self.assertEqual(path.read_text(), text, f"{path}: KDK_GOLDEN_REWRITE=1 rewrites it")

    def test_plans(self):
        self.assertGreaterEqual(len(MACHINES), 7)
        for name in MACHINES:
            with self.subTest(name):
                text = self.plan(name)
                self.compare(name, "plan.json", text)
                if json.loads(text)["syscall"] == "kexec_file_load":
                    self.compare(name, "plan-kexec.json", self.plan(name, "--syscall", "kexec"))

    def source(self, blob: Path) -> list[str]:
        """As dtc writes it, without the random seeds."""
        text = subprocess.run(["dtc", "-q", "-s", "-I", "dtb", "-O", "dts", blob], capture_output=True, text=True, check=True)
        return re.sub(r"((?:kaslr|rng)-seed = )<[^>]*>", r"\1<...>", text.stdout).splitlines(True)

    def test_device_trees(self):
        if not shutil.which("dtc"):
            self.skipTest("dtc is not installed: run scripts/deps")
        for name in MACHINES:
            before = HERE / name / "root/sys/firmware/fdt"
            if not before.exists():
                continue
            with self.subTest(name):
                self.plan(name)
                diff = difflib.unified_diff(self.source(before), self.source(self.directory / "dtb.bin"), "before", "after")
                self.compare(name, "dtb.diff", "".join(diff))


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
