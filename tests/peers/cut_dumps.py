#!/usr/bin/python3
"""What is left of a dump that was cut: by its file system, and by --max-size. The most useful pages are written first, so
that a tenth of it is enough for the log, the tasks and every CPU's backtrace.

  cut_dumps.py KDUMP_CAPTURE KDUMP_ANALYZE PAGE_HASH CONFIGURATION

Each page that a cut dump still has is compared with the whole one. libkdumpfile and drgn open what they can.
"""
import json
import sys
import tempfile
from pathlib import Path

import peers

try:
    import drgn
    import kdumpfile
except ImportError as error:
    peers.skip(f"{error}: python3-drgn and python3-libkdumpfile are needed")

PERCENT = (1, 5, 10, 25, 50)
# From which cut on our report has everything that the whole dump's has. Below, headers and the descriptors of all pages
# take most of what there is.
ALL_FROM = 10


class Story:
    """What kdump-analyze says of a dump."""

    def __init__(self, analyze, dump, vmlinux=None):
        symbols = ["--vmlinux", vmlinux] if vmlinux else ["--no-debug-info"]
        self.report = json.loads(peers.run(analyze, "report", dump, *symbols, "--format", "json", allowed=(0, 3)))
        crash = self.report["crash"]
        self.title = crash["class"]["title"] if crash else None
        self.panic = crash["panic_message"] if crash else None
        self.traces = {cpu["cpu"]: [frame["symbol"] or frame["pc"] for frame in cpu["backtrace"]["frames"]]
                       for cpu in crash["cpus"]} if crash else {}
        self.tasks = {task["address"]: (task["pid"], task["comm"], task["state"])
                      for task in (self.report["tasks"] or {"items": []})["items"]}
        self.log = self.report["log"]["total_records"] if self.report["log"] else 0

    def lacks(self, whole):
        """What the whole dump's story has and this one has not."""
        wrong = []
        if self.log != whole.log:
            wrong.append(f"log: {self.log} of {whole.log} records")
        if self.panic != whole.panic:
            wrong.append(f"panic message {self.panic!r}")
        missing = {address: task for address, task in whole.tasks.items() if self.tasks.get(address) != task}
        if missing:
            wrong.append(f"tasks: {len(missing)} of {len(whole.tasks)} are missing or differ, {list(missing.values())[:3]}")
        for cpu, trace in whole.traces.items():
            if self.traces.get(cpu) != trace:
                wrong.append(f"CPU {cpu}: {self.traces.get(cpu)} for {trace}")
        return wrong


def by_libkdumpfile(report, name, dump, ours, page_size, only_present):
    """It shows the same bytes of every page that we have, and an error for the others. `only_present`: the file ends before
    data that descriptors point at; Debian's 0.5.1 maps that, and dies of SIGBUS when it is asked for it."""
    context = kdumpfile.kdumpfile(str(dump))
    wrong, same = [], 0
    for pfn, page in ours.items():
        if only_present and not page.present:
            continue
        try:
            data = context.read(kdumpfile.KDUMP_MACHPHYSADDR, pfn * page_size, page_size)
        except kdumpfile.exceptions.KDumpBaseException:
            if page.present:
                wrong.append(hex(pfn))
            continue
        same += 1
        if not page.present or peers.crc(data) != page.crc:
            wrong.append(hex(pfn))
    report.check(f"{name}: libkdumpfile reads the same {same} pages", wrong)


def by_drgn(report, name, dump, whole, required):
    program = drgn.Program()
    try:
        program.set_core_dump(str(dump))
        release = program["UTS_RELEASE"].string_().decode()
        wrong = [] if release == whole.report["identity"]["release"] else [release]
    except (ValueError, OSError, LookupError, drgn.FaultError) as error:
        if not required:
            print(f"     {name}: drgn: {error}")
            return
        wrong = [str(error)]
    report.check(f"{name}: drgn opens it", wrong)


def main():
    capture, analyze, page_hash, config = sys.argv[1:]
    run = peers.guest_run(config)
    vmlinux = json.loads((run / "run.json").read_text())["vmlinux"]
    report = peers.Report()
    with tempfile.TemporaryDirectory() as directory:
        here = Path(directory)
        dump = run / "vmcore"
        size = dump.stat().st_size
        whole = Story(analyze, dump, vmlinux)
        report.check(f"the whole dump has {whole.log} records, {len(whole.tasks)} tasks, {len(whole.traces)} CPUs",
                     [] if whole.log > 100 and len(whole.tasks) > 20 and len(whole.traces) == 2 else ["too little"])
        pages, _ = peers.our_pages(page_hash, dump)
        page_size = whole.report["input"]["page_size_bytes"]
        for percent in PERCENT:
            limit = size * percent // 100
            for kind in ("cut", "limited"):
                name = f"{kind} to {percent} %"
                short = here / "short"
                if kind == "cut":
                    short.write_bytes(dump.read_bytes()[:limit])
                else:
                    # Exit status 1: not even the headers fit.
                    peers.run(capture, "save", dump, short, "-L", limit, "--progress", "none", allowed=(1, 3))
                    short = here / "short.incomplete"
                    if not short.exists():
                        report.check(f"{name}: nothing fits", [] if percent <= 5 else ["it should"])
                        continue
                    report.check(f"{name}: {short.stat().st_size} bytes", [] if short.stat().st_size <= limit else ["too many"])
                check_one(report, name, short, whole, pages, percent, analyze, page_hash, vmlinux, page_size)
                short.unlink()
    report.exit()


def check_one(report, name, short, whole, pages, percent, analyze, page_hash, vmlinux, page_size):
    story = Story(analyze, short, vmlinux)
    lacks = story.lacks(whole)
    if percent >= ALL_FROM:
        report.check(f"{name}: log, tasks and backtraces as in the whole dump", lacks)
    else:
        print(f"     {name}: lacks {lacks}")
    report.check(f"{name}: it says that data is missing", ["it does not"] if story.report["input"]["complete"] else [])
    live = [story.title] if story.title and "live system" in story.title else []
    report.check(f"{name}: a crash that cannot be told is not taken for a live system", live)
    left, _ = peers.our_pages(page_hash, short)
    wrong = [hex(pfn) for pfn, page in left.items() if page.present and page.crc != pages[pfn].crc]
    report.check(f"{name}: {sum(page.present for page in left.values())} pages, all right", wrong)
    # A file that ends inside of its bitmaps or descriptors: libkdumpfile, through which drgn reads it, dies of SIGBUS.
    if not any(page.present for page in left.values()):
        print(f"     {name}: not given to others")
        return
    by_libkdumpfile(report, name, short, left, page_size, name.startswith("cut"))
    by_drgn(report, name, short, whole, percent >= ALL_FROM)


if __name__ == "__main__":
    main()
