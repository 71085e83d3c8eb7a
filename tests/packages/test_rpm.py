#!/usr/bin/python3
"""packaging/kdumpkit.spec: rpm's own tools build its packages of what is built already, and what is in them is what the Debian
packages have, by name. (Dependencies of Fedora's cannot be had here: the builds are given.)"""
import os
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import skip

ROOT = Path(__file__).resolve().parent.parent.parent
SPEC = ROOT / "packaging" / "kdumpkit.spec"
SUFFIXES = ["", "-analyze", "-capture", "-capture-http", "-doc", "-load"]


def query(package: Path, *options) -> list[str]:
    return subprocess.run(["rpm", "-qp", "--nosignature", *options, package], capture_output=True, text=True, check=True).stdout.splitlines()


class Rpm(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.directory = Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        done = subprocess.run(["rpmbuild", "-bb", "--nodeps", "--define", f"_topdir {cls.directory}", "--define", f"kdk_source {ROOT}",
                               "--define", f"kdk_build {ROOT}/build", SPEC], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            raise AssertionError(done.stdout[-3000:])
        cls.packages = {re.sub(r"-0\.1\.0-.*", "", file.name): file for file in cls.directory.glob("RPMS/*/*.rpm")}

    def test_packages(self):
        self.assertEqual(["kdumpkit" + suffix for suffix in SUFFIXES], sorted(self.packages))
        version = re.search(r"project\(kdumpkit VERSION (\S+)", (ROOT / "CMakeLists.txt").read_text())[1]
        for package in self.packages.values():
            self.assertEqual([version], query(package, "--queryformat", "%{VERSION}\n"))

    def files(self, name: str) -> dict[str, str]:
        """Name of each file to its mode."""
        return {line.split(" ")[1]: line.split(" ")[0] for line in query(self.packages[name], "--queryformat", "[%{FILEMODES:perms} %{FILENAMES}\n]")}

    def test_contents(self):
        for name, wanted in {
                "kdumpkit": ["/usr/lib/systemd/system/kdumpkit-arm.service", "/usr/lib/systemd/system/kdumpkit-arm-network.service",
                             "/usr/lib/kdumpkit/arm", "/usr/lib/kdumpkit/new-kernel",
                             "/usr/lib/kernel/install.d/90-kdumpkit.install"],
                "kdumpkit-load": ["/usr/sbin/kdump-load", "/usr/lib/udev/rules.d/98-kdumpkit.rules", "/usr/share/man/man8/kdump-load.8"],
                "kdumpkit-capture": ["/etc/kdumpkit.toml", "/usr/sbin/kdump-capture", "/usr/lib/kdumpkit/kdump-init",
                                     "/usr/lib/dracut/modules.d/99kdumpkit/module-setup.sh", "/usr/share/man/man8/kdumpkit-mkinitramfs.8"],
                "kdumpkit-capture-http": ["/usr/lib/kdumpkit/kdump-capture-http"],
                "kdumpkit-analyze": ["/usr/bin/kdump-analyze", "/usr/share/man/man1/kdump-analyze.1"]}.items():
            files = self.files(name)
            self.assertLessEqual(set(wanted), {file.removesuffix(".gz") for file in files}, name)
            for file in wanted:
                if "/sbin/" in file or "/bin/" in file or file.startswith("/usr/lib/kdumpkit/"):
                    self.assertEqual("-rwxr-xr-x", files[file])
        units = {path.name for path in (ROOT / "packaging/systemd").iterdir() if path.suffix in (".service", ".path")}
        self.assertEqual(units, {Path(file).name for file in self.files("kdumpkit") if file.startswith("/usr/lib/systemd/system/")})
        docs = {Path(file).name.removesuffix(".gz") for file in self.files("kdumpkit-doc")}
        self.assertLessEqual({path.name for path in [*(ROOT / "docs").glob("*.md"), *(ROOT / "schemas").glob("*.json")]}, docs)

    def test_dependencies(self):
        """The libraries that a program is linked with, found by rpm itself; the other packages by name."""
        requires = {name: " ".join(query(package, "--requires")) for name, package in self.packages.items()}
        self.assertIn("libfdt.so.1", requires["kdumpkit-load"])
        self.assertIn("libdw.so.1", requires["kdumpkit-analyze"])
        self.assertIn("libcurl.so.4", requires["kdumpkit-capture-http"])
        self.assertNotIn("libcurl", requires["kdumpkit-capture"])
        for name in ["kdumpkit-load", "kdumpkit-capture"]:
            self.assertIn(f"{name} = 0.1.0", requires["kdumpkit"])

    def test_the_configuration_is_kept(self):
        self.assertEqual(["/etc/kdumpkit.toml"], query(self.packages["kdumpkit-capture"], "--configfiles"))

    def test_programs_run(self):
        """Out of the package, on this machine."""
        tree = self.directory / "tree"
        tree.mkdir()
        subprocess.run(f"rpm2cpio {self.packages['kdumpkit-capture']} | cpio -idm --quiet", shell=True, cwd=tree, check=True)
        said = subprocess.run([tree / "usr/sbin/kdump-capture", "check-config", tree / "etc/kdumpkit.toml"], capture_output=True, text=True)
        self.assertEqual(0, said.returncode, said.stderr)
        self.assertIn("good", said.stdout)

    def test_scripts(self):
        """What rpm runs is a shell script that a shell can read."""
        for package in self.packages.values():
            script = "\n".join(line for line in query(package, "--scripts") if not re.match(r"\w+ scriptlet|\w+ program", line))
            self.assertEqual("", subprocess.run(["sh", "-n"], input=script, capture_output=True, text=True).stderr)


def main() -> None:
    skip.need("rpmbuild", "rpm2cpio", "pandoc", "cmake", "ninja")
    static = {"x86_64": "x86-64", "aarch64": "arm64"}.get(os.uname().machine)
    if not static or not (ROOT / "build" / static / "bin" / "kdump-capture").exists():
        skip.skip(f"the static kdump-capture is not built: cmake --preset {static} && cmake --build --preset {static}")
    unittest.main(verbosity=2)


if __name__ == "__main__":
    main()
