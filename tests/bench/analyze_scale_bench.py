#!/usr/bin/python3
"""How kdump-analyze's cost grows with the dump: time of some commands from 1 to 64 GiB of RAM.

  analyze_scale_bench.py [--analyze PROGRAM] [--sizes GIB,GIB,...] [--runs N] [--out DIR]

The dumps are made by huge_machine (in the folder tests beside kdump-analyze): ELF, arm64, a crashed kernel with a handful of
tasks in as much memory as asked for, so the times are small; what counts is whether they grow. What is asked decides the cost:
a question about the machine's whole memory, which would grow with it, is not among these.
"""
import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import measure

ROOT = Path(__file__).resolve().parent.parent.parent
COMMANDS = ["log", "bt", "ps", "report"]


def ask(analyze, command, dump):
    options = [] if command == "log" else ["--no-debug-info"]
    cost, status, text = measure.run([analyze, command, dump, *options, "--json"])
    if status not in (0, 3):
        raise RuntimeError(f"{analyze} {command} {dump}: exit {status}: {text[-500:]}")
    return cost


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--analyze", type=Path, default=ROOT / "build/release/bin/kdump-analyze")
    parser.add_argument("--sizes", default="1,4,16,64")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--out", help="where the dumps are put (default: a temporary directory)")
    options = parser.parse_args()
    maker = options.analyze.resolve().parent / "tests" / "huge_machine"
    print(f"median of {options.runs} runs, milliseconds\n")
    print("| RAM, GiB | " + " | ".join(COMMANDS) + " |")
    print("|---" * (len(COMMANDS) + 1) + "|")
    with tempfile.TemporaryDirectory(dir=options.out) as directory:
        dump = Path(directory, "dump")
        for size in options.sizes.split(","):
            subprocess.run([maker, dump, size], check=True)
            cells = []
            for command in COMMANDS:
                ask(options.analyze, command, dump)  # the page cache
                costs = [ask(options.analyze, command, dump) for _ in range(options.runs)]
                cells.append(f"{statistics.median(cost.wall for cost in costs) * 1000:.0f}")
            print(f"| {size} | " + " | ".join(cells) + " |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
