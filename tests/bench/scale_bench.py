#!/usr/bin/python3
"""How kdump-capture's scan grows with the machine: time and memory from 1 GiB to 1 TiB, one thread, one pass.

  scale_bench.py [--capture PROGRAM] [--sizes GIB,GIB,...] [--runs N] [--out DIR]

The machines are made by huge_machine (in the folder tests beside kdump-capture): sparse files that cost 130 MB of disk each,
arm64, every struct page to be looked at. The scan is timed alone: --max-size ends the run before a page is written.
"anonymous" is memory of the program's own, without page cache that it mapped. The last column is that of a whole save with
two threads, up to 8 GiB: the pages kept are holes and have to be read.
"""
import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import measure

ROOT = Path(__file__).resolve().parent.parent.parent
LARGEST_SAVE = 8  # GiB


def scan(capture, dump, output):
    """Cost of one pass over the struct pages."""
    cost, status, text = measure.run([capture, "save", dump, output, "--dry-run", "--max-size", "64K", "-d", 31,
                                      "--threads", 1, "--progress", "none"])
    if status != 1 or "headers and descriptors" not in text:
        raise RuntimeError(f"{capture} on {dump}: exit {status}: {text}")
    return cost


def save(capture, dump, output):
    """Cost of a whole save."""
    cost, status, text = measure.run([capture, "save", dump, output, "-d", 31, "--threads", 2, "--progress", "none"])
    if status != 0:
        raise RuntimeError(f"{capture} on {dump}: exit {status}: {text}")
    output.unlink()
    return cost


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--capture", type=Path, default=ROOT / "build/release/bin/kdump-capture")
    parser.add_argument("--sizes", default="1,8,64,256,1024")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--out", help="where the machines are put (default: a temporary directory)")
    options = parser.parse_args()
    maker = options.capture.resolve().parent / "tests" / "huge_machine"
    print(f"median of {options.runs} runs\n")
    print("| RAM, GiB | scan, wall s | scan, CPU s | ns a page | anonymous MB | whole save, anonymous MB |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(dir=options.out) as directory:
        dump, output = Path(directory, "machine"), Path(directory, "out")
        for size in [int(text) for text in options.sizes.split(",")]:
            subprocess.run([maker, dump, str(size)], check=True)
            scan(options.capture, dump, output)  # the page cache
            costs = [scan(options.capture, dump, output) for _ in range(options.runs)]
            wall, cpu, _, anonymous = (statistics.median(column) for column in zip(*costs))
            whole = f"{save(options.capture, dump, output).anonymous:.1f}" if size <= LARGEST_SAVE else ""
            pages = (size << 30) / 4096
            print(f"| {size} | {wall:.2f} | {cpu:.2f} | {cpu / pages * 1e9:.1f} | {anonymous:.1f} | {whole} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
