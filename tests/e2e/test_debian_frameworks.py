#!/usr/bin/python3
"""The crash kernel's initramfs as Debian's own tools make it, initramfs-tools and dracut, with our modules: each saves the dump of a
crashed Debian 12, to a second disk, and to the target behind a full one; once with kdump-init in place of their /init. The guest's side is
guest/debian-frameworks.sh."""
import os
import re
import sys
import unittest
from pathlib import Path

import debian_system
import doc_commands  # debian_system knows where
import e2e
import guest
from dumpfile import INCOMPLETE, DumpFile

SCENARIO = debian_system.Scenario("debian-frameworks.sh", installed=True, append="crashkernel=192M", disks=("crash 128", "full 16"))
CRASH = "Kernel panic - not syncing: sysrq triggered crash"


class DebianFrameworks(e2e.TestCase):
    def crash_console(self, number: int) -> str:
        """From the panic to the next boot of the machine."""
        parts = self.guest_run.text("console.log").split(CRASH)
        self.assertEqual(4, len(parts))
        return parts[number].split("capture finished")[0] + "capture finished" + parts[number].split("capture finished")[1].split("\n")[0]

    def assert_whole(self, directory: Path) -> None:
        self.assertFalse(DumpFile(directory / "vmcore").status & INCOMPLETE)
        self.assertIn("sysrq triggered crash", (directory / "dmesg.txt").read_text())
        self.assertEqual("complete", self.valid_json((directory / "summary.json").read_text())["status"])
        self.assertIn("sysrq_handle_crash", self.run_program("kdump-analyze", "bt", directory / "vmcore"))

    def only(self, directory: Path, pattern: str) -> Path:
        found = list(directory.glob(pattern))
        self.assertEqual(1, len(found), list(directory.iterdir()))
        return found[0]

    def test_armed_with_the_image(self):
        self.assertEqual("armed", self.valid_json(self.guest_run.text("first-status.stdout"))["state"])
        for step in ["initramfs-tools", "dracut", "no-shell"]:
            with self.subTest(step):
                for part in ["make", "load", "status"]:
                    self.assert_exit(f"{step}-{part}", 0)
                self.assertEqual("armed", self.valid_json(self.guest_run.text(f"{step}-status.stdout"))["state"])

    def test_contents(self):
        """12 MiB at most beside the modules, of which there are those that lead to the disk."""
        for tool in ["initramfs-tools", "dracut"]:
            with self.subTest(tool):
                files = self.guest_run.text(f"{tool}-files.stdout").split()
                for wanted in ["./bin/kdump-init", "./bin/kdump-capture", "./etc/kdumpkit.toml", "./modules/order", "./modules/virtio_blk.ko"]:
                    name = wanted.removeprefix("./")
                    self.assertTrue(any(file.endswith(name) for file in files), wanted)
                unpacked, modules = (int(self.guest_run.text(f"{tool}-{part}.stdout").split()[0]) for part in ["unpacked", "modules"])
                packed = int(self.guest_run.text(f"{tool}-packed.stdout"))
                print(f"{tool}: {packed / 1e6:.1f} MB packed, {unpacked / 0x100000:.1f} MiB unpacked, {modules / 0x100000:.1f} MiB modules")
                self.assertLess(unpacked - modules, 12 << 20)
                self.assertLess(modules, 4 << 20)
        shells = [file for file in self.guest_run.text("dracut-files.stdout").split() if re.search(r"/(ba|da|)sh$", file)]
        self.assertEqual([], shells)

    def test_initramfs_tools_to_a_second_disk(self):
        """By its hook, and with kdump-init in place of its /init."""
        dumps = sorted((self.guest_run.path("crash") / "dumps").iterdir())
        self.assertEqual(2, len(dumps), dumps)
        for dump, number in zip(dumps, [1, 3]):
            self.assertRegex(dump.name, "^machine-.*Z$")
            self.assert_whole(dump)
            self.assertRegex(self.crash_console(number), r"capture finished: saved /dev/vd\w+ dumps/machine-")

    def test_dracut_past_a_full_disk(self):
        cut = self.only(self.guest_run.path("full"), "machine-*.incomplete")
        self.assertIn("sysrq triggered crash", (cut / "dmesg.txt").read_text())
        self.assertIn("No space left on device", self.crash_console(2))
        self.assertRegex(self.crash_console(2), r"capture finished: saved /dev/vd\w+ var/crash/machine-")
        self.assert_whole(self.only(self.dumps(), "machine-*Z"))

    def dumps(self) -> Path:
        return self.guest_run.path("var-crash")

    def test_nothing_of_theirs_runs_before(self):
        """The hook comes before udev and before anybody looks for the root file system; or their /init is not started at all."""
        for number in [1, 2, 3]:
            with self.subTest(number):
                said = self.crash_console(number)
                start = re.search(r"Run (\S+) as init process", said)
                self.assertEqual("/usr/bin/kdump-init" if number == 3 else "/init", start[1])
                before = said[start.end():said.index("kdumpkit: capture started")]
                for theirs in ["udev", "systemd", "Begin: Mounting", "dracut", "EXT4-fs", "kdump-init:"]:
                    self.assertNotIn(theirs, before)

    def test_documented_commands(self):
        """Each that README.md and docs/ show of a machine does on this one what it is shown for."""
        commands = doc_commands.on_a_machine()
        self.assertGreater(len(commands), 15)
        for number, command in enumerate(commands):
            with self.subTest(f"{command.page}:{command.line}: {command.text}"):
                self.assertIn(self.guest_run.exit_code(f"documented-{number}"), (0, 3), self.guest_run.text(f"documented-{number}.stderr"))
                self.assertNotIn("error:", self.guest_run.text(f"documented-{number}.stderr"))

    def test_explained_and_armed_again(self):
        self.assertEqual("armed", self.valid_json(self.guest_run.text("back.stdout"))["state"])
        self.assertEqual("armed", self.valid_json(self.guest_run.text("after-initramfs-tools.stdout"))["state"])
        self.assertEqual("", self.guest_run.text("back-failed.stdout"), "failed units")
        for dump in [*self.dumps().glob("machine-*Z"), *(self.guest_run.path("crash") / "dumps").iterdir()][:1]:
            self.assertEqual("sysrq_crash", self.valid_json((dump / "report.json").read_text())["crash"]["class"]["name"])


def main() -> None:
    try:
        e2e.TestCase.guest_run = debian_system.get(SCENARIO)
    except guest.Skip as skip:
        print(f"skipped: {skip}")
        sys.exit(1 if os.environ.get("CI") == "true" else 77)
    print(f"guest run: {e2e.TestCase.guest_run.directory}", flush=True)
    unittest.main(argv=sys.argv[:1], verbosity=2)


if __name__ == "__main__":
    main()
