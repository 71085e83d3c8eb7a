#!/usr/bin/python3
"""What kdump-capture shows while it works: a bar on a terminal, here a pseudo terminal; plain lines elsewhere; JSON lines on
request. Argument: the program. The dump goes to a reader that takes its time, so that there is something to show."""
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
import unittest
from pathlib import Path

PROGRAM = sys.argv.pop(1)
PAGE, PAGES = 4096, 4096
SECONDS = 2  # that the reader takes
BAR = re.compile(r"dump \[(#*)(\.*)\] +(\d+) %  (\d+) MiB written  (\d+) MiB/s(?:  (\d+) s left)?")


def vmcore():
    """An ELF core with one PT_LOAD of noise."""
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", 4, 183, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    header += struct.pack("<IIQQQQQQ", 1, 7, PAGE, 0xffff000000000000, 1 << 30, PAGES * PAGE, PAGES * PAGE, 0)
    return header.ljust(PAGE, b"\0") + os.urandom(PAGES * PAGE)


class ProgressTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory()
        cls.input = Path(cls.directory.name, "in")
        cls.input.write_bytes(vmcore())

    @classmethod
    def tearDownClass(cls):
        cls.directory.cleanup()

    def save(self, stderr, *options, **environment):
        """Saves to a slow reader."""
        program = subprocess.Popen([PROGRAM, "save", self.input, "-", "-F", "-d", "0", "--threads", "1", *options],
                                   stdout=subprocess.PIPE, stderr=stderr, env=os.environ | {"TERM": "xterm"} | environment)
        end = time.monotonic() + SECONDS
        got = 0
        while part := program.stdout.read1(256 << 10):
            got += len(part)
            share = got / (PAGES * PAGE)
            time.sleep(max(0.0, SECONDS * share - (SECONDS - (end - time.monotonic()))))
        self.assertEqual(program.wait(), 0)
        program.stdout.close()

    def on_terminal(self, columns, *options, **environment):
        """What a terminal of this width was sent."""
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        said = []

        def read():
            try:
                while part := os.read(ours, 65536):
                    said.append(part)
            except OSError:  # EIO: the other end is closed
                pass
        reader = threading.Thread(target=read)
        reader.start()
        try:
            self.save(theirs, *options, **environment)
        finally:
            os.close(theirs)
            reader.join()
            os.close(ours)
        return b"".join(said).decode()

    def on_pipe(self, *options):
        with tempfile.TemporaryFile() as file:
            self.save(file, *options)
            file.seek(0)
            return file.read().decode()

    def drawn(self, text):
        """The lines that were drawn over each other, and that nothing else was drawn over."""
        lines = [part.split("\x1b[K")[0] for part in text.split("\r") if part.startswith("dump ")]
        self.assertGreaterEqual(len(lines), 4, text)
        self.assertIn("100 %", lines[-1])
        self.assertRegex(text, r"dump [^\r\n]*100 % [^\r\n]*\x1b\[K\r?\n", "the bar stays, and what comes next has a line of its own")
        return lines

    def test_bar_with_rate_and_time_left(self):
        bars = [BAR.fullmatch(line) for line in self.drawn(self.on_terminal(120))]
        self.assertTrue(all(bars), bars)
        percents = [int(bar[3]) for bar in bars]
        self.assertEqual(percents, sorted(percents))
        for bar in bars:
            self.assertEqual(len(bar[1]) + len(bar[2]), 40)
            self.assertEqual(len(bar[1]), 40 * int(bar[3]) // 100)
        # 16 MiB in 2 s; and, at about one half, about 1 s is left.
        middle = min(bars, key=lambda bar: abs(int(bar[3]) - 50))
        self.assertTrue(1 <= int(middle[5]) <= 40, middle)
        self.assertTrue(0 <= int(middle[6]) <= 10, middle)
        self.assertIsNone(bars[-1][6], "nothing is left")

    def test_no_line_is_wider_than_the_terminal(self):
        for columns in (60, 30):
            for line in self.drawn(self.on_terminal(columns)):
                self.assertLess(len(line), columns)

    def test_plain_lines(self):
        for text in (self.on_pipe(), self.on_terminal(80, TERM="dumb"), self.on_terminal(80, "--progress", "plain")):
            self.assertNotIn("\x1b", text)
            self.assertNotIn("\r", text.replace("\r\n", "\n"))
            self.assertIn("saving 4096 of 4096 pages", text)

    def test_json_lines(self):
        events = [json.loads(line) for line in self.on_pipe("--progress", "json").splitlines()
                  if line.startswith("{")]
        progress = [event for event in events if event["event"] == "progress" and event["stage"] == "dump"]
        self.assertGreaterEqual(len(progress), 4)
        for event in progress:
            self.assertEqual(event.keys(), {"event", "stage", "pages_done", "pages_total", "bytes_written", "seconds", "pages_per_second"})
        self.assertEqual((progress[-1]["pages_done"], progress[-1]["pages_total"]), (PAGES, PAGES))
        self.assertGreater(progress[-1]["pages_per_second"], 0)
        self.assertEqual([event["seconds"] for event in progress], sorted(event["seconds"] for event in progress))

    def test_none(self):
        self.assertNotIn("dump", self.on_pipe("--progress", "none"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
