#!/usr/bin/python3
"""What kdump-analyze's answers cost on one dump: whole processes, with a warm page cache.

  report_bench.py DUMP [VMLINUX] [--analyze PROGRAM] [--runs N]

Without VMLINUX no debug information is used. `guest.py get 6.12-tasks` prints the directory of a run whose full.elf has a
thousand processes.
"""
import argparse
import json
import statistics
import sys
from pathlib import Path

import measure

ROOT = Path(__file__).resolve().parent.parent.parent
COMMANDS = ["report", "report --format html", "bt", "bt -a", "bt --all-tasks", "bt --all-tasks --group", "ps", "locks"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dump", type=Path)
    parser.add_argument("vmlinux", nargs="?", type=Path)
    parser.add_argument("--analyze", default=ROOT / "build/release/bin/kdump-analyze")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    symbols = ["--vmlinux", options.vmlinux] if options.vmlinux else ["--no-debug-info"]

    def ask(command):
        cost, status, text = measure.run([options.analyze, *command.split(), options.dump, *symbols])
        if status not in (0, 3):
            sys.exit(f"{command} failed ({status}): {text.strip()[-500:]}")
        return cost, text

    tasks = json.loads(ask("ps --json")[1])["tasks"]
    print(f"{options.dump.name}, {tasks} tasks, {'with' if options.vmlinux else 'without'} vmlinux, median of {options.runs} runs\n")
    print("| command | wall s | CPU s | peak RSS MB | of it anonymous MB |")
    print("|---|---|---|---|---|")
    for command in COMMANDS:
        ask(command)
        wall, cpu, peak, anonymous = (statistics.median(column) for column in zip(*(ask(command)[0] for _ in range(options.runs))))
        print(f"| {command} | {wall:.3f} | {cpu:.3f} | {peak:.0f} | {anonymous:.0f} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
