#!/usr/bin/python3
"""A dump opens on any host: kdump-capture built for another architecture, under QEMU's user emulation, says and writes
the same as the native one, about dumps of both architectures.

  other_host.py KDUMP_CAPTURE OTHER_KDUMP_CAPTURE OTHER_MACHINE CONFIGURATION...
"""
import sys
import tempfile
from pathlib import Path

import peers
import machines  # (found through the path that peers sets)


def main():
    native, other, name, *configs = sys.argv[1:]
    programs = {"native": [native], name: [*peers.emulator(machines.MACHINES[name]), other]}
    report = peers.Report()
    for config in configs:
        vmcore = peers.guest_run(config) / "vmcore"
        with tempfile.TemporaryDirectory() as directory:
            seen = []
            for host, program in programs.items():
                out = Path(directory, host)
                peers.run(*program, "save", vmcore, out, "-d", "31", "--threads", "1", "--progress", "none")
                seen.append({"info": peers.run(*program, "info", vmcore), "log": peers.run(*program, "log", vmcore),
                             "save": out.read_bytes()})
            here, there = seen
            for what in here:
                report.check(f"{config}: {what} on {name}, {len(here[what])} bytes", [] if here[what] == there[what] else [what])
    report.exit()


if __name__ == "__main__":
    main()
