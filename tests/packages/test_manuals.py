#!/usr/bin/python3
"""The manual pages made of docs/ against --help: each names every subcommand and option of its program, and its synopsis
names no other.

usage: test_manuals.py PROGRAM...
"""
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import help
import skip

ROOT = Path(__file__).resolve().parent.parent.parent
PROGRAMS = [Path(program) for program in sys.argv[1:]]
# In every program; said once, in the README.
COMMON = {"-h", "--help", "--version"}


class Manuals(unittest.TestCase):
    pages: dict[str, str] = {}

    @classmethod
    def setUpClass(cls):
        with tempfile.TemporaryDirectory() as directory:
            subprocess.run([ROOT / "packaging" / "make-man", directory, "1.2.3"], check=True)
            for page in Path(directory).iterdir():
                shown = subprocess.run(["man", "-E", "UTF-8", "-l", page], capture_output=True, text=True, check=True,
                                       env={"MANWIDTH": "1000", "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "MAN_KEEP_FORMATTING": ""})
                cls.pages[page.stem] = shown.stdout

    def test_there_is_one_for_each_program(self):
        self.assertEqual({program.name for program in PROGRAMS}, set(self.pages))

    def test_parts(self):
        for name, page in self.pages.items():
            with self.subTest(name):
                self.assertRegex(page, rf"(?m)^NAME\n +{name} - [a-z].*[^.]$")
                self.assertRegex(page, r"(?m)^SYNOPSIS$")
                self.assertRegex(page, r"(?m)^DESCRIPTION$")
                self.assertIn("1.2.3", page)
                self.assertNotIn("](", page, "a link of the web page")

    def test_everything_that_help_names(self):
        for program in PROGRAMS:
            page = self.pages[program.name]
            for subcommand in help.subcommands(program):
                self.assertRegex(page, rf"\b{program.name} +{subcommand}\b", "in no synopsis or example")
            for option in help.all_options(program) - COMMON:
                with self.subTest(f"{program.name} {option}"):
                    # "-s, -c and -a", "-z -c -l -p", "--verbose, -v"
                    self.assertRegex(page, rf"(?<![\w-]){re.escape(option)}(?![\w-])")

    def test_nothing_else_in_the_synopsis(self):
        for program in PROGRAMS:
            synopsis = re.search(r"^SYNOPSIS\n(.*?)^\S", self.pages[program.name], re.M | re.S)[1]
            shown = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", synopsis))
            with self.subTest(program.name):
                self.assertGreater(len(shown), 3)
                self.assertEqual(set(), shown - help.all_options(program))
            commands = set(re.findall(rf"{program.name} +([a-z][a-z|-]*)", synopsis))
            named = {word for words in commands for word in words.split("|")}
            self.assertEqual(set(help.subcommands(program)), named, program.name)


if __name__ == "__main__":
    skip.need("pandoc", "man", "groff")
    unittest.main(argv=sys.argv[:1], verbosity=2)
