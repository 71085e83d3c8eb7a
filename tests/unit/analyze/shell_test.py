#!/usr/bin/python3
"""kdump-analyze shell as a program: scripts, and a person at a terminal.   shell_test.py BIN_DIR MAKE_DUMP"""
import os
import pty
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

program = make_dump = None


def run(dump, *arguments, text=""):
    return subprocess.run([program, "shell", dump, "--no-debug-info", *arguments], input=text, capture_output=True, text=True,
                          timeout=60, check=False)


class Scripts(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.dump = Path(cls.folder.name, "dump")
        subprocess.run([make_dump, "text-symbols", cls.dump], check=True)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def test_commands_say_what_they_say_alone(self):
        for command in ("bt", "log", "sym panic", "bt --json"):
            alone = subprocess.run([program, command.split()[0], self.dump, *command.split()[1:]]
                                   + ([] if command == "log" else ["--no-debug-info"]),
                                   capture_output=True, text=True, check=False)
            done = run(self.dump, "-c", command)
            self.assertEqual((alone.returncode, alone.stdout), (done.returncode, done.stdout), command)
            self.assertNotEqual("", done.stdout, command)

    def test_lines_of_stdin(self):
        done = run(self.dump, text="# a comment\n\nsym panic\n  dmesg | head -1\nq\nsym panic\n")
        self.assertEqual(0, done.returncode, done.stderr)
        lines = done.stdout.splitlines()
        self.assertEqual(2, len(lines), done.stdout)  # what comes after q is not run
        self.assertIn("panic", lines[0])

    def test_a_command_that_fails_does_not_end_it(self):
        done = run(self.dump, "-c", "sym no_such_symbol", "-c", "frobnicate", "-c", "bt --frobnicate", "-c", "kmem -p",
                   "-c", "print 'a", "-c", "sym panic")
        self.assertEqual(1, done.returncode)  # what says most of the codes 1, 2 and 0
        self.assertIn("panic", done.stdout)
        for message in ("frobnicate: no such command", "--frobnicate", "hint: mem --help", "' is not closed"):
            self.assertIn(message, done.stderr)
        self.assertEqual(2, run(self.dump, "-c", "frobnicate", "-c", "sym panic").returncode)
        self.assertEqual(3, run(self.dump, "-c", "sym panic no_such_symbol", "-c", "sym panic").returncode)

    def test_readers(self):
        out = Path(self.folder.name, "out")
        done = run(self.dump, "-c", f"sym panic > {out}", "-c", f"sym panic >> {out}", "-c", "!echo $((1 + 1))", "-c", "log | false")
        self.assertEqual(1, done.returncode)
        self.assertEqual("2\n", done.stdout)
        self.assertEqual(2, out.read_text().count("panic"))
        # A reader that has enough is no failure.
        self.assertEqual(0, run(self.dump, "-c", "log | true").returncode)

    def test_help(self):
        done = run(self.dump, "-c", "help", "-c", "help aliases", "-c", "help rd", "-c", "bt --help")
        self.assertEqual(0, done.returncode, done.stderr)
        for text in ("locks", "foreach UN bt", "Usage: read", "--all-tasks"):
            self.assertIn(text, done.stdout)
        self.assertNotIn("--vmlinux", done.stdout)  # that was the shell's to open

    def test_what_is_missing_is_said_once(self):
        done = subprocess.run([program, "shell", self.dump, "-c", "bt", "-c", "sym panic"], capture_output=True, text=True, check=False)
        self.assertEqual(1, done.stderr.count("no vmlinux"), done.stderr)

    def test_no_dump(self):
        done = run(self.dump.parent / "missing", "-c", "bt")
        self.assertEqual(1, done.returncode)
        self.assertIn("missing", done.stderr)


class Terminal(unittest.TestCase):
    """Through a pseudo terminal."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.home = Path(self.folder.name)
        dump = self.home / "dump"
        subprocess.run([make_dump, "text-symbols", dump], check=True)
        environment = os.environ | {"HOME": str(self.home), "TERM": "xterm", "PAGER": "", "COLUMNS": "100"}
        environment.pop("XDG_STATE_HOME", None)
        environment["ASAN_OPTIONS"] = "detect_leaks=0"  # libedit leaves some 100 bytes; the scripts above look for ours
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.execve(program, [program, "shell", str(dump), "--no-debug-info"], environment)
        self.seen = ""
        self.wait_for("kdump> ")

    def tearDown(self):
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.terminal)
        self.folder.cleanup()

    def wait_for(self, text, seconds=60):
        """What came since the last call, up to `text`."""
        end = time.monotonic() + seconds
        while text not in self.seen:
            ready, _, _ = select.select([self.terminal], [], [], max(0, end - time.monotonic()))
            self.assertTrue(ready, f"{text!r} does not come: {self.seen!r}")
            self.seen += re.sub("\x1b\\[[0-9;?]*[A-Za-z]|[\x07\r]", "", os.read(self.terminal, 4096).decode(errors="replace"))
        before, self.seen = self.seen.split(text, 1)
        return before

    def say(self, text):
        time.sleep(0.5)  # the prompt comes before the terminal is set to be edited on
        os.write(self.terminal, text.encode())

    def test_a_question_and_leaving(self):
        self.say("sym panic\n")
        self.assertIn("panic", self.wait_for("kdump> "))
        self.say("\x04")
        _, status = os.waitpid(self.pid, 0)
        self.pid = 0
        self.assertEqual(0, os.waitstatus_to_exitcode(status))
        history = self.home / ".local" / "state" / "kdumpkit" / "history"
        self.assertIn("panic", history.read_text())
        self.assertEqual(0, history.stat().st_mode & 0o077)

    def test_completion(self):
        self.say("lo\t")  # log and locks
        self.say("\t")
        self.assertIn("locks", self.wait_for("kdump> lo"))
        self.say("cks --js\t")
        self.wait_for("--json ")
        self.say("\x15sym sysrq_handle_cr\t\n")
        self.wait_for("sysrq_handle_crash")
        self.wait_for("kdump> ")

    def test_ctrl_c_ends_the_line_and_the_command_but_not_the_shell(self):
        self.say("half a line\x03")
        self.wait_for("kdump> ")
        self.say("log | sleep 100\n")
        time.sleep(1)
        self.say("\x03")
        self.wait_for("kdump> ", 20)
        self.say("sym panic\n")
        self.assertIn("panic", self.wait_for("kdump> "))


if __name__ == "__main__":
    program = str(Path(sys.argv[1], "kdump-analyze"))
    make_dump = sys.argv[2]
    unittest.main(argv=sys.argv[:1], verbosity=2)
