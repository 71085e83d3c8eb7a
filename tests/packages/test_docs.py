#!/usr/bin/python3
"""The command lines in README.md and docs/ against --help: each names a subcommand and options that its program has. Links
lead to files and headings that are there.

usage: test_docs.py PROGRAM...
"""
import re
import shlex
import sys
import unittest
from pathlib import Path

import help

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = [ROOT / "README.md", ROOT / "tests/e2e/README.md", *sorted((ROOT / "docs").glob("*.md"))]
PROGRAMS = {Path(program).name: Path(program) for program in sys.argv[1:]}
# kexec's and makedumpfile's ways to say what --help has as a subcommand or below one.
HABITS = {"kdump-load": {"-p", "-u", "-S"}, "kdump-capture": set(), "kdump-analyze": set(), "kdumpkit-mkinitramfs": set()}


def code(page: str) -> list[str]:
    """The lines of code blocks, those of other languages left out, and what stands between backticks in a line."""
    out, block, language = [], False, ""
    for line in page.splitlines():
        if line.startswith("```"):
            block, language = not block, line.removeprefix("```")
        elif block:
            if language not in ("c", "cpp", "python"):
                out.append(line)
        else:
            out.extend(re.findall(r"`([^`]+)`", line))
    return out


def commands(page: str) -> list[tuple[str, list[str]]]:
    """Program and words of every command line: comments, brackets and what comes behind a pipe or `&&` taken off."""
    out = []
    for line in code(page):
        line = re.sub(r"(^|\s)#.*", "", line.removeprefix("# ").removeprefix("$ "))
        for part in re.split(r"\s(?:\||&&|;)\s|\$\(|\)", line):
            words = shlex.split(part.replace("[", " ").replace("]", " ").replace("'", " "))
            while words and ("=" in words[0] or words[0] in ("sudo", "cat")):
                words.pop(0)
            if words and Path(words[0]).name in PROGRAMS:
                out.append((Path(words[0]).name, words[1:]))
    return out


class Docs(unittest.TestCase):
    def check(self, program: str, words: list[str]) -> str:
        """What is wrong with a command line; empty when nothing is."""
        known = help.subcommands(PROGRAMS[program])
        named = [word for word in words if not word.startswith("-")][:1]
        # "plan|load|unload" in a synopsis
        subcommands = named[0].rstrip(",").split("|") if named and known and named[0].isascii() else []
        if subcommands and not set(subcommands) <= set(known):
            return f"no subcommand {named[0]}" if not HABITS[program] & set(words) else ""
        options = help.options(PROGRAMS[program]) | HABITS[program]
        for subcommand in subcommands:
            options |= help.options(PROGRAMS[program], subcommand)
        if not subcommands:
            options |= help.all_options(PROGRAMS[program])  # "`kdump-load --json`": of any
        given = {name for word in words if re.match(r"--?[A-Za-z]", word) for name in word.split("=")[0].rstrip(",").split("|")}
        return f"no option {given - options}" if given - options else ""

    def test_commands(self):
        found = 0
        for page in PAGES:
            for program, words in commands(page.read_text()):
                found += 1
                with self.subTest(f"{page.name}: {program} {' '.join(words)}"):
                    self.assertEqual("", self.check(program, words))
        self.assertGreater(found, 100)

    def test_it_can_say_no(self):
        self.assertEqual([("kdump-load", ["lode", "--kernel", "F"])], commands("```\n# kdump-load lode --kernel F   # arm\n```"))
        self.assertNotEqual("", self.check("kdump-load", ["lode", "--kernel", "F"]))
        self.assertNotEqual("", self.check("kdump-load", ["load", "--kernle", "F"]))
        self.assertNotEqual("", self.check("kdump-analyze", ["log", "--format", "html"]))
        self.assertEqual("", self.check("kdump-analyze", ["report", "--format", "html"]))

    def test_links(self):
        for page in PAGES:
            for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
                if re.match(r"https?:", target):
                    continue
                file, _, heading = target.partition("#")
                path = (page.parent / file).resolve() if file else page
                with self.subTest(f"{page.name}: {target}"):
                    self.assertTrue(path.exists())
                    if heading:
                        # As GitHub makes them: lower case, punctuation gone, spaces become dashes.
                        titles = re.findall(r"^#+ (.*)$", path.read_text(), re.M)
                        self.assertIn(heading, {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles})


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=2)
