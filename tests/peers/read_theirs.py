#!/usr/bin/python3
"""Our readers on makedumpfile's files: every compression, filtered and not, ELF, flattened, split. Every page that is in
one must equal the full vmcore's, and what is left out must be said to be excluded.

  read_theirs.py PAGE_HASH CONFIGURATION
"""
import subprocess
import sys
import tempfile
from pathlib import Path

import peers


def compare(report, name, full, page_hash, *dumps, expect=()):
    pages, remarks = peers.our_pages(page_hash, *dumps)
    said = " ".join(remarks)
    wrong = [f"{text!r} is not said" for text in expect if text not in said]
    wrong += [f"page frame {pfn:#x} is in one of them only" for pfn in pages.keys() ^ full.keys()]
    wrong += [f"page frame {pfn:#x} differs" for pfn, page in pages.items() if page.present and page.crc != full.get(pfn)]
    wrong += [f"page frame {pfn:#x} is {page.state}" for pfn, page in pages.items()
              if page.state not in ("present", "excluded")]
    report.check(name, wrong)
    return {pfn for pfn, page in pages.items() if page.present}


def main():
    page_hash, config = sys.argv[1:]
    vmcore, makedumpfile = peers.full_vmcore(config), peers.makedumpfile(peers.machine_of(config))
    full = peers.elf_pages(vmcore)
    report = peers.Report()
    with tempfile.TemporaryDirectory() as directory:
        here = Path(directory)

        def make(*options, names=("dump",)):
            paths = [here / name for name in names]
            peers.run(*makedumpfile, "-f", *options, vmcore, *paths)
            return paths

        compare(report, "the full ELF file itself", full, page_hash, vmcore)
        kept = compare(report, "raw, level 31", full, page_hash, *make("-d", "31"), expect=["flattened false"])
        if not 1000 < len(kept) < len(full) // 2:
            sys.exit(f"{len(kept)} of {len(full)} pages at level 31: nothing is compared")
        for option, codec in peers.features(makedumpfile).items():
            same = compare(report, f"{codec}, level 31", full, page_hash, *make(option, "-d", "31"))
            report.check(f"{codec} holds the same pages as raw", same ^ kept)
        everything = compare(report, "lzo, level 0", full, page_hash, *make("-l", "-d", "0"))
        report.check("level 0 leaves nothing out", full.keys() - everything)
        compare(report, "lzo, level 1 (shared zero page)", full, page_hash, *make("-l", "-d", "1"))
        compare(report, "lzo, threads", full, page_hash, *make("-l", "-d", "31", "--num-threads", "2"))

        parts = make("-l", "-d", "31", "--split", names=("part1", "part2", "part3"))
        whole = compare(report, "split in three, given in another order", full, page_hash, parts[2], parts[0], parts[1],
                        expect=["parts 3", "incomplete false"])
        report.check("the parts hold the same pages as raw", whole ^ kept)
        alone, remarks = peers.our_pages(page_hash, parts[1])
        report.check("a part alone says what is missing", [] if "part of a split set" in " ".join(remarks) else remarks)
        report.check("a part alone has right pages only",
                     [hex(pfn) for pfn, page in alone.items() if page.present and page.crc != full[pfn]])

        # ELF output writes short runs of excluded pages as they are, so it may hold more.
        compare(report, "ELF, level 31", full, page_hash, *make("-E", "-d", "31"))
        for name, options in {"flattened lzo": ("-l",), "flattened ELF": ("-E",)}.items():
            stream = here / "stream"
            with open(stream, "wb") as out:
                subprocess.run([*makedumpfile, "-F", *options, "-d", "31", str(vmcore)], stdout=out,
                               stderr=subprocess.DEVNULL, check=True)
            compare(report, name, full, page_hash, stream, expect=["flattened true", "incomplete false"])
            size = stream.stat().st_size
            with open(stream, "r+b") as out:
                out.truncate(size * 2 // 3)
            pages, remarks = peers.our_pages(page_hash, stream)
            report.check(f"{name}, cut at two thirds: says so", [] if "incomplete true" in remarks[0] else remarks)
            report.check(f"{name}, cut at two thirds: right pages only",
                         [hex(pfn) for pfn, page in pages.items() if page.present and page.crc != full[pfn]])
    report.exit()


if __name__ == "__main__":
    main()
