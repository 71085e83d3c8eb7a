#!/usr/bin/python3
"""Other readers on our files: libkdumpfile sees every page, with the full vmcore's bytes; drgn and makedumpfile accept
the dump.

  read_ours.py KDUMP_CAPTURE PAGE_HASH CONFIGURATION
"""
import sys
import tempfile
from pathlib import Path

import peers

try:
    import drgn
    import kdumpfile
except ImportError as error:
    peers.skip(f"{error}: python3-drgn and python3-libkdumpfile are needed")

CODECS = ("zstd", "lzo", "snappy", "zlib", "none")


def by_libkdumpfile(report, name, dump, ours, full, page_size, architecture):
    context = kdumpfile.kdumpfile(str(dump))
    wrong = []
    for pfn, page in ours.items():
        try:
            data = context.read(kdumpfile.KDUMP_MACHPHYSADDR, pfn * page_size, page_size)
        except kdumpfile.exceptions.NoDataException:
            if page.state != "excluded":
                wrong.append(f"page frame {pfn:#x} is {page.state} for us, excluded for libkdumpfile")
            continue
        if not page.present or peers.crc(data) != full[pfn]:
            wrong.append(f"page frame {pfn:#x} differs")
    report.check(f"libkdumpfile reads {name}, {sum(page.present for page in ours.values())} pages", wrong)
    attributes = {"arch.name": architecture, "arch.page_size": page_size, "file.format": "diskdump", "max_pfn": None}
    wrong = [f"{key}: {context.attr[key]}" for key, value in attributes.items() if value not in (None, context.attr[key])]
    if context.attr["max_pfn"] <= max(full):
        wrong.append(f"max_pfn {context.attr['max_pfn']:#x}")
    report.check(f"libkdumpfile describes {name} rightly", wrong)


def by_drgn(report, name, dump, ours, vmcore):
    """drgn shows memory only by address: physical words against the same words of the vmcore, opened by drgn, too."""
    programs = []
    for path in (dump, vmcore):
        program = drgn.Program()
        program.set_core_dump(str(path))
        programs.append(program)
    here, there = programs
    wrong = []
    if here.platform != there.platform or not here.flags & drgn.ProgramFlags.IS_LINUX_KERNEL:
        wrong.append(f"platform {here.platform}")
    present = [pfn for pfn, page in ours.items() if page.present]
    for pfn in present[:: max(1, len(present) // 2000)]:
        for offset in (0, 2048, 4088):
            address = pfn * 4096 + offset
            if here.read_u64(address, True) != there.read_u64(address, True):
                wrong.append(hex(address))
    report.check(f"drgn reads {name}", wrong)


def by_makedumpfile(report, makedumpfile, dump, vmcore, ours, page_hash, here):
    logs = []
    for source in (dump, vmcore):
        peers.run(*makedumpfile, "-f", "--dump-dmesg", source, here / "dmesg")
        logs.append((here / "dmesg").read_bytes())
    report.check(f"makedumpfile finds the same kernel log, {len(logs[1])} bytes",
                 [] if logs[0] == logs[1] and len(logs[1]) > 1000 else ["the logs differ"])
    peers.run(*makedumpfile, "-f", "-l", "-d", "31", dump, here / "again")
    again, _ = peers.our_pages(page_hash, here / "again")
    before = {pfn: page.crc for pfn, page in ours.items() if page.present}
    after = {pfn: page.crc for pfn, page in again.items() if page.present}
    report.check(f"makedumpfile filters our dump again, {len(after)} pages",
                 [hex(pfn) for pfn in after if before.get(pfn) != after[pfn]] or ([] if len(after) > 1000 else ["too few"]))


def main():
    capture, page_hash, config = sys.argv[1:]
    vmcore = peers.full_vmcore(config)
    full = peers.elf_pages(vmcore)
    machine = peers.machine_of(config)
    report = peers.Report()
    with tempfile.TemporaryDirectory() as directory:
        here = Path(directory)
        for codec in CODECS:
            for level in (31, 1) if codec == "zstd" else (31,):
                dump = here / f"{codec}-{level}"
                peers.run(capture, "save", vmcore, dump, "-d", level, "--compress", codec, "--progress", "none")
                ours, _ = peers.our_pages(page_hash, dump)
                name = f"{codec} level {level}"
                report.check(f"{name} knows the same page frames", [hex(pfn) for pfn in ours.keys() ^ full.keys()])
                by_libkdumpfile(report, name, dump, ours, full, 4096, machine.triplet.split("-")[0])
                by_drgn(report, name, dump, ours, vmcore)
                if level == 31 and codec in ("lzo", "zlib") and config.startswith("6.1-"):
                    by_makedumpfile(report, peers.makedumpfile(machine), dump, vmcore, ours, page_hash, here)
                dump.unlink()
    report.exit()


if __name__ == "__main__":
    main()
