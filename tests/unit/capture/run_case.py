"""What the tests of `kdump-capture run` share: the program, an input, a configuration, and checks of what was saved.
Arguments of each: the program, and "http" when it was built with libcurl.

The input is cli_test's: an ELF vmcore without VMCOREINFO. The dump is whole all the same, but there are things to
complain about (no log), so that a success is exit status 3.
"""
import hashlib
import json
import os
import struct
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "support"))
import schemas  # noqa: E402

PROGRAM = sys.argv.pop(1)
HTTP = len(sys.argv) > 1 and sys.argv[1] == "http" and bool(sys.argv.pop(1))
PAGE, PAGES = 4096, 512


def vmcore():
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", 4, 183, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    header += struct.pack("<IIQQQQQQ", 1, 7, PAGE, 0xffff000000000000, 1 << 30, PAGES * PAGE, PAGES * PAGE, 0)
    return header.ljust(PAGE, b"\0") + os.urandom(PAGES * PAGE)


class RunTest(unittest.TestCase):
    level = "0"

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.here = Path(directory.name)
        self.input = self.here / "in"
        self.input.write_bytes(vmcore())
        self.dumps = self.here / "dumps"

    def command(self, config):
        file = self.here / "config.toml"
        file.write_text(f"[capture]\nlevel = {self.level}\n" + config)
        return [PROGRAM, "run", "--config", str(file), "--input", str(self.input)]

    def run_config(self, config, code=3, **options):
        done = subprocess.run(self.command(config), capture_output=True, text=True, timeout=120, **options)
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertTrue(done.stderr.startswith("kdumpkit: capture started"), done.stderr)
        self.assertIn("kdumpkit: capture finished: ", done.stderr)
        return done.stderr

    def directory_target(self, extra=""):
        return f'[[target]]\nkind = "directory"\npath = "{self.dumps}"\n{extra}'

    def only_dump(self, parent=None, suffix="Z"):
        found = list((parent or self.dumps).glob("*"))
        self.assertEqual(len(found), 1, found)
        self.assertTrue(found[0].name.endswith(suffix), found)
        return found[0]

    def check_sums(self, directory):
        sums = dict(reversed(line.split("  ")) for line in (directory / "SHA256SUMS").read_text().splitlines())
        files = {file.name for file in directory.iterdir()} - {"SHA256SUMS"}
        self.assertEqual(set(sums), files)
        for name, value in sums.items():
            self.assertEqual(hashlib.sha256((directory / name).read_bytes()).hexdigest(), value, name)
        return files

    def check_dump(self, file):
        """Every page is there and is the input's."""
        copy = self.here / "copy"
        done = subprocess.run([PROGRAM, "save", file, copy, "-d", "0", "-E", "-f"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(copy.read_bytes().endswith(self.input.read_bytes()[PAGE:]))

    def check_stream(self, stream):
        dump = self.here / "joined"
        done = subprocess.run([PROGRAM, "reassemble", stream, dump, "-f"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.check_dump(dump)

    def check_summary(self, directory, status="partial"):
        document = json.loads((directory / "summary.json").read_text())
        self.assertEqual(schemas.problems(document, "capture-summary"), [])
        self.assertEqual(document["status"], status)
        return document
