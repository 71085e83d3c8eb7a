#!/usr/bin/python3
"""The programs in docs/libkdumpkit.md: compiled as their language is meant to be, run on a synthetic dump against the installed
library, and what they print against what the page says they print. KDK_GOLDEN_REWRITE=1 writes that anew.

usage: docs_test.py LIBRARY MAKE_DUMP BUILD_DIR
"""
import os
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

LIBRARY, MAKE_DUMP, BUILD = map(Path, sys.argv[1:4])
del sys.argv[1:4]
PAGE = Path(__file__).resolve().parents[3] / "docs/libkdumpkit.md"
WARNINGS = ["-Wall", "-Wextra", "-pedantic", "-Werror"]
BLOCK = re.compile(r"```(\w+)\n(?:/\*|//|#) (\S+)(?: \*/)?\n(.*?)```\n\n```text\n(.*?)```", re.DOTALL)


def run(*command, **options):
    return subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True, **options).stdout


class Docs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.path = Path(cls.folder.name)
        cls.prefix = cls.path / "prefix"
        for component in ("library", "library-dev"):
            run("cmake", "--install", BUILD, "--component", component, "--prefix", cls.prefix)
        cls.library = next(cls.prefix.rglob("libkdumpkit.so.0")).parent
        cls.environment = {**os.environ, "LD_LIBRARY_PATH": str(cls.library), "PKG_CONFIG_PATH": str(cls.library / "pkgconfig")}
        cls.dump = cls.path / "vmcore"
        run(MAKE_DUMP, "sysrq", cls.dump)
        cls.blocks = {name: (language, text, output) for language, name, text, output in BLOCK.findall(PAGE.read_text())}

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def flags(self):
        return run("pkg-config", "--cflags", "--libs", "kdumpkit", env=self.environment).split()

    def build(self, name, compiler, standard):
        source, binary = self.path / name, self.path / (name + ".out")
        source.write_text(self.blocks[name][1])
        run(compiler, f"-std={standard}", *WARNINGS, source, "-o", binary, *self.flags())
        return binary

    def expect(self, name, *command):
        output = run(*command, self.dump, env=self.environment)
        if os.environ.get("KDK_GOLDEN_REWRITE") == "1":
            language, text, old = self.blocks[name]
            page = PAGE.read_text()
            PAGE.write_text(page.replace(f"{text}```\n\n```text\n{old}```", f"{text}```\n\n```text\n{output}```"))
            return
        self.assertEqual(self.blocks[name][2], output)
        self.assertNotEqual("", output)

    def test_all_blocks_are_known(self):
        self.assertEqual({"why.c", "tasks.cc", "log.py"}, set(self.blocks))

    def test_c(self):
        for standard in ("c99", "c11"):
            self.expect("why.c", self.build("why.c", "cc", standard))

    def test_what_is_no_dump(self):
        done = subprocess.run([self.build("why.c", "cc", "c99"), self.path / "none"], capture_output=True, text=True,
                              env=self.environment, check=False)
        self.assertEqual((1, ""), (done.returncode, done.stdout))
        self.assertIn(f"{self.path}/none", done.stderr)

    def test_cpp(self):
        for standard in ("c++17", "c++20"):
            self.expect("tasks.cc", self.build("tasks.cc", "c++", standard))

    def test_python(self):
        script = self.path / "log.py"
        script.write_text(self.blocks["log.py"][1])
        self.expect("log.py", sys.executable, script)

    def test_cmake_package(self):
        source = self.path / "project"
        source.mkdir()
        (source / "why.c").write_text(self.blocks["why.c"][1])
        (source / "CMakeLists.txt").write_text("cmake_minimum_required(VERSION 3.20)\nproject(why C)\nfind_package(kdumpkit 0.1 REQUIRED)\n"
                                               "add_executable(why why.c)\ntarget_link_libraries(why PRIVATE kdumpkit::kdumpkit)\n")
        run("cmake", "-S", source, "-B", source / "build", f"-DCMAKE_PREFIX_PATH={self.prefix}")
        run("cmake", "--build", source / "build")
        self.expect("why.c", source / "build/why")


if __name__ == "__main__":
    unittest.main()
