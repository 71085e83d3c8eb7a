#!/usr/bin/python3
"""kdump-capture against makedumpfile: the same full vmcore, codec and level, in turn, in one go.

  capture_bench.py VMCORE [--capture PROGRAM] [--makedumpfile PROGRAM] [--runs N] [--out DIR]

Prints a table (medians; ratios are ours divided by theirs, so below 1.00 is better here). The vmcore should be an
unfiltered ELF that fits the page cache; it is read once beforehand. Debian bookworm's makedumpfile cannot filter arm64
kernels built for 52-bit addresses: name a newer one, or use the vmcore of a 6.1 kernel.
"""
import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
CASES = [("zstd", "-z", 31, 1), ("lzo", "-l", 31, 1), ("zlib", "-c", 31, 1), ("zstd", "-z", 1, 1), ("lzo", "-l", 1, 1),
         ("zstd", "-z", 31, 2), ("zstd", "-z", 1, 2)]


def measure(command):
    """(wall s, CPU s, peak RSS MB) of one run; None when the program refuses."""
    begin = time.monotonic()
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        print(f"{command[0]} failed ({process.returncode}): {output.decode(errors='replace').strip()[-300:]}", file=sys.stderr)
        return None
    return time.monotonic() - begin, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def median(runs):
    return [statistics.median(column) for column in zip(*runs)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("vmcore", type=Path)
    parser.add_argument("--capture", default=ROOT / "build/release/bin/kdump-capture")
    parser.add_argument("--makedumpfile", default=os.environ.get("MAKEDUMPFILE") or shutil.which("makedumpfile"))
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--out", help="where the dumps go (default: a temporary directory)")
    options = parser.parse_args()
    if not options.makedumpfile:
        parser.error("makedumpfile is not installed")
    with options.vmcore.open("rb") as file:
        while file.read(1 << 24):
            pass
    print(f"{options.vmcore.stat().st_size / 1e6:.0f} MB vmcore, {os.cpu_count()} CPUs, median of {options.runs} runs; "
          "here / makedumpfile (ratio)\n")
    print("| codec, level, threads | wall s | CPU s | peak RSS MB | output MB |")
    print("|---|---|---|---|---|")
    failed = False
    with tempfile.TemporaryDirectory(dir=options.out) as directory:
        ours_file, theirs_file = Path(directory, "ours"), Path(directory, "theirs")
        for codec, letter, level, threads in CASES:
            # makedumpfile's single-threaded mode is another code path, without its thread pool: what people use.
            parallel = ["--num-threads", threads] if threads > 1 else []
            ours, theirs = [], []
            for _ in range(options.runs):  # in turn, so that the machine's mood strikes both
                ours_file.unlink(missing_ok=True)
                ours.append(measure([options.capture, "save", options.vmcore, ours_file, "-d", level, "--compress", codec,
                                     "--threads", threads, "--progress", "none"]))
                theirs_file.unlink(missing_ok=True)
                theirs.append(measure([options.makedumpfile, letter, "-d", level, *parallel, options.vmcore, theirs_file]))
            if None in ours or None in theirs:
                failed = True
                continue
            left = [*median(ours), ours_file.stat().st_size / 1e6]
            right = [*median(theirs), theirs_file.stat().st_size / 1e6]
            cells = [f"{a:.2f} / {b:.2f} ({a / b:.2f})" for a, b in zip(left, right)]
            print(f"| {codec}, {level}, {threads} | " + " | ".join(cells) + " |", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
