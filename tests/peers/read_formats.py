#!/usr/bin/python3
"""Our other formats, read by others: makedumpfile puts our streams and split sets together, libkdumpfile and drgn read
our ELF files, gdb opens them. Every page is compared with the full vmcore's.

  read_formats.py KDUMP_CAPTURE PAGE_HASH CONFIGURATION
"""
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import peers

try:
    import drgn
    import kdumpfile
except ImportError as error:
    peers.skip(f"{error}: python3-drgn and python3-libkdumpfile are needed")


def same_pages(report, name, dump_pages, full, kept):
    wrong = [hex(pfn) for pfn, page in dump_pages.items() if page.present and page.crc != full[pfn]]
    wrong += [hex(pfn) for pfn in kept ^ {pfn for pfn, page in dump_pages.items() if page.present}]
    report.check(f"{name}: the {len(kept)} kept pages, and no others", wrong)


def elf_by_others(report, dump, full, kept):
    context = kdumpfile.kdumpfile(str(dump))
    program = drgn.Program()
    program.set_core_dump(str(dump))
    wrong = []
    for pfn in sorted(kept):
        here = peers.crc(context.read(kdumpfile.KDUMP_MACHPHYSADDR, pfn * 4096, 4096))
        if here != full[pfn] or peers.crc(program.read(pfn * 4096, 4096, True)) != full[pfn]:
            wrong.append(hex(pfn))
    report.check("libkdumpfile and drgn read every page of the ELF file", wrong)
    if shutil.which("gdb"):
        said = subprocess.run(["gdb", "-nx", "-batch", "-ex", f"core-file {dump}", "-ex", "info files"],
                              capture_output=True, text=True, errors="replace").stdout
        report.check("gdb opens the ELF file", [] if "elf64-" in said and "load" in said else [said[-300:]])


def main():
    capture, page_hash, config = sys.argv[1:]
    vmcore, makedumpfile = peers.full_vmcore(config), peers.makedumpfile(peers.machine_of(config))
    full = peers.elf_pages(vmcore)
    report = peers.Report()
    with tempfile.TemporaryDirectory() as directory:
        here = Path(directory)

        def save(name, *options):
            peers.run(capture, "save", vmcore, here / name, "-d", "31", "--progress", "none", "--threads", "1", *options)
            return here / name

        plain = save("plain")
        kept = {pfn for pfn, page in peers.our_pages(page_hash, plain)[0].items() if page.present}
        if not 1000 < len(kept) < len(full) // 2:
            sys.exit(f"{len(kept)} of {len(full)} pages at level 31: nothing is compared")

        stream = here / "stream"
        with open(stream, "wb") as out:
            subprocess.run([capture, "save", "-F", str(vmcore), "-d", "31", "--progress", "none", "--threads", "1"],
                           stdout=out, stderr=subprocess.DEVNULL, check=True)
        with open(stream, "rb") as source:
            peers.run(*makedumpfile, "-f", "-R", here / "unfolded", stdin=source)
        peers.run(capture, "reassemble", stream, here / "ours")
        for name in ("unfolded", "ours"):
            report.check(f"the stream is the plain file ({name})",
                         [] if (here / name).read_bytes() == plain.read_bytes() else ["the files differ"])

        save("part", "--split", "3")
        parts = [here / f"part.{i}" for i in (1, 2, 3)]
        same_pages(report, "split set", peers.our_pages(page_hash, *parts)[0], full, kept)
        peers.run(*makedumpfile, "-f", "--reassemble", *parts, here / "joined")
        same_pages(report, "split set, joined by makedumpfile", peers.our_pages(page_hash, here / "joined")[0], full, kept)
        peers.run(capture, "reassemble", *parts, here / "joined-here")
        same_pages(report, "split set, joined here", peers.our_pages(page_hash, here / "joined-here")[0], full, kept)

        theirs = [here / f"theirs.{i}" for i in (1, 2)]
        peers.run(*makedumpfile, "-f", "-l", "-d", "31", "--split", vmcore, *theirs)
        before = {pfn for pfn, page in peers.our_pages(page_hash, *theirs)[0].items() if page.present}
        peers.run(capture, "reassemble", *theirs, here / "theirs-joined")
        same_pages(report, "makedumpfile's set, joined here", peers.our_pages(page_hash, here / "theirs-joined")[0], full,
                   before)

        elf = save("elf", "-E")
        same_pages(report, "ELF", peers.our_pages(page_hash, elf)[0], full, kept)
        elf_by_others(report, elf, full, kept)
    report.exit()


if __name__ == "__main__":
    main()
