#!/usr/bin/python3
"""The backtrace of the CPU that crashed, and the log, as others have them from the same crash of an x86-64 guest:

  traces.py KDUMP_CAPTURE KDUMP_ANALYZE CONFIGURATION

drgn: every function from panic() outwards, inlined ones included. crash: every function, and the log. Both as far as
do_syscall_64: the entry code behind it has no DWARF for drgn, and crash goes on with what older calls left on the stack.
"""
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import peers

try:
    import drgn
except ImportError as error:
    peers.skip(f"{error}: python3-drgn is needed")


def compared(names):
    """From panic() to the system call; without what compilers append to the names of parts and copies of functions."""
    names = [name.split(".")[0] for name in names]
    return names[names.index("panic"):names.index("do_syscall_64") + 1] if "panic" in names and "do_syscall_64" in names else names


def our_frames(analyze, dump, vmlinux):
    text = peers.run(analyze, "bt", dump, "--vmlinux", vmlinux, "--json")
    cpu = next(cpu for cpu in json.loads(text)["crash"]["cpus"] if cpu["crashed"])
    return cpu["backtrace"]["frames"]


def by_drgn(report, dump, vmlinux, frames):
    program = drgn.Program()
    program.set_core_dump(str(dump))
    program.load_debug_info([str(vmlinux)])
    theirs = compared([frame.name or "?" for frame in program.crashed_thread().stack_trace()])
    ours = []
    for frame in frames:
        ours += [inline["function"] for inline in frame["inlines"]] + [frame["symbol"]]
    ours = compared(ours)
    report.check(f"drgn has the same {len(ours)} functions", [(ours, theirs)] if ours != theirs or len(ours) < 8 else [])


def by_crash(report, analyze, dump, vmlinux, frames, here):
    commands = here / "commands"
    commands.write_text(f"log > {here}/log\nbt > {here}/bt\nquit\n")
    peers.run("crash", "-s", "-i", commands, vmlinux, dump, stdin=subprocess.DEVNULL)
    theirs = compared(re.findall(r"^ *#\d+ \[[0-9a-f]+\] (\S+) at ", (here / "bt").read_text(), re.MULTILINE))
    ours = compared([frame["symbol"] for frame in frames])
    report.check(f"crash has the same {len(ours)} functions", [(ours, theirs)] if ours != theirs or len(ours) < 8 else [])

    log = json.loads(peers.run(analyze, "log", dump, "--json"))["records"]
    ours = [line.rstrip() for record in log for line in record["text"].splitlines()]
    theirs = [re.sub(r"^\[ *[\d.]+\] ", "", line).strip() for line in (here / "log").read_text(errors="replace").splitlines()]
    wrong = [(a, b) for a, b in zip(ours, theirs) if a.strip() != b] or ([(len(ours), len(theirs))] if len(ours) != len(theirs) else [])
    report.check(f"crash has the same {len(ours)} lines of the log", wrong)


def main():
    capture, analyze, config = sys.argv[1:]
    run = peers.guest_run(config)
    vmlinux = json.loads((run / "run.json").read_text())["vmlinux"]
    report = peers.Report()
    with tempfile.TemporaryDirectory() as directory:
        here = Path(directory)
        # Debian's libkdumpfile knows lzo in every version; crash reads all but zstd.
        dump = here / "dump"
        peers.run(capture, "save", run / "full.elf", dump, "-d", "31", "--compress", "lzo", "--progress", "none")
        frames = our_frames(analyze, dump, vmlinux)
        by_drgn(report, dump, vmlinux, frames)
        by_crash(report, analyze, dump, vmlinux, frames, here)
    report.exit()


if __name__ == "__main__":
    main()
