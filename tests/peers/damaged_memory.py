#!/usr/bin/python3
"""Dumps of a guest whose memory was damaged before: struct pages overwritten, a buddy list that lies, pages marked as poisoned, no
VMCOREINFO. After each: the exit status, no page with wrong content, none lost that must be kept; our reader, libkdumpfile
and crash open the file.

  damaged_memory.py KDUMP_CAPTURE KDUMP_ANALYZE PAGE_HASH CONFIGURATION     (a 6.1 x86-64 guest: crash knows that kernel)
"""
import collections
import json
import random
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import cut_dumps
import peers
from cut_dumps import drgn, kdumpfile

PAGE, STRUCT_PAGE = 4096, 64
# Source: VMCOREINFO of the guest, PAGE_BUDDY_MAPCOUNT_VALUE = ~PG_buddy; OFFSET(page._mapcount), OFFSET(page.private).
FLAGS, COMPOUND_HEAD, PRIVATE, PAGE_TYPE = 0, 8, 40, 48


class Memory:
    """A copy of a vmcore that can be written by page frame, and put back as it was."""

    def __init__(self, vmcore, copy):
        shutil.copyfile(vmcore, copy)
        self.file = open(copy, "r+b")
        header = self.file.read(64)
        offset, count = struct.unpack_from("<Q", header, 32)[0], struct.unpack_from("<H", header, 56)[0]
        self.file.seek(offset)
        headers = [struct.unpack("<IIQQQQQQ", self.file.read(56)) for _ in range(count)]
        self.ranges = [(physical, size, start) for kind, _, start, _, physical, size, _, _ in headers if kind == 1]
        self.notes = next((start, size) for kind, _, start, _, _, size, _, _ in headers if kind == 4)
        self.undo = []

    def places(self, pfn):
        """Of the kernel's image two: it has a segment of its own, beside that of the memory it lies in."""
        return [start + pfn * PAGE - physical for physical, size, start in self.ranges
                if physical <= pfn * PAGE < physical + size]

    def place(self, pfn):
        return self.places(pfn)[0]

    def page(self, pfn):
        self.file.seek(self.place(pfn))
        return self.file.read(PAGE)

    def write(self, at, data):
        self.file.seek(at)
        self.undo.append((at, self.file.read(len(data))))
        self.file.seek(at)
        self.file.write(data)

    def put_back(self):
        for at, data in reversed(self.undo):
            self.file.seek(at)
            self.file.write(data)
        self.undo.clear()
        self.file.flush()


def struct_pages(vmcore, vmlinux, pages):
    """Of each page frame the page frame and offset its struct page is at, and the address of the first. Where the memory map lies is found by its content:
    through drgn by address, then the page with the same checksum, where there is only one."""
    program = drgn.Program()
    program.set_core_dump(str(vmcore))
    program.load_debug_info([str(vmlinux)])
    base = program["vmemmap_base"].value_()
    by_crc = collections.defaultdict(list)
    for pfn, crc in pages.items():
        by_crc[crc].append(pfn)
    found = {}
    per_page = PAGE // STRUCT_PAGE
    for first in range(0, max(pages) + 1, per_page):
        try:
            places = by_crc[peers.crc(program.read(base + first * STRUCT_PAGE, PAGE))]
        except drgn.FaultError:
            continue
        if len(places) == 1:
            for i in range(per_page):
                found[first + i] = (places[0], i * STRUCT_PAGE)
    return found, base


class Test:
    def __init__(self, programs, vmcore, vmlinux, here):
        self.capture, self.analyze, self.page_hash = programs
        self.vmlinux, self.here, self.dump = vmlinux, here, here / "dump"
        self.report = peers.Report()
        pages = peers.elf_pages(vmcore)
        self.map, self.map_base = struct_pages(vmcore, vmlinux, pages)
        self.memory = Memory(vmcore, here / "vmcore")
        self.report.check(f"found the struct pages of {len(self.map)} of {len(pages)} page frames",
                          [] if len(self.map) > len(pages) // 2 else ["too few"])
        self.save("as it was", 0)
        self.kept = self.present()
        start, size = self.memory.notes
        self.memory.file.seek(start)
        self.vmcoreinfo = dict(re.findall(r"^(\S+)=(.*)$", self.memory.file.read(size).decode("latin-1"), re.MULTILINE))
        self.story = cut_dumps.Story(self.analyze, self.dump, vmlinux)

    def save(self, name, *statuses):
        """With one of these exit statuses; the summary says the same."""
        self.dump.unlink(missing_ok=True)
        self.memory.file.flush()
        done = subprocess.run([self.capture, "save", self.here / "vmcore", self.dump, "-d", "31", "--compress", "lzo", "--progress",
                               "none", "--summary", self.here / "summary"], capture_output=True, text=True)
        summary = json.loads((self.here / "summary").read_text())
        status = {0: "complete", 3: "partial"}.get(done.returncode)
        self.report.check(f"{name}: exit status {done.returncode}", [] if done.returncode in statuses else [done.stderr])
        self.report.check(f"{name}: the summary says so", [] if summary["status"] == status else [summary["status"]])
        self.reasons = " ".join(summary["reasons"])

    def present(self):
        """PFN -> CRC of the pages that the dump has; each is that of the memory as it is now."""
        ours, _ = peers.our_pages(self.page_hash, self.dump)
        return {pfn: page.crc for pfn, page in ours.items() if page.present}

    def check(self, name, lost=lambda pfns: pfns, everything=False):
        """`lost`: of the pages that were kept before, which must not be missing; all unless it says otherwise."""
        now, truth = self.present(), peers.elf_pages(self.here / "vmcore")
        self.report.check(f"{name}: {len(now)} pages, none wrong", [hex(pfn) for pfn, crc in now.items() if truth[pfn] != crc])
        self.report.check(f"{name}: none lost", [hex(pfn) for pfn in lost(self.kept.keys() - now.keys())])
        if everything:
            self.report.check(f"{name}: all are kept", [hex(pfn) for pfn in truth.keys() - now.keys()][:3])
        context = kdumpfile.kdumpfile(str(self.dump))
        wrong = []
        for pfn in list(now)[::7]:
            data = context.read(kdumpfile.KDUMP_MACHPHYSADDR, pfn * PAGE, PAGE)
            if peers.crc(data) != now[pfn]:
                wrong.append(hex(pfn))
        self.report.check(f"{name}: libkdumpfile reads the same", wrong)

    def same_story(self, name):
        lacks = cut_dumps.Story(self.analyze, self.dump, self.vmlinux).lacks(self.story)
        self.report.check(f"{name}: log, tasks and backtraces as before", lacks)

    def crash(self, dump, options):
        try:
            return subprocess.run(["crash", "-s", *options, "-i", self.here / "commands", self.vmlinux, dump], text=True,
                                  stdin=subprocess.DEVNULL, capture_output=True, errors="replace", timeout=90)
        except subprocess.TimeoutExpired:
            return None

    def by_crash(self, name, dump, *options):
        """crash opens it and shows the log and the panic's backtrace."""
        commands = self.here / "commands"
        commands.write_text(f"log > {self.here}/log\nbt > {self.here}/bt\nquit\n")
        for file in ("log", "bt"):
            (self.here / file).write_text("")
        done = self.crash(dump, options)
        # It follows what it finds in memory, round a loop for ever if there is one. Then it does so in the memory itself, too.
        if done is None and self.crash(self.here / "vmcore", options) is None:
            print(f"     {name}: crash does not come back, nor from the memory that was saved")
            return
        if done is None:
            self.report.check(f"{name}: crash comes back, as it does from the memory that was saved", ["it does not"])
            return
        log, trace = ((self.here / file).read_text(errors="replace") for file in ("log", "bt"))
        wrong = [] if "sysrq triggered crash" in log and re.search(r"\] panic at ", trace) else [done.stdout[-500:] + done.stderr[-500:]]
        self.report.check(f"{name}: crash shows log and backtrace", wrong)

    def struct_page(self, pfn, offset, data):
        page, at = self.map[pfn]
        self.memory.write(self.memory.place(page) + at + offset, data)

    def head(self, pfn):
        """The page that says what this one is: of a compound page its first."""
        if pfn not in self.map:
            return pfn
        word = self.word(pfn, COMPOUND_HEAD)
        return (word - 1 - self.map_base) // STRUCT_PAGE if word & 1 else pfn

    def word(self, pfn, offset):
        page, at = self.map[pfn]
        self.memory.file.seek(self.memory.place(page) + at + offset)
        return struct.unpack("<Q", self.memory.file.read(8))[0]


def words_overwritten(test, chance):
    """Single words of struct pages, anywhere. Such a word is believed of its own page only, and of the tails of a compound page."""
    name = "words of the memory map overwritten"
    hit = set(chance.sample(sorted(test.map), 3000))
    heads = {pfn: test.head(pfn) for pfn in test.kept}
    for pfn in hit:
        test.struct_page(pfn, chance.randrange(0, STRUCT_PAGE, 8), chance.randbytes(8))
    test.save(name, 0, 3)
    test.check(name, lambda pfns: [pfn for pfn in pfns - hit if heads[pfn] not in hit])
    test.same_story(name)
    test.memory.put_back()


def map_overwritten(test, _):
    """All that was found of the memory map, with bytes that say nothing: what they are of is kept."""
    for fill in (0, 0xff):
        name = f"the memory map is all {fill:#x}"
        for page in {page for page, _ in test.map.values()}:
            test.memory.write(test.memory.place(page), bytes([fill]) * PAGE)
        test.save(name, 0, 3)
        test.check(name)
        test.same_story(name)
        test.memory.put_back()


def lying_free_pages(test, chance):
    """Pages in use that say that they are free: more than the kernel counts. Then nothing is left out as free."""
    name = "pages in use say they are free"
    liars = chance.sample(sorted(test.kept.keys() & test.map.keys()), 5000)
    for pfn in liars:
        test.struct_page(pfn, PAGE_TYPE, struct.pack("<I", 0xffffff7f))
        test.struct_page(pfn, PRIVATE, struct.pack("<Q", 0))
    test.save(name, 3)
    test.report.check(f"{name}: it says why", [] if "free" in test.reasons else [test.reasons])
    test.check(name)
    test.same_story(name)
    test.by_crash(name, test.dump)
    test.memory.put_back()


def poisoned_pages(test, chance):
    """The flag of a page that the hardware gave up: these pages are in no dump, and all others are."""
    name = "poisoned pages"
    if "NUMBER(PG_hwpoison)" not in test.vmcoreinfo:
        print("     this kernel was built without CONFIG_MEMORY_FAILURE: no poisoned pages")
        return
    bit = int(test.vmcoreinfo["NUMBER(PG_hwpoison)"])
    poisoned = set(chance.sample(sorted(test.kept.keys() & test.map.keys() - {page for page, _ in test.map.values()}), 50))
    for pfn in poisoned:
        test.struct_page(pfn, FLAGS, struct.pack("<Q", test.word(pfn, FLAGS) | 1 << bit))
    test.save(name, 0, 3)
    test.report.check(f"{name}: they are not in the dump", [hex(pfn) for pfn in poisoned & test.present().keys()])
    test.check(name, lambda pfns: pfns - poisoned)
    test.memory.put_back()


def no_vmcoreinfo(test, _):
    """No such note: it is found in memory. Nor there: all pages are saved, and it says why."""
    name = "no VMCOREINFO note"
    start, size = test.memory.notes
    test.memory.file.seek(start)
    at = start + test.memory.file.read(size).index(b"VMCOREINFO")
    test.memory.write(at, b"NOTHING..")
    test.save(name, 0)
    test.check(name)
    test.same_story(name)
    everywhere = [pfn for pfn in peers.elf_pages(test.here / "vmcore") if test.memory.page(pfn).find(b"OSRELEASE=") >= 0]
    for pfn in everywhere:
        changed = test.memory.page(pfn).replace(b"OSRELEASE=", b"WASRELEASE")
        for at in test.memory.places(pfn):
            test.memory.write(at, changed)
    test.save(name + ", nor in memory", 3)
    test.check(name + ", nor in memory", everything=True)
    test.memory.put_back()


def limited(test, _):
    """What a limit cut at a half, which keeps a little of slab: crash opens it. (A file without its end it reads no part of.)"""
    test.save("to be limited", 0)
    half = test.dump.stat().st_size // 2
    peers.run(test.capture, "save", test.here / "vmcore", test.here / "limited", "-d", "31", "--compress", "lzo", "-L", half,
              "--progress", "none", allowed=(3,))
    test.by_crash("limited to a half", test.here / "limited.incomplete", "--zero_excluded")


def main():
    *programs, config = sys.argv[1:]
    run = peers.guest_run(config)
    vmlinux = json.loads((run / "run.json").read_text())["vmlinux"]
    with tempfile.TemporaryDirectory() as directory:
        test = Test(programs, peers.full_vmcore(config), vmlinux, Path(directory))
        for damage in (words_overwritten, map_overwritten, lying_free_pages, poisoned_pages, no_vmcoreinfo, limited):
            damage(test, random.Random(5))
    test.report.exit()


if __name__ == "__main__":
    main()
