#!/usr/bin/python3
"""kdump-capture while the calls below it fail (inject.cc): a disk that is full from any of its writes on, one that fails or
writes in part, signals between any two calls, an input with bad ranges. After each: the exit status is that of the contract,
what is on the disk opens, says INCOMPLETE unless it is whole, and has no page with wrong content; the summary says the same.

  faults_test.py KDUMP_CAPTURE PAGE_HASH MAKE_DUMP INJECT
"""
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))
import schemas  # noqa: E402

CAPTURE, PAGE_HASH, MAKE_DUMP, INJECT = (str(Path(program).resolve()) for program in sys.argv[1:5])
del sys.argv[1:5]


def pages_of(dump):
    """PFN -> CRC of the pages that are present, and whether the dump says that it is incomplete; None: no dump."""
    done = subprocess.run([PAGE_HASH, dump], capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        return None, done.stderr
    lines = done.stdout.splitlines()
    rows = [line.split() for line in lines if not line.startswith("#")]
    return {int(pfn): crc for pfn, state, crc in rows if state == "present"}, any(line.startswith("# incomplete") for line in lines)


class Faults(unittest.TestCase):
    unsynced = 0  # failures to sync a directory that were told
    seen = set()  # summaries that were held against the schema

    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory()
        cls.top = Path(cls.directory.name).resolve()
        cls.input = cls.top / "input"
        subprocess.run([MAKE_DUMP, "sysrq", cls.input], check=True)
        cls.truth, _ = pages_of(cls.input)
        cls.here = cls.top / "output"
        cls.here.mkdir()
        cls.calls = cls.save(None)[1]
        cls.whole = cls.look()[0]
        cls.log = (cls.here / "log").read_bytes()
        assert cls.calls >= 20 and len(cls.whole) > 100, (cls.calls, len(cls.whole))

    @classmethod
    def tearDownClass(cls):
        cls.directory.cleanup()

    @classmethod
    def save(cls, fault, *more, capture_input=None, memory=None):
        """Saves into an empty directory with small units of work, so that there are many calls; the status, and how many calls
        there were to fail."""
        for file in cls.here.iterdir():
            file.unlink()
        count = cls.top / "count"
        count.unlink(missing_ok=True)
        environment = dict(os.environ, LD_PRELOAD=INJECT, KDK_FAULT_DIR=str(cls.here), KDK_FAULT_COUNT=str(count),
                           KDK_FAULT_INPUT=str(cls.input))
        if fault:
            environment["KDK_FAULT"] = fault
        done = subprocess.run([CAPTURE, "save", str(capture_input or cls.input), str(cls.here / "dump"), "-d", "1", "--threads", "1",
                               "--log", str(cls.here / "log"), "--summary", str(cls.here / "summary"), "--progress", "none", *more],
                              env=environment, capture_output=True, text=True, timeout=60,
                              preexec_fn=memory and (lambda: resource.setrlimit(resource.RLIMIT_AS, (memory, memory))))
        cls.said = done.stderr
        return done.returncode, int(count.read_text()) if count.exists() else 0

    @classmethod
    def look(cls):
        """(pages, whether incomplete, the file's name) of the one dump there is; (None, ..) when there is none."""
        found = [file for file in cls.here.iterdir() if file.name.startswith("dump")]
        assert len(found) <= 1, found
        if not found:
            return None, None, None
        pages, incomplete = pages_of(found[0])
        assert pages is not None, f"{found[0].name} does not open: {incomplete}"
        return pages, incomplete, found[0].name

    def check_pages(self, pages):
        wrong = {pfn for pfn, crc in pages.items() if self.truth.get(pfn) != crc}
        self.assertEqual(set(), wrong)

    def summary(self):
        document = json.loads((self.here / "summary").read_text())
        shape = document["status"], document["pages"] is None, document["output"]["file"] is None
        if shape not in self.seen:  # a second for each
            self.assertEqual([], schemas.problems(document, "capture-summary"))
            self.seen.add(shape)
        return document

    def check(self, status):
        """What holds after every fault that the program lives to see."""
        pages, incomplete, name = self.look()
        self.assertIn(status, (0, 1, 3), self.said)
        if status == 1:
            self.assertIsNone(pages, "nothing saved, but there is a dump")
        elif status == 0:
            self.assertEqual(self.whole, pages)
            self.assertEqual(self.log, (self.here / "log").read_bytes())
        if "syncing its directory" in self.said:
            self.unsynced += 1
            self.assertEqual(3, status)
        if pages is not None:
            self.check_pages(pages)
            # Under its own name it is whole; there may be something else to complain about.
            self.assertIn(name, ("dump", "dump.incomplete"))
            if name == "dump":
                self.assertEqual((False, self.whole.keys()), (incomplete, pages.keys()))
            elif pages.keys() != self.whole.keys():
                self.assertTrue(incomplete, self.said)
        if (self.here / "summary").exists():
            document = self.summary()
            # A summary that could not be replaced is the first one.
            self.assertIn(document["status"], {0: ("complete",), 1: ("failed", "running"), 3: ("partial", "running")}[status])
        left = {file.name for file in self.here.iterdir()} - {"dump", "dump.incomplete", "summary", "log"}
        self.assertEqual(set(), left)
        return pages

    def every_call(self, what):
        """Status -> how often, and the sizes of the dumps, over a fault at each call there is."""
        statuses, sizes = {}, set()
        for number in range(1, self.calls + 1):
            with self.subTest(fault=f"{what}:{number}"):
                status, _ = self.save(f"{what}:{number}")
                pages = self.check(status)
                statuses[status] = statuses.get(status, 0) + 1
                sizes.add(0 if pages is None else len(pages))
        return statuses, sizes

    def test_a_full_disk_at_any_write(self):
        for what in ("full", "cut"):
            statuses, sizes = self.every_call(what)
            self.assertGreater(len(sizes), 2, "cut at different places")
            self.assertEqual({1, 3}, {1, 3} & set(statuses), statuses)

    def test_one_failing_call(self):
        """Status 0, where all is on the disk as without it (check()), only when another way was found for log or summary."""
        statuses, _ = self.every_call("io")
        self.assertLess(statuses.get(0, 0), self.calls // 4, statuses)
        self.assertGreater(self.unsynced, 0)
        self.assertGreater(statuses.get(1, 0), 0, statuses)
        self.assertGreater(statuses.get(3, 0), self.calls // 2, statuses)

    def test_out_of_memory(self):
        """Address space ends at any point: from too little to start at all to enough."""
        statuses = set()
        for mib in range(16, 260, 4):
            with self.subTest(mib=mib):
                status, _ = self.save(None, memory=mib << 20)
                if status in (0, 1, 3):
                    self.check(status)
                else:  # the loader had no room for the program itself
                    self.assertEqual(127, status, self.said)
                    self.assertEqual([], list(self.here.iterdir()))
                statuses.add(status)
        self.assertLessEqual({0, 1}, statuses)

    def test_short_writes(self):
        for most in (1000, 4096, 100000):
            status, _ = self.save(f"short:{most}")
            self.assertEqual(0, status, self.said)
            self.check(status)

    def test_sigterm_at_any_call(self):
        statuses, _ = self.every_call("term")
        self.assertIn(3, statuses)

    def test_sigkill_at_any_call(self):
        sizes, opened = set(), False
        for number in range(1, self.calls + 1):
            with self.subTest(fault=f"kill:{number}"):
                status, _ = self.save(f"kill:{number}")
                self.assertEqual(-signal.SIGKILL, status)
                found = [file for file in self.here.iterdir() if file.name.startswith("dump")]
                self.assertLessEqual(len(found), 1)
                if not found:
                    self.assertFalse(opened)
                    continue
                pages, incomplete = pages_of(found[0])
                if pages is None:
                    self.assertFalse(opened, incomplete)  # else: not even its headers and bitmaps were written
                    continue
                opened = True
                self.check_pages(pages)
                sizes.add(len(pages))
                if pages != self.whole:
                    self.assertTrue(incomplete)
                if found[0].name == "dump":
                    self.assertEqual(self.whole, pages)
                if (self.here / "summary").exists():
                    self.summary()
        self.assertGreater(len(sizes), 2)

    def test_bad_ranges_of_the_input(self):
        """Everything from a place on, ranges of some pages, and single ones: holes in the dump, which goes on."""
        size = self.input.stat().st_size
        holes = 0
        for what in ("bus", "read"):
            for length in (1, 40 << 10, size):
                for begin in range(64 << 10, size, size // 8):
                    with self.subTest(fault=f"{what}:{begin}-{begin + length}"):
                        status, _ = self.save(f"{what}:{begin}-{begin + length}")
                        self.assertIn(status, (0, 1, 3), self.said)
                        pages, incomplete, name = self.look()
                        if pages is None:
                            self.assertEqual(1, status)
                            continue
                        self.check_pages(pages)
                        lost = self.whole.keys() - pages.keys()
                        holes += bool(lost)
                        if lost:
                            self.assertEqual((3, "dump", True), (status, name, incomplete))
                        self.assertLessEqual(len(lost) * 4096, length + 2 * 4096)
        self.assertGreater(holes, 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
