#!/usr/bin/python3
"""kdump-capture against makedumpfile: the same full vmcore, codec and level, in turn, in one go.

  capture_bench.py VMCORE [--capture PROGRAM] [--floor PROGRAM] [--makedumpfile PROGRAM] [--runs N]
                   [--out DIR]

Prints a table (medians; ratios are ours divided by theirs, so below 1.00 is better here). The vmcore should be an
unfiltered ELF that fits the page cache; it is read once beforehand. Debian bookworm's makedumpfile cannot filter arm64
kernels built for 52-bit addresses: name a newer one, or use the vmcore of a 6.1 kernel.

makedumpfile's fastest mode is the one without --num-threads (with threads it took 10 to 40 times as long on two CPUs), so
rows with several threads are held against that one. kdump-capture is the static one, as it is shipped: the preset of this
machine's kind has to be built. "library alone" is the CPU time of libzstd, liblzo2 or zlib at level 1 over the pages that
kdump-capture wrote, "compressor alone" that of kdump-capture's own choice for each of them (tests/bench/codec_floor.cc, in
the preset release): what is above it is reading, choosing, testing for zeros and writing. "peak RSS" counts page cache that
is mapped, "anonymous" does not.
"""
import argparse
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import measure

ROOT = Path(__file__).resolve().parent.parent.parent
STATIC = {"x86_64": "x86-64", "aarch64": "arm64"}  # presets
CASES = [(codec, letter, level, threads) for threads in (1, 2) for level in (31, 1)
         for codec, letter in (("zstd", "-z"), ("lzo", "-l"))] + [("zlib", "-c", 31, 1)]


def cost_of(command):
    """What one run costs; None when the program refuses."""
    cost, status, output = measure.run(command)
    if status == 0:
        return cost
    print(f"{command[0]} failed ({status}): {output.strip()[-300:]}", file=sys.stderr)
    return None


def median(runs):
    return [statistics.median(column) for column in zip(*runs)]


def floors_of(program, dump, codec, runs):
    """Median CPU seconds over the pages of `dump` of the library and of the compressor alone; [] without the program."""
    if not program.exists():
        return []
    def once(*how):
        return float(subprocess.run([program, dump, codec, *how], check=True, stdout=subprocess.PIPE,
                                    stderr=subprocess.DEVNULL).stdout)
    return median([once("--library"), once()] for _ in range(runs))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("vmcore", type=Path)
    parser.add_argument("--capture", default=ROOT / "build" / STATIC.get(platform.machine(), "release") / "bin/kdump-capture")
    parser.add_argument("--floor", type=Path, default=ROOT / "build/release/bin/tests/codec_floor")
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
    print("| codec, level, threads | wall s | CPU s | library alone, CPU s | compressor alone, CPU s | peak RSS MB | anonymous MB | output MB |")
    print("|---|---|---|---|---|---|---|---|")
    failed = False
    with tempfile.TemporaryDirectory(dir=options.out) as directory:
        ours_file, theirs_file = Path(directory, "ours"), Path(directory, "theirs")
        for codec, letter, level, threads in CASES:
            ours, theirs = [], []
            for _ in range(options.runs):  # in turn, so that the machine's mood strikes both
                ours_file.unlink(missing_ok=True)
                ours.append(cost_of([options.capture, "save", options.vmcore, ours_file, "-d", level, "--compress", codec,
                                     "--threads", threads, "--progress", "none"]))
                theirs_file.unlink(missing_ok=True)
                theirs.append(cost_of([options.makedumpfile, letter, "-d", level, options.vmcore, theirs_file]))
            if None in ours or None in theirs:
                failed = True
                continue
            left = [*median(ours), ours_file.stat().st_size / 1e6]
            right = [*median(theirs), theirs_file.stat().st_size / 1e6]
            digits = (3, 3, 1, 1, 2)
            cells = [f"{a:.{d}f} / {b:.{d}f} ({a / b:.2f})" for a, b, d in zip(left, right, digits)]
            floors = floors_of(options.floor, ours_file, codec, options.runs) if threads == 1 else []
            cells[2:2] = [f"{floor:.3f}" for floor in floors] or ["", ""]
            print(f"| {codec}, {level}, {threads} | " + " | ".join(cells) + " |", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
