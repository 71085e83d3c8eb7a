#!/usr/bin/python3
"""Builds run_code.cc for an architecture and runs it, under qemu-user when the host is another one.

usage: run_code.py arm64|x86-64 [--bench MIB]
"""
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[3]
MACHINES = {"arm64": "aarch64", "x86-64": "x86_64"}
SKIP = 77


def main() -> int:
    name, more = sys.argv[1], sys.argv[2:]
    machine = MACHINES[name]
    compiler, emulator = f"{machine}-linux-gnu-g++", f"qemu-{machine}-static"
    needed = [compiler] if platform.machine() == machine else [compiler, emulator]
    for tool in needed:
        if not shutil.which(tool):
            print(f"skipped: {tool} is not installed: run scripts/deps")
            return SKIP
    with tempfile.TemporaryDirectory() as temp:
        program = Path(temp, "run_code")
        sources = [HERE / "run_code.cc", ROOT / f"loader/purgatory/code_{name.replace('-', '_')}.cc", ROOT / "core/base/sha256.cc",
                   ROOT / "core/base/error.cc"]
        # fmt as headers only: its library need not be there for every architecture.
        subprocess.run([compiler, "-std=c++20", "-O1", "-static", "-DFMT_HEADER_ONLY", "-I", ROOT, "-o", program, *sources],
                       check=True)
        return subprocess.run([*([emulator] if len(needed) == 2 else []), program, *more], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
