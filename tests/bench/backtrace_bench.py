#!/usr/bin/python3
"""kdump-analyze bt against drgn: dump and vmlinux to the panic backtrace with inlined functions and lines, in turn.

  backtrace_bench.py DUMP VMLINUX [--analyze PROGRAM] [--python PYTHON] [--runs N] [--cold]

Prints a table (medians; ratios are ours divided by theirs, so below 1.00 is better here) for whole processes with a warm
page cache, or with neither dump nor vmlinux in it (--cold), and compares the two traces function by function and line by
line. Debian bookworm's drgn 0.0.22 walks the stacks of 6.1 kernels, not those of 6.12: on arm64 it ends after two frames, on
x86-64 it does not know the ORC format. Name with --python an interpreter that has a newer drgn.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import measure

ROOT = Path(__file__).resolve().parent.parent.parent

DRGN = """
import drgn, sys
program = drgn.Program()
program.set_core_dump(sys.argv[1])
program.load_debug_info([sys.argv[2]])
for frame in program.crashed_thread().stack_trace():
    try:
        file, line, _ = frame.source()
    except LookupError:
        file, line = "", 0
    try:
        name = frame.name or frame.symbol().name
    except LookupError:
        name = "?"
    print(name, file, line, sep="\\t")
"""


def run(command, cold=()):
    """(Cost, what it printed) of one run; `cold` files leave the page cache before it."""
    for path in cold:
        measure.forget(path)
    cost, status, output = measure.run(command)
    if status not in (0, 3):
        sys.exit(f"{command[0]} failed ({status}): {output.strip()[-500:]}")
    return cost, output


def plain(name):
    """drgn names the function of the DWARF, we the symbol: compilers add .constprop.0, .isra.0, .part.0."""
    return name.split(".")[0]


def our_frames(document):
    """[(function, file, line)], inlined functions as frames of their own, innermost first."""
    crashed = next(cpu for cpu in document["crash"]["cpus"] if cpu["crashed"])
    frames = []
    for frame in crashed["backtrace"]["frames"]:
        frames += [(i["function"], i["file"], i["line"]) for i in frame["inlines"]]
        frames.append((plain(frame["symbol"] or "?"), frame["file"], frame["line"]))
    return frames


def same_file(ours, theirs):
    return ours == theirs or (bool(ours) and theirs.endswith("/" + ours))


def same_frame(ours, theirs):
    # In assembly drgn names the function of the DWARF, we the nearest symbol, which can be a label inside it.
    same_name = ours[0] == theirs[0] or (theirs[1].endswith(".S") and ours[0].startswith(theirs[0] + "_"))
    return same_name and ours[2] == theirs[2] and same_file(ours[1], theirs[1])


def compare(ours, theirs):
    """Sentences on where the traces differ."""
    differences = []
    # On x86-64 drgn goes on to the registers of user mode, where the trace here ends.
    if len(theirs) == len(ours) + 1 and not theirs[-1][1] and theirs[-1][0][:2] in ("0x", "?"):
        theirs = theirs[:-1]
    for index in range(max(len(ours), len(theirs))):
        a = ours[index] if index < len(ours) else None
        b = theirs[index] if index < len(theirs) else None
        if a is None or b is None or not same_frame(a, b):
            differences.append(f"#{index}: here {a}, drgn {b}")
    return differences


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dump", type=Path)
    parser.add_argument("vmlinux", type=Path)
    parser.add_argument("--analyze", default=ROOT / "build/release/bin/kdump-analyze")
    parser.add_argument("--python", default="/usr/bin/python3", help="an interpreter with drgn")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--cold", action="store_true")
    options = parser.parse_args()

    ours_command = [options.analyze, "bt", options.dump, "--vmlinux", options.vmlinux]
    drgn_command = [options.python, "-c", DRGN, options.dump, options.vmlinux]
    version = subprocess.run([options.python, "-c", "import drgn; print(drgn.__version__)"], capture_output=True, text=True)
    if version.returncode != 0:
        sys.exit(f"{options.python} has no drgn: {version.stderr.strip()}")

    # The first run of each warms the page cache and gives the traces.
    ours = our_frames(json.loads(run(ours_command + ["--json"])[1]))
    theirs = []
    for line in run(drgn_command)[1].splitlines():
        name, file, number = line.split("\t")
        theirs.append((plain(name), file, int(number)))

    runs = {"ours": [], "drgn": []}
    cold = [options.dump, options.vmlinux] if options.cold else []
    for _ in range(options.runs):
        runs["ours"].append(run(ours_command, cold)[0])
        runs["drgn"].append(run(drgn_command, cold)[0])
    ours_median, drgn_median = ([statistics.median(column) for column in zip(*runs[key])] for key in ("ours", "drgn"))

    print(f"{options.dump.name}, {options.vmlinux.stat().st_size / 1e6:.0f} MB vmlinux, drgn {version.stdout.strip()}, "
          f"{os.cpu_count()} CPUs, {'cold' if options.cold else 'warm'}, median of {options.runs} runs\n")
    print("| to the panic backtrace | kdump-analyze | drgn | ratio |")
    print("|---|---|---|---|")
    columns = (("wall", "s"), ("CPU", "s"), ("peak RSS", "MB"), ("of it anonymous", "MB"))
    for (label, unit), a, b in zip(columns, ours_median, drgn_median):
        digits = 0 if unit == "MB" else 3
        print(f"| {label} | {a:.{digits}f} {unit} | {b:.{digits}f} {unit} | {a / b:.2f} |")
    print(f"| frames (with inlined ones) | {len(ours)} | {len(theirs)} | |\n")

    differences = compare(ours, theirs)
    if not differences:
        print("The traces are equal: functions, inlined functions, files and lines.")
    elif len(theirs) < len(ours) and "?" in (theirs[-1][0] if theirs else "?"):
        print(f"drgn could not walk past frame #{len(theirs) - 1}: the times compare opening and debug information only.")
    else:
        print("The traces differ:\n" + "\n".join(differences))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
