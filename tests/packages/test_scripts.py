#!/usr/bin/python3
"""Every shell script that a package brings, or that makes one, through shellcheck."""
import subprocess
import sys
import unittest
from pathlib import Path

import skip

ROOT = Path(__file__).resolve().parent.parent.parent
FOLDERS = ["capture/dracut", "capture/initramfs-tools", "packaging", "scripts", "debian", ".ci"]


def shell_scripts() -> list[Path]:
    found = []
    for folder in FOLDERS:
        for file in sorted((ROOT / folder).rglob("*")):
            if file.is_file() and not any(part.startswith("kdumpkit") and part != file.name for part in file.relative_to(ROOT).parts):
                with file.open("rb") as content:
                    if content.readline().startswith((b"#!/bin/sh", b"#!/bin/bash")):
                        found.append(file)
    return found


class Scripts(unittest.TestCase):
    def test_shellcheck(self):
        scripts = shell_scripts()
        self.assertGreater(len(scripts), 12, scripts)
        done = subprocess.run(["shellcheck", "--severity=style", *scripts], capture_output=True, text=True)
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)

    def test_it_can_say_no(self):
        done = subprocess.run(["shellcheck", "-s", "sh", "-"], input="cd $1\n", capture_output=True, text=True)
        self.assertNotEqual(0, done.returncode)


if __name__ == "__main__":
    skip.need("shellcheck")
    unittest.main(argv=sys.argv[:1], verbosity=2)
