#!/usr/bin/python3
"""Every place that `search` finds in a real dump against a plain scan of the same memory, read without any of our code:

  search.py KDUMP_ANALYZE CONFIGURATION

And how long it takes beside crash's search, where crash opens the dump: printed, not judged.
"""
import json
import mmap
import re
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import peers


def segments(data):
    """(physical address, offset, size) of each part of an unfiltered ELF vmcore (the kernel image is in two)."""
    offset, = struct.unpack_from("<Q", data, 32)
    count, = struct.unpack_from("<H", data, 56)
    found = []
    for i in range(count):
        kind, _, start, _, physical, size, _, _ = struct.unpack_from("<IIQQQQQQ", data, offset + i * 56)
        if kind == 1:
            found.append((physical, start, size))
    return sorted(found)


def plain_scan(data, needle, unit):
    """Physical addresses of `needle`, aligned to `unit`."""
    found = []
    pattern = re.compile(re.escape(needle))
    for physical, start, size in segments(data):
        at = start
        while (match := pattern.search(data, at, start + size)) is not None:
            place = physical + match.start() - start
            if place % unit == 0:
                found.append(place)
            at = match.start() + 1
    return found


def main():
    analyze, config = sys.argv[1:]
    run = peers.guest_run(config)
    vmlinux = json.loads((run / "run.json").read_text())["vmlinux"]
    dump = run / "full.elf"
    report = peers.Report()
    symbol = json.loads(peers.run(analyze, "sym", dump, "init_task", "--vmlinux", vmlinux, "--json"))
    address = int(symbol["answers"][0]["matches"][0]["address"], 16)
    with open(dump, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for name, needle, unit, words in [
                ("a value of 8 bytes", struct.pack("<Q", address), 8, [hex(address)]),
                ("a value of 4 bytes", struct.pack("<I", address & 0xffffffff), 4, [hex(address & 0xffffffff), "-u", "4"]),
                ("a string", b"Linux version ", 1, ["--string", "Linux version "]),
                ("bytes", b"\x7fELF\x02\x01\x01", 1, ["--bytes", "7f454c46020101"])]:
            begin = time.monotonic()
            text = peers.run(analyze, "search", dump, *words, "--limit", "100000", "--no-debug-info", "--json")
            seconds = time.monotonic() - begin
            answer = json.loads(text)
            ours = [int(hit["physical_address"], 16) for hit in answer["hits"]]
            theirs = sorted(set(plain_scan(data, needle, unit)))
            report.check(f"{name}: {len(theirs)} places, {seconds:.2f} s",
                         [("only ours", sorted(set(ours) - set(theirs))[:3]), ("only theirs", sorted(set(theirs) - set(ours))[:3])]
                         if ours != theirs or not theirs else [])
    with tempfile.TemporaryDirectory() as directory:
        commands = Path(directory) / "commands"
        for name, line in (("crash, opened", "quit\n"), ("crash, searched", f"search -k {address:x}\nquit\n")):
            commands.write_text(line)
            begin = time.monotonic()
            done = subprocess.run(["crash", "-s", "-i", commands, vmlinux, dump], stdin=subprocess.DEVNULL, capture_output=True,
                                  text=True, errors="replace", timeout=900, check=False)
            print(f"     {name}: {time.monotonic() - begin:.2f} s, exit {done.returncode}, {len(done.stdout.splitlines())} lines")
    report.exit()


if __name__ == "__main__":
    main()
