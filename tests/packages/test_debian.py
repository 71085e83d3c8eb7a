#!/usr/bin/python3
"""The Debian packages: made twice and compared, looked into, judged by lintian, and installed, upgraded, removed and purged
in a clean Debian."""
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import chroot
import debs
import fake_sysfs
import skip
from chroot import CannotMake, Chroot, dependencies
from debs import NAMES, ROOT, field

CONFIG = "etc/kdumpkit.toml"


class Debian(unittest.TestCase):
    maxDiff = None

    @classmethod
    def setUpClass(cls):
        cls.directory = Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        cls.debs = debs.make(cls.directory / "first")

    def unpacked(self, name: str) -> Path:
        tree = self.directory / "trees" / name
        if not tree.exists():
            tree.mkdir(parents=True)
            subprocess.run(["dpkg-deb", "-R", self.debs[name], tree], check=True)
        return tree

    def test_packed_twice(self):
        """Another day's clock zone, language and habits, and the same bytes."""
        again = debs.make(self.directory / "second", TZ="Pacific/Kiritimati", LC_ALL="C", HOME="/nonexistent")
        sums = [{name: hashlib.sha256(deb.read_bytes()).hexdigest() for name, deb in made.items()} for made in (self.debs, again)]
        self.assertEqual(NAMES, sorted(sums[0]))
        self.assertEqual(*sums)

    def test_version(self):
        version = re.search(r"project\(kdumpkit VERSION (\S+)", (ROOT / "CMakeLists.txt").read_text())[1]
        self.assertEqual({version}, {field(deb, "Version") for deb in self.debs.values()})

    def test_contents(self):
        for name, files in {
            "kdumpkit-load": ["usr/sbin/kdump-load", "usr/share/man/man8/kdump-load.8.gz"],
            "kdumpkit-capture": ["usr/sbin/kdump-capture", "usr/share/man/man8/kdump-capture.8.gz"],
            "kdumpkit-analyze": ["usr/bin/kdump-analyze", "usr/share/man/man1/kdump-analyze.1.gz"],
            "kdumpkit-capture ": ["usr/sbin/kdumpkit-mkinitramfs", "usr/share/man/man8/kdumpkit-mkinitramfs.8.gz"],
        }.items():
            tree = self.unpacked(name.strip())
            program = files[0].rsplit("/", 1)[1]
            files += [f"usr/share/bash-completion/completions/{program}", f"usr/share/zsh/vendor-completions/_{program}"]
            for file in files:
                self.assertTrue((tree / file).is_file(), file)
            self.assertEqual(0o755, (tree / files[0]).stat().st_mode & 0o7777)
            # bash loads a completion by the program's name, zsh by the names in its first line.
            self.assertIn(program, (tree / files[2]).read_text().splitlines()[-1].split())
            self.assertEqual(f"#compdef {program}", (tree / files[3]).read_text().splitlines()[0])
        self.assertEqual("/etc/kdumpkit.toml\n", (self.unpacked("kdumpkit-capture") / "DEBIAN" / "conffiles").read_text())
        self.assertEqual((ROOT / "etc" / "kdumpkit.toml").read_bytes(), (self.unpacked("kdumpkit-capture") / CONFIG).read_bytes())
        doc = self.unpacked("kdumpkit-doc") / "usr/share/doc/kdumpkit-doc"
        self.assertEqual({path.name for path in (ROOT / "schemas").glob("*.json")}, {path.name for path in (doc / "schemas").iterdir()})
        self.assertEqual({path.name for path in (ROOT / "docs").glob("*.md")},
                         {path.name.removesuffix(".gz") for path in doc.glob("*.md*")})

    def test_rule_runs_the_installed_program(self):
        rule = (self.unpacked("kdumpkit-load") / "usr/lib/udev/rules.d/98-kdumpkit.rules").read_text()
        programs = re.findall(r"(/\S*kdump-load)", rule)
        self.assertEqual(["/usr/sbin/kdump-load"], programs)

    def test_what_goes_into_the_initramfs_needs_nothing(self):
        for program in ["usr/sbin/kdump-capture", "usr/lib/kdumpkit/kdump-init"]:
            headers = subprocess.run(["readelf", "-lW", self.unpacked("kdumpkit-capture") / program], capture_output=True, text=True,
                                     check=True).stdout
            self.assertIn("LOAD", headers)
            self.assertNotIn("INTERP", headers)
        self.assertRegex(field(self.debs["kdumpkit-capture"], "Built-Using"), r"glibc \(= ")

    def test_dependencies(self):
        """What a program is linked with is what its package asks for."""
        self.assertLessEqual({"libc6", "libfdt1", "libssl3", "libstdc++6", "libzstd1"}, dependencies(self.debs["kdumpkit-load"]))
        self.assertLessEqual({"libc6", "libdw1", "libelf1", "libsnappy1v5"}, dependencies(self.debs["kdumpkit-analyze"]))
        self.assertLessEqual({"libc6", "libblkid1", "liblzma5"}, dependencies(self.debs["kdumpkit-capture"]))
        self.assertNotIn("libcurl4", dependencies(self.debs["kdumpkit-capture"]))
        self.assertIn("libcurl4", dependencies(self.debs["kdumpkit-capture-http"]))
        self.assertEqual({"kdumpkit-load", "kdumpkit-capture"}, dependencies(self.debs["kdumpkit"]))

    def test_lintian(self):
        self.assertEqual("", debs.lintian(list(self.debs.values())))

    def newer(self) -> list[Path]:
        """The packages of the next version, which brings another default configuration."""
        out = []
        for name in self.debs:
            tree = self.directory / "newer" / name
            shutil.copytree(self.unpacked(name), tree, symlinks=True)
            control = tree / "DEBIAN" / "control"
            control.write_text(control.read_text().replace("0.1.0", "0.1.1"))
            if name == "kdumpkit-capture":
                with (tree / CONFIG).open("a") as config:
                    config.write("# new\n")
            subprocess.run(["dpkg-deb", "--root-owner-group", "-b", tree, self.directory / f"{name}_newer.deb"], check=True,
                           stdout=subprocess.DEVNULL)
            out.append(self.directory / f"{name}_newer.deb")
        return out

    def images_of_other_tools(self, system: Chroot):
        """Debian's dracut and initramfs-tools with our modules. There is no /sys in a chroot, so one is made."""
        release = next(system.root.glob("boot/vmlinuz-*")).name.removeprefix("vmlinuz-")
        fake_sysfs.make(system.root / "tmp" / "fake", release)
        options = ["env", "KDUMPKIT_OPTIONS=--sysroot /tmp/fake"]
        tree = system.root / "tmp" / "tree"
        system.run("kdumpkit-mkinitramfs", "--sysroot", "/tmp/fake", "--tree", "/tmp/tree", release)
        ours = {str(file.relative_to(tree)) for file in tree.rglob("*") if file.is_file()}
        self.assertLessEqual({"bin/kdump-init", "bin/kdump-capture", "etc/kdumpkit.toml", "modules/order", "modules/virtio_blk.ko"}, ours)
        for tool, *command in [
                ("dracut", "--no-hostonly", "--modules", "kdumpkit", "--omit-drivers", ".*", "--force", "/tmp/dracut.img", release),
                ("dracut", "--no-hostonly", "--modules", "base kdumpkit", "--omit-drivers", ".*", "--force", "/tmp/dracut-base.img", release),
                ("mkinitramfs", "-d", "/usr/share/kdumpkit/initramfs-tools", "-o", "/tmp/mkinitramfs.img", release)]:
            image = next(Path(word).name for word in command if word.endswith(".img"))
            with self.subTest(image):
                said = system.run(*options, tool, *command)
                unpacked = self.directory / image.removesuffix(".img")
                image = system.root / "tmp" / image
                unpacked.mkdir()
                subprocess.run(f"gzip -dc {image} | cpio -idm --quiet --no-absolute-filenames", shell=True, cwd=unpacked, check=True)
                for file in ours:
                    self.assertTrue((unpacked / file).is_file(), said + file)
                    self.assertEqual((tree / file).read_bytes(), (unpacked / file).read_bytes(), file)
                # Hooks of other packages bring one or two to initramfs-tools'.
                others = [file.name for file in unpacked.rglob("*.ko*") if file.parent.name != "modules"]
                self.assertLess(len(others), 1 if tool == "dracut" else 5, others)
                hooks = [file for file in unpacked.rglob("*") if file.is_file() and "kdump-init --hook" in file.read_text(errors="replace")
                         and file.name != "kdump-init"]
                if unpacked.name == "dracut":
                    self.assertEqual([], hooks)
                    self.assertEqual("bin/kdump-init", os.readlink(unpacked / "init"))
                    self.assertFalse([name for name in ["sh", "bash", "dash"] if (unpacked / "usr/bin" / name).exists()], "a shell")
                else:
                    self.assertEqual(1, len(hooks), hooks)
                    self.assertTrue(os.access(hooks[0], os.X_OK))
                if unpacked.name != "dracut-base":
                    size = sum(file.stat().st_size for file in unpacked.rglob("*") if file.is_file() and not file.is_symlink())
                    self.assertLess(size, 12 << 20)
        # Nobody asked for it: it is not in. And where it cannot be of use, there is no image.
        system.run(*options, "dracut", "--no-hostonly", "--modules", "base", "--omit-drivers", ".*", "--force", "/tmp/plain.img", release)
        self.assertNotIn("kdump-init", subprocess.run(f"gzip -dc {system.root}/tmp/plain.img | cpio -t --quiet", shell=True,
                                                      capture_output=True, text=True, check=True).stdout)
        for tool, *command in [("dracut", "--no-hostonly", "--modules", "kdumpkit", "--force", "/tmp/bad.img", release),
                               ("mkinitramfs", "-d", "/usr/share/kdumpkit/initramfs-tools", "-o", "/tmp/bad.img", release)]:
            said = system.run("env", "KDUMPKIT_OPTIONS=--sysroot /nonexistent", tool, *command, expect=None)
            self.assertIn("kdumpkit-mkinitramfs: error: ", said)
            bad = system.root / "tmp/bad.img"
            self.assertTrue(not bad.exists() or bad.stat().st_size == 0, tool)  # mkinitramfs begins with touch(1)

    def test_life_in_a_clean_system(self):
        if os.geteuid() != 0:
            self.skipTest("chroot needs root")
        try:
            system = Chroot(list(self.debs.values()), self.directory)
        except CannotMake as problem:
            if os.environ.get("CI") == "true":
                raise
            self.skipTest(str(problem))
        before = system.files()
        both = [*self.debs.values(), *self.newer()]
        for deb in both:
            shutil.copy(deb, system.root / "tmp")
        inside = [f"/tmp/{deb.name}" for deb in both]
        apt = ["apt-get", "-y", "-o", "Dpkg::Options::=--force-confold"]

        system.run(*apt, "install", *inside[:len(NAMES)])
        for program in ["kdump-load", "kdump-capture", "kdump-analyze", "kdumpkit-mkinitramfs"]:
            self.assertEqual("0.1.0", system.run(program, "--version").split()[-1], program)
        self.assertIn("good", system.run("kdump-capture", "check-config"))

        self.images_of_other_tools(system)

        with (system.root / CONFIG).open("a") as config:
            config.write("# mine\n")
        system.run(*apt, "install", *inside[len(NAMES):])
        self.assertEqual({"0.1.1"}, set(system.run("dpkg-query", "-W", "-f", "${Version}\\n", *NAMES).split()))
        self.assertEqual("# mine", (system.root / CONFIG).read_text().splitlines()[-1], "the administrator's file stays")

        (system.root / "var/lib/kdumpkit").mkdir(exist_ok=True)
        (system.root / "var/lib/kdumpkit/initramfs-6.1.img").touch()
        system.run(*apt, "remove", *NAMES)
        left = system.files() - before
        self.assertIn("/" + CONFIG, left)
        self.assertEqual(set(), {file for file in left if file.startswith(("/usr/", "/lib/", "/bin/", "/sbin/"))})
        system.run(*apt, "purge", *NAMES)
        self.assertEqual(set(), system.files() - before, "left behind")
        self.assertEqual(set(), before - system.files(), "taken along")


def main() -> None:
    skip.need("dh", "dpkg-deb", "lintian", "mmdebstrap", "pandoc", "cmake", "ninja", "readelf")
    static = {"amd64": "x86-64", "arm64": "arm64"}.get(chroot.host())
    if not static or not (ROOT / "build" / static / "bin" / "kdump-capture").exists():
        skip.skip(f"the static kdump-capture is not built: cmake --preset {static} && cmake --build --preset {static}")
    unittest.main(verbosity=2)


if __name__ == "__main__":
    main()
