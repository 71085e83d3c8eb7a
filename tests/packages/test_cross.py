#!/usr/bin/python3
"""The Debian packages for arm64, made on amd64: by name and dependency those that an arm64 machine would make, and programs that run.
What apt does with them there is tests/e2e/test_debian_system.py's."""
import hashlib
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import chroot
import debs
import skip
from debs import NAMES, ROOT, field

PROGRAMS = {"usr/sbin/kdump-load": "kdumpkit-load", "usr/sbin/kdump-capture": "kdumpkit-capture", "usr/bin/kdump-analyze": "kdumpkit-analyze",
            "usr/sbin/kdumpkit-mkinitramfs": "kdumpkit-capture", "usr/lib/kdumpkit/kdump-capture-http": "kdumpkit-capture-http"}
FOR_ALL = ["kdumpkit", "kdumpkit-doc"]


def sums(packages: dict[str, Path], names: list[str]) -> dict[str, str]:
    return {name: hashlib.sha256(packages[name].read_bytes()).hexdigest() for name in names}


class Cross(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.directory = Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        cls.debs = debs.make(cls.directory / "arm64", "arm64")
        cls.own = debs.make(cls.directory / "own")
        cls.tree = cls.directory / "tree"
        for deb in cls.debs.values():
            subprocess.run(["dpkg-deb", "-x", deb, cls.tree], check=True)

    def run_foreign(self, program: str, *arguments) -> subprocess.CompletedProcess:
        """With the libraries that scripts/deps installs beside this machine's own."""
        return subprocess.run(["qemu-aarch64-static", self.tree / program, *arguments], capture_output=True, text=True)

    def test_packed_twice(self):
        """Another day's clock zone, language and habits, and the same bytes."""
        again = debs.make(self.directory / "again", "arm64", TZ="Pacific/Kiritimati", LC_ALL="C", HOME="/nonexistent")
        self.assertEqual(NAMES, sorted(self.debs))
        self.assertEqual(sums(self.debs, NAMES), sums(again, NAMES))

    def test_architecture(self):
        for name, deb in self.debs.items():
            architecture = "all" if name in FOR_ALL else "arm64"
            self.assertEqual(architecture, field(deb, "Architecture"), name)
            self.assertTrue(deb.name.endswith(f"_{architecture}.deb"), deb.name)
        # Whoever makes those for all, makes the same.
        self.assertEqual(sums(self.own, FOR_ALL), sums(self.debs, FOR_ALL))

    def test_programs(self):
        found = [file for file in self.tree.rglob("*") if file.is_file() and not file.is_symlink() and file.read_bytes()[:4] == b"\x7fELF"]
        self.assertEqual({*PROGRAMS, "usr/lib/kdumpkit/kdump-init"}, {str(file.relative_to(self.tree)) for file in found})
        for file in found:
            said = subprocess.run(["readelf", "-hSdW", file], capture_output=True, text=True, check=True).stdout
            self.assertRegex(said, r"Machine:\s+AArch64", file)
            self.assertNotIn(".symtab", said, "not stripped")
            self.assertNotRegex(said, "RPATH|RUNPATH")

    def test_programs_run(self):
        for program in PROGRAMS:
            said = self.run_foreign(program, "--version")
            self.assertEqual((0, ["0.1.0"]), (said.returncode, said.stdout.split()[-1:]), said.stderr)
        own = self.directory / "own-tree"
        for name in ("kdumpkit-load", "kdumpkit-analyze"):
            subprocess.run(["dpkg-deb", "-x", self.own[name], own], check=True)
        for program in ["usr/sbin/kdump-load", "usr/bin/kdump-analyze"]:
            said = subprocess.run([own / program, "--help"], capture_output=True, text=True, check=True).stdout
            self.assertEqual(said, self.run_foreign(program, "--help").stdout)
        said = self.run_foreign("usr/sbin/kdump-capture", "check-config", self.tree / "etc/kdumpkit.toml")
        self.assertIn("good", said.stdout, said.stderr)

    def test_dependencies(self):
        """The names are those of this machine's packages; what is linked in statically, too."""
        for name in NAMES:
            with self.subTest(name):
                self.assertEqual(chroot.dependencies(self.own[name]), chroot.dependencies(self.debs[name]))
                built = [{part.split()[0] for part in field(made[name], "Built-Using").split(",") if part} for made in (self.own, self.debs)]
                self.assertEqual(*built)
                # A dependency on a package of the cross compiler could not be installed on the machine.
                self.assertNotIn("-cross", field(self.debs[name], "Depends") + field(self.debs[name], "Built-Using"))

    def test_lintian(self):
        self.assertEqual("", debs.lintian(list(self.debs.values())))

    def test_another_architecture_is_refused(self):
        for options, reason in [(["--arch", "armhf"], "packages for 'armhf' cannot be made on amd64"), (["--arch"], "--arch: which?"),
                                (["--arhc", "arm64"], "unknown option --arhc"), (["one", "two"], "one directory, not 2")]:
            done = subprocess.run([ROOT / "scripts" / "package", *options], capture_output=True, text=True, cwd=self.directory)
            self.assertEqual((2, ""), (done.returncode, done.stdout))
            self.assertIn(reason, done.stderr)
            self.assertIn("usage: ", done.stderr)


def main() -> None:
    skip.need("dh", "dpkg-deb", "lintian", "pandoc", "cmake", "ninja", "readelf", "qemu-aarch64-static", "aarch64-linux-gnu-strip")
    if chroot.host() != "amd64":
        print("skipped: this machine makes packages for arm64 as its own: packages-debian")
        sys.exit(77)
    for preset in ["arm64", "arm64-packages"]:
        if not (ROOT / "build" / preset / "bin" / "kdump-capture").exists():
            skip.skip(f"kdump-capture is not built: cmake --preset {preset} && cmake --build --preset {preset}")
    unittest.main(verbosity=2)


if __name__ == "__main__":
    main()
