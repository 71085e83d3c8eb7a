#!/usr/bin/python3
"""Page by page, which pages kdump-capture and makedumpfile keep of the same full vmcore at the same level.

  page_classes.py KDUMP_CAPTURE PAGE_HASH CONFIG

CONFIG is a guest of tests/e2e whose full vmcore Debian's makedumpfile 1.7.2 can filter: one of kernel 6.1 (with 48-bit
addresses on arm64). Of 6.12 it takes slab pages for user memory and keeps the tails of huge pages; see
docs/kdump-capture.md. Three differences are allowed, each counted by our own summary:
  - pages kept here although their struct page says that they may go, because the kernel has them mapped (pins);
  - free pages on lists of CPUs, which makedumpfile does not look for, left out here: all of them and no others;
  - poisoned pages inside a larger page, and at level 1 all poisoned and offline pages, left out here.
"""
import json
import sys
import tempfile
from pathlib import Path

import peers

LEVELS = (1, 2, 4, 8, 16, 31)


def pages(page_hash, dump):
    """PFN -> CRC of every page that has bytes."""
    seen, _ = peers.our_pages(page_hash, dump)
    return {pfn: page.crc for pfn, page in seen.items() if page.present}


def compare(level, ours, theirs, summary):
    """Sentences about what no rule explains."""
    problems = []
    classes = summary["filter"]["classes"]
    kept_here, left_out_here = ours.keys() - theirs.keys(), theirs.keys() - ours.keys()
    pinned = summary["self_checks"]["pins"]["conflict_pages"]
    never_read = classes["poisoned"]["excluded_pages"] + (classes["offline"]["excluded_pages"] if level == 1 else 0)
    if len(kept_here) > pinned:
        problems.append(f"{len(kept_here)} pages are kept here only, {pinned} are pinned: {sorted(kept_here)[:8]}")
    cpu_free = classes["cpu_free"]["excluded_pages"]
    if not cpu_free <= len(left_out_here) <= cpu_free + never_read:
        problems.append(f"{len(left_out_here)} pages are left out here only, {cpu_free} are free pages of CPUs and {never_read} "
                        f"poisoned or offline: {sorted(left_out_here)[:8]}")
    if level & 16 and cpu_free == 0:
        problems.append("no free page was found on the lists of CPUs")
    different = [pfn for pfn in ours.keys() & theirs.keys() if ours[pfn] != theirs[pfn]]
    if different:
        problems.append(f"{len(different)} pages have other content: {sorted(different)[:8]}")
    print(f"level {level:2}: {len(ours)} pages here, {len(theirs)} there; {len(kept_here)} here only, "
          f"{len(left_out_here)} there only")
    return [f"level {level}: {problem}" for problem in problems]


def main():
    capture, page_hash, config = sys.argv[1:4]
    makedumpfile, vmcore = peers.makedumpfile(peers.machine_of(config)), peers.full_vmcore(config)
    problems = []
    with tempfile.TemporaryDirectory() as directory:
        here = Path(directory)
        for level in LEVELS:
            peers.run(capture, "save", vmcore, here / "ours", "-f", "-d", level, "--compress", "none", "--summary", here / "summary",
                "--progress", "none")
            peers.run(*makedumpfile, "-f", "-d", level, vmcore, here / "theirs")
            ours, theirs = pages(page_hash, here / "ours"), pages(page_hash, here / "theirs")
            if len(theirs) < 1000:
                sys.exit(f"makedumpfile kept only {len(theirs)} pages: nothing is compared")
            problems += compare(level, ours, theirs, json.loads((here / "summary").read_text()))
    print("\n".join(problems) or "every page agrees, or is explained")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
