#!/usr/bin/python3
"""kdump-load reserve --apply and --undo on trees of boot loader files: what changes, the diff that is shown, and that
undoing leaves every byte and mode as it was.

usage: reserve_apply_test.py KDUMP_LOAD
"""
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

PROGRAM = sys.argv[1]
GRUB = '''GRUB_DEFAULT=0
# crashkernel= in a comment
GRUB_CMDLINE_LINUX_DEFAULT="quiet crashkernel=128M splash"
GRUB_CMDLINE_LINUX=""
GRUB_TIMEOUT=5
'''
ENTRY = '''title Linux
version 6.12
linux /vmlinuz-6.12
initrd /initrd-6.12
options root=UUID=1 crashkernel=1G-4G:192M,4G-:256M ro
options quiet
'''


class Apply(unittest.TestCase):
    def setUp(self):
        self.root = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.root)

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def call(self, *arguments, code=0):
        result = subprocess.run([PROGRAM, "reserve", "--sysroot", self.root, *arguments], capture_output=True, text=True,
                                stdin=subprocess.DEVNULL)
        self.assertEqual(code, result.returncode, result.stdout + result.stderr)
        return result

    def files(self) -> dict:
        """Content and mode of all files but the kept ones."""
        return {path.relative_to(self.root): (path.read_bytes(), path.lstat().st_mode)
                for path in sorted(self.root.rglob("*")) if path.is_file() and "kdumpkit/boot-files" not in str(path)}

    def apply_and_undo(self, value: str) -> dict:
        """The files after --apply, as text. Checks the diff with patch(1), and that --undo brings all back."""
        before = self.files()
        shown = self.call("--apply", value, code=3).stdout
        self.assertEqual(before, self.files(), "nothing without --yes")
        done = self.call("--apply", value, "--yes").stdout
        self.assertIn(shown, done)
        after = self.files()
        # The diff is the whole difference: patch makes the same of the old files.
        with tempfile.TemporaryDirectory() as temp:
            for name, (content, _) in before.items():
                Path(temp, name).parent.mkdir(parents=True, exist_ok=True)
                Path(temp, name).write_bytes(content)
            subprocess.run(["patch", "-s", "-p1", "-d", temp], input=shown, text=True, check=True)
            patched = {path.relative_to(temp): path.read_bytes() for path in Path(temp).rglob("*") if path.is_file()}
        self.assertEqual({name: content for name, (content, _) in after.items()}, patched)
        self.assertIn("already", self.call("--apply", value).stdout, "a second time there is nothing to do")
        self.call("--undo", code=3)
        self.assertEqual(after, self.files())
        self.call("--undo", "--yes")
        self.assertEqual(before, self.files())
        self.assertIn("nothing to undo", self.call("--undo", "--yes", code=1).stderr)
        return {str(name): content.decode() for name, (content, _) in after.items()}

    def test_grub_with_drop_ins(self):
        self.write("etc/default/grub", GRUB).chmod(0o600)
        self.write("etc/default/grub.d/kdump-tools.cfg",
                   'GRUB_CMDLINE_LINUX_DEFAULT="$GRUB_CMDLINE_LINUX_DEFAULT crashkernel=384M-:128M"\n')
        self.write("usr/sbin/update-grub", "")
        self.assertIn("now run: update-grub", self.call("--apply", "512M", "--yes").stdout)
        self.call("--undo", "--yes")
        after = self.apply_and_undo("512M,high crashkernel=64M,low")
        self.assertEqual(GRUB.replace("crashkernel=128M ", ""), after["etc/default/grub"])
        self.assertNotIn("crashkernel", after["etc/default/grub.d/kdump-tools.cfg"])
        # As a shell reads them, one after another.
        script = "; ".join(f". {self.root}/{name}" for name in sorted(after) if name.startswith("etc/default/grub"))
        self.call("--apply", "512M,high 64M,low", "--yes")
        line = subprocess.run(["sh", "-c", script + '; echo "$GRUB_CMDLINE_LINUX_DEFAULT"'], capture_output=True, text=True)
        self.assertEqual("quiet splash crashkernel=512M,high crashkernel=64M,low\n", line.stdout)

    def test_grub_of_one_file(self):
        self.write("etc/default/grub", GRUB)
        after = self.apply_and_undo("0x10000000@16M")["etc/default/grub"]
        self.assertIn('GRUB_CMDLINE_LINUX="crashkernel=0x10000000@16M"\n', after)
        self.assertIn('GRUB_CMDLINE_LINUX_DEFAULT="quiet splash"\n', after)
        self.assertIn("grub-mkconfig -o /boot/grub/grub.cfg", self.call("--apply", "256M", "--yes").stdout)

    def test_grub_file_that_says_nothing(self):
        self.write("etc/default/grub", "GRUB_TIMEOUT=5")  # without a line break
        self.assertEqual('GRUB_TIMEOUT=5\nGRUB_CMDLINE_LINUX="crashkernel=256M"\n', self.apply_and_undo("256M")["etc/default/grub"])

    def test_entries(self):
        self.write("boot/loader/entries/a.conf", ENTRY)
        self.write("boot/loader/entries/b.conf", "title B\nlinux /b\n")
        self.write("boot/loader/entries/windows.conf", "title W\nefi /w.efi\noptions x\n")
        self.write("efi/loader/entries/c.conf", "linux /c\noptions $kernelopts\n")
        self.write("etc/kernel/cmdline", "root=UUID=1 crashkernel=64M\n")
        self.write("etc/default/grub", GRUB)
        after = self.apply_and_undo("1G-:512M")
        self.assertIn("options root=UUID=1 ro\noptions quiet crashkernel=1G-:512M\n", after["boot/loader/entries/a.conf"])
        self.assertEqual("title B\nlinux /b\noptions crashkernel=1G-:512M\n", after["boot/loader/entries/b.conf"])
        self.assertNotIn("crashkernel", after["boot/loader/entries/windows.conf"])
        self.assertEqual("linux /c\noptions $kernelopts crashkernel=1G-:512M\n", after["efi/loader/entries/c.conf"])
        self.assertEqual("root=UUID=1 crashkernel=1G-:512M\n", after["etc/kernel/cmdline"])
        self.assertNotIn("now run", self.call("--apply", "256M", "--yes").stdout, "GRUB reads entries at boot")

    def test_extlinux(self):
        self.write("boot/extlinux/extlinux.conf",
                   "default l0\nlabel l0\n\tlinux /vmlinuz\n\tAPPEND root=/dev/vda1 crashkernel=64M ro\n"
                   "label l0r\n\tlinux /vmlinuz\n\tappend root=/dev/vda1 single\n")
        self.write("etc/default/u-boot", 'U_BOOT_PARAMETERS="ro quiet"\n')
        after = self.apply_and_undo("256M")
        self.assertIn("\tAPPEND root=/dev/vda1 ro crashkernel=256M\n", after["boot/extlinux/extlinux.conf"])
        self.assertIn("\tappend root=/dev/vda1 single crashkernel=256M\n", after["boot/extlinux/extlinux.conf"])
        self.assertEqual('U_BOOT_PARAMETERS="ro quiet crashkernel=256M"\n', after["etc/default/u-boot"])

    def test_where_u_boot_menu_takes_its_words_from(self):
        """The last file that sets U_BOOT_PARAMETERS, else kernel-install's line, else "ro quiet"."""
        self.write("boot/extlinux/extlinux.conf", "label l0\n\tappend root=/dev/vda1 ro quiet\n")
        defaults = self.write("etc/default/u-boot", '#U_BOOT_PARAMETERS="ro quiet"\n')
        self.assertEqual('#U_BOOT_PARAMETERS="ro quiet"\nU_BOOT_PARAMETERS="ro quiet crashkernel=256M"\n',
                         self.apply_and_undo("256M")["etc/default/u-boot"])
        self.write("etc/kernel/cmdline", "root=UUID=1\nro crashkernel=64M\n")
        after = self.apply_and_undo("256M")
        self.assertNotIn("\nU_BOOT_PARAMETERS", after["etc/default/u-boot"])
        self.assertEqual("root=UUID=1 ro crashkernel=256M\n", after["etc/kernel/cmdline"])
        defaults.write_text('U_BOOT_PARAMETERS="rw crashkernel=1G"\n')
        self.write("etc/u-boot-menu/conf.d/b.conf", "U_BOOT_PARAMETERS='ro crashkernel=2G'\n")
        after = self.apply_and_undo("256M")
        self.assertEqual('U_BOOT_PARAMETERS="rw"\n', after["etc/default/u-boot"])
        self.assertEqual("U_BOOT_PARAMETERS='ro crashkernel=256M'\n", after["etc/u-boot-menu/conf.d/b.conf"])

    def test_the_vendor_s_line_for_kernels_to_come(self):
        self.write("boot/loader/entries/a.conf", ENTRY)
        self.write("usr/lib/kernel/cmdline", "rw crashkernel=64M\naudit=0\n")
        after = self.apply_and_undo("256M")
        self.assertEqual("rw audit=0 crashkernel=256M\n", after["etc/kernel/cmdline"])
        self.assertIn("64M", after["usr/lib/kernel/cmdline"])

    def test_changes_are_undone_one_by_one(self):
        self.write("etc/default/grub", GRUB)
        self.call("--apply", "256M", "--yes")
        first = self.files()
        self.call("--apply", "512M", "--yes")
        self.call("--undo", "--yes")
        self.assertEqual(first, self.files())
        self.call("--undo", "--yes")
        self.assertEqual(GRUB, (self.root / "etc/default/grub").read_text())

    def test_what_others_changed_is_not_undone(self):
        grub = self.write("etc/default/grub", GRUB)
        self.call("--apply", "256M", "--yes")
        grub.write_text(grub.read_text() + "# mine\n")
        result = self.call("--undo", "--yes", code=1)
        self.assertIn("/etc/default/grub: was changed since", result.stderr)
        kept = result.stderr.split("compare it with ")[1].strip()
        self.assertEqual(GRUB, Path(kept).read_text())
        self.assertIn("# mine", grub.read_text())

    def test_what_was_removed_stays_removed(self):
        gone = self.write("boot/loader/entries/a.conf", ENTRY)
        stays = self.write("boot/loader/entries/b.conf", ENTRY)
        self.call("--apply", "256M", "--yes")
        gone.unlink()
        self.assertIn("a.conf: was removed since", self.call("--undo", "--yes").stderr)
        self.assertFalse(gone.exists())
        self.assertEqual(ENTRY, stays.read_text())

    def test_all_or_nothing(self):
        # The second file cannot be written: the name of its temporary file is too long.
        self.write("boot/loader/entries/a.conf", ENTRY)
        self.write("boot/loader/entries/" + "z" * 248 + ".conf", ENTRY)
        before = self.files()
        self.assertIn("File name too long", self.call("--apply", "256M", "--yes", code=1).stderr)
        self.assertEqual(before, self.files())
        self.assertIn("nothing to undo", self.call("--undo", code=1).stderr)

    def test_links_stay_links(self):
        self.write("etc/real", GRUB)
        (self.root / "etc/default").mkdir()
        os.symlink("../real", self.root / "etc/default/grub")
        self.call("--apply", "256M", "--yes")
        self.assertTrue((self.root / "etc/default/grub").is_symlink())
        self.assertIn("crashkernel=256M", (self.root / "etc/real").read_text())
        self.call("--undo", "--yes")
        self.assertEqual(GRUB, (self.root / "etc/real").read_text())

    def test_refused(self):
        self.assertIn("no boot loader's files", self.call("--apply", "256M", code=1).stderr)
        self.write("boot/EFI/Linux/a.efi", "")
        self.write("boot/grub2/grubenv", "# GRUB Environment Block\nkernelopts=root=/dev/a crashkernel=1G\n####")
        self.write("etc/default/grub", GRUB)
        shown = self.call("--apply", "256M", code=3).stdout
        self.assertIn("a.efi holds its command line itself", shown)
        self.assertIn("grubenv has a crashkernel= too", shown)
        for value, why in [("256X", "character 4"), ("64M,low", "neither"), ("1G-2G:64M,", "character 11"), ("0", "size is 0")]:
            self.assertIn(why, self.call("--apply", value, "--yes", code=1).stderr, value)
        self.write("proc/iomem", "40000000-4fffffff : System RAM\n")
        self.assertIn("not less than all", self.call("--apply", "256M", "--yes", code=1).stderr)
        self.assertIn("no range is for 256M", self.call("--apply", "1G-:64M", "--yes", code=1).stderr)
        self.assertEqual(GRUB, (self.root / "etc/default/grub").read_text())
        self.write("run/ostree-booted", "")
        self.assertIn("rpm-ostree kargs", self.call("--apply", "64M", "--yes", code=1).stderr)
        for together in [["--undo"], ["--json"], ["--shrink", "1M"]]:
            self.call("--apply", "64M", *together, code=2)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
