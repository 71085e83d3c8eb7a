#!/usr/bin/python3
"""The ABI of libkdumpkit against library/abi.txt: every exported function with its version, every enumerator, every member
of every struct with its offset and size. A change has to be meant: KDK_GOLDEN_REWRITE=1 writes the file anew.

usage: abi_test.py LIBRARY
"""
import os
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

LIBRARY = Path(sys.argv.pop(1))
FOLDER = Path(__file__).resolve().parents[3] / "library"
HEADER = FOLDER / "include/kdumpkit/kdumpkit.h"
GOLDEN = FOLDER / "abi.txt"


def declarations():
    return re.sub(r"/\*.*?\*/", "", HEADER.read_text(), flags=re.DOTALL)


def exported():
    """name@@version of every symbol that programs can link against, the versions themselves left out."""
    out = subprocess.run(["nm", "-D", "--defined-only", "--with-symbol-versions", LIBRARY], capture_output=True, text=True,
                         check=True).stdout
    return sorted(line.split()[2] for line in out.splitlines() if line.split()[1] != "A")


def structs():
    """struct -> its members, of those that are not opaque."""
    return {name: re.findall(r"(\w+)\s*[;,]", re.sub(r"\w[\w ]*\bstruct\b", "", body))
            for name, body in re.findall(r"typedef struct (\w+) \{(.*?)\}", declarations(), flags=re.DOTALL)}


def layout():
    lines = ['printf("version %d.%d\\n", KDUMPKIT_VERSION_MAJOR, KDUMPKIT_VERSION_MINOR);']
    for name in re.findall(r"\b(KDUMPKIT_\w+) = ", declarations()):
        lines.append(f'printf("{name} %d\\n", {name});')
    for name, members in structs().items():
        for member in members:
            lines.append(f'printf("{name}.{member} %zu %zu\\n", offsetof({name}, {member}), sizeof((({name} *)0)->{member}));')
    program = "#include <kdumpkit/kdumpkit.h>\n#include <stdio.h>\nint main(void) {\n" + "\n".join(lines) + "\nreturn 0;\n}\n"
    with tempfile.TemporaryDirectory() as folder:
        binary = Path(folder) / "layout"
        subprocess.run(["cc", "-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror", "-I", HEADER.parents[1], "-x", "c", "-",
                        "-o", binary], input=program, text=True, check=True)
        return subprocess.run([binary], capture_output=True, text=True, check=True).stdout.splitlines()


class Abi(unittest.TestCase):
    def test_golden(self):
        found = "\n".join([*exported(), *layout()]) + "\n"
        if os.environ.get("KDK_GOLDEN_REWRITE") == "1":
            GOLDEN.write_text(found)
        self.assertEqual(GOLDEN.read_text().splitlines(), found.splitlines(),
                         "the ABI has changed: meant? Then a new version node in library/kdumpkit.map")

    def test_header_map_and_library_have_the_same_functions(self):
        declared = set(re.findall(r"KDUMPKIT_API[^;]*?\b(kdumpkit_\w+)\(", declarations()))
        mapped = set(re.findall(r"^\s+(kdumpkit_\w+);", (FOLDER / "kdumpkit.map").read_text(), flags=re.MULTILINE))
        self.assertGreater(len(declared), 40)
        self.assertEqual(declared, mapped)
        self.assertEqual(declared, {symbol.split("@")[0] for symbol in exported()})

    def test_soname(self):
        major = re.search(r"VERSION_MAJOR (\d+)", declarations()).group(1)
        dynamic = subprocess.run(["readelf", "-d", LIBRARY], capture_output=True, text=True, check=True).stdout
        self.assertIn(f"[libkdumpkit.so.{major}]", dynamic)

    def test_every_struct_was_seen(self):
        self.assertEqual(declarations().count("typedef struct") - len(re.findall(r"typedef struct \w+ \w+;", declarations())),
                         len(structs()))
        self.assertIn("backtrace", structs()["kdumpkit_cpu"])
        self.assertEqual(["count", "items"], structs()["kdumpkit_strings"])


if __name__ == "__main__":
    unittest.main()
