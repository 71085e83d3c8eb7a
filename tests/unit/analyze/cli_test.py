#!/usr/bin/python3
"""The command line contract of kdump-analyze: exit codes, messages, -o.   cli_test.py BIN_DIR MAKE_DUMP"""
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

program = make_dump = None


class CommandLine(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.path = Path(cls.folder.name)
        cls.dump = cls.path / "dump"
        subprocess.run([make_dump, "text-symbols", cls.dump], check=True)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def run_program(self, *arguments, expect, **options):
        done = subprocess.run([program, *map(str, arguments)], stdout=options.pop("stdout", subprocess.PIPE),
                              stderr=subprocess.PIPE, text=True, timeout=60, check=False)
        self.assertEqual(expect, done.returncode, done.stderr)
        return done

    def test_usage_errors(self):
        for arguments in ([], ["frobnicate"], ["report"], ["report", self.dump, "--format", "yaml"], ["sym", self.dump],
                          ["log", self.dump, "--vmlinux", "x"]):
            done = self.run_program(*arguments, expect=2)
            self.assertEqual("", done.stdout)
            self.assertNotEqual("", done.stderr)

    def test_help_and_version(self):
        for arguments in (["--help"], ["--version"], ["report", "--help"], ["sym", "--help"]):
            self.assertNotEqual("", self.run_program(*arguments, expect=0).stdout)

    def test_what_is_no_dump_is_named(self):
        empty, text = self.path / "empty", self.path / "text"
        empty.write_bytes(b"")
        text.write_text("hello\n")
        for bad in (self.path / "missing", self.path, empty, text):
            for command in ("report", "log", "bt", "info"):
                done = self.run_program(command, bad, expect=1)
                self.assertEqual("", done.stdout)
                self.assertIn(f"error: {bad}", done.stderr)

    def test_symbols_found_in_part(self):
        self.run_program("sym", self.dump, "panic", "--no-debug-info", expect=0)
        done = self.run_program("sym", self.dump, "panic", "no_such_symbol", "--no-debug-info", expect=3)
        self.assertIn("no_such_symbol: not found", done.stdout)
        self.run_program("sym", self.dump, "no_such_symbol", "--no-debug-info", expect=1)

    def test_a_wrong_vmlinux_is_refused_and_the_rest_goes_on(self):
        for wrong in (program, self.path / "missing", self.path):
            done = self.run_program("bt", self.dump, "--vmlinux", wrong, expect=3)
            self.assertIn(str(wrong), done.stderr)
            self.assertIn("sysrq_handle_crash", done.stdout)
            done = self.run_program("report", self.dump, "--vmlinux", wrong, expect=3)
            self.assertIn("REFUSED  the vmlinux given", done.stdout)
            self.assertNotIn("DAMAGE", done.stdout)

    def test_options_do_not_swallow_the_dump(self):
        self.run_program("bt", "--debug-dir", self.path, self.dump, expect=0)

    def test_output_file_is_whole_or_absent(self):
        out = self.path / "report.json"
        self.assertEqual("", self.run_program("report", self.dump, "--json", "-o", out, expect=0).stdout)
        self.assertTrue(out.read_text().startswith("{") and out.read_text().endswith("}\n"))
        self.run_program("report", self.dump, "-o", self.path / "nowhere" / "report", expect=1)
        self.run_program("report", self.path / "missing", "-o", self.path / "none", expect=1)
        self.assertFalse((self.path / "none").exists())
        self.assertEqual([], [name for name in os.listdir(self.path) if "partial" in name])

    def test_full_disk_is_a_failure(self):
        with open("/dev/full", "w", encoding="ascii") as full:
            done = self.run_program("report", self.dump, stdout=full, expect=1)
        self.assertIn("standard output", done.stderr)

    def test_json_says_what_format_json_says(self):
        one = self.run_program("report", self.dump, "--json", "--no-debug-info", expect=0).stdout.split('"timing"')[0]
        two = self.run_program("report", self.dump, "--format", "json", "--no-debug-info", expect=0).stdout.split('"timing"')[0]
        self.assertEqual(one, two)


if __name__ == "__main__":
    program, make_dump = Path(sys.argv[1]) / "kdump-analyze", Path(sys.argv[2])
    unittest.main(argv=sys.argv[:1])
