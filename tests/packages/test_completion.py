#!/usr/bin/python3
"""What bash and zsh offer when somebody presses TAB, against --help.

usage: test_completion.py PROGRAM...
"""
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import help
import skip

COMPLETIONS = Path(__file__).resolve().parent.parent.parent / "packaging" / "completions"
PROGRAMS = [Path(program) for program in sys.argv[1:]]

# COMP_WORDS is what bash gives to a completion function; the answer is COMPREPLY.
BASH = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_kdumpkit "$1" "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""
# The builtins through which zsh takes answers print them instead.
ZSH = """
compadd() { shift; print -l -- "$@" }
_describe() { print -l -- ${${(P)4}%%:*} }
_files() { print files }
file=$1; shift
source $file
words=("$@"); CURRENT=$#
_kdumpkit
"""


class Completion(unittest.TestCase):
    def offered(self, shell: str, *words) -> set[str]:
        if shell == "bash":
            command = ["bash", "-c", BASH, "bash", COMPLETIONS / "kdumpkit.bash", *words]
        else:
            command = ["zsh", "-f", "-c", ZSH, "zsh", COMPLETIONS / "_kdumpkit", *words]
        done = subprocess.run(command, capture_output=True, text=True, cwd=self.directory,
                              env=os.environ | {"LC_ALL": "C.UTF-8"})
        self.assertEqual("", done.stderr)
        return set(done.stdout.split())

    def setUp(self):
        temp = tempfile.TemporaryDirectory()
        self.addCleanup(temp.cleanup)
        self.directory = temp.name
        Path(self.directory, "vmcore").touch()

    def test_subcommands(self):
        for shell in ["bash", "zsh"]:
            for program in PROGRAMS:
                if program.name == "kdumpkit-mkinitramfs":  # has none
                    self.assertEqual(help.options(program), self.offered(shell, program, "-"))
                    continue
                with self.subTest(f"{shell} {program.name}"):
                    offered = self.offered(shell, program, "")
                    self.assertGreater(len(help.subcommands(program)), 4)
                    self.assertEqual(set(help.subcommands(program)) | help.options(program), offered)

    def test_options(self):
        for shell in ["bash", "zsh"]:
            for program in PROGRAMS:
                for subcommand in help.subcommands(program):
                    with self.subTest(f"{shell} {program.name} {subcommand}"):
                        self.assertEqual(help.options(program, subcommand), self.offered(shell, program, subcommand, "-"))

    def test_values(self):
        analyze = next(program for program in PROGRAMS if program.name == "kdump-analyze")
        for shell in ["bash", "zsh"]:
            self.assertEqual({"text", "json", "html"}, self.offered(shell, analyze, "report", "vmcore", "--format", ""))

    def test_files(self):
        analyze = next(program for program in PROGRAMS if program.name == "kdump-analyze")
        self.assertEqual({"vmcore"}, self.offered("bash", analyze, "report", "vm"))
        self.assertEqual({"files"}, self.offered("zsh", analyze, "report", "vm"))

    def test_only_what_was_begun(self):
        load = next(program for program in PROGRAMS if program.name == "kdump-load")
        self.assertEqual({"reload", "reserve"}, self.offered("bash", load, "re"))


if __name__ == "__main__":
    skip.need("bash", "zsh")
    unittest.main(argv=sys.argv[:1], verbosity=2)
