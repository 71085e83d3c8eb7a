#!/usr/bin/python3
"""Packed kernels really boot: each of them is loaded in the guest, and the last one saves the crash. The guest's side is
guest/packed-production.sh.     test_packed.py CONFIG"""
import sys

import e2e
import guest
from every_command import EveryCommand

CONFIG = guest.CONFIGS[sys.argv[1]]
FILES = CONFIG.kernel_files.split()


class Packed(e2e.TestCase):
    def test_every_file_is_loaded(self):
        for file in FILES:
            self.assert_exit("load-" + file, 0)

    def test_verified_after_the_last_load(self):
        self.assert_exit("verify", 0)
        record = self.valid_json(self.guest_run.text("verify.stdout"))["record"]
        if "linux.efi" not in FILES:
            return
        self.assert_exit("load", 0)
        self.assertEqual(("/mnt/kernels/linux.efi", ".initrd"), (record["initrd"]["path"], record["initrd"]["section"]))
        self.assertTrue(record["request"]["uki_initrd"])
        self.assertTrue(record["request"]["uki_command_line"])
        plan = self.valid_json(self.guest_run.text("plan.stdout"))
        self.assertEqual(["quiet", "crashkernel=256M"], plan["command_line"]["removed"])

    def test_no_copy_is_left_behind(self):
        """Outside of /var/lib/kdumpkit/armed, where copies are meant to be."""
        files = self.guest_run.text("big-files").split()
        self.assertIn("/bin/kdump-load", files, "the list lists nothing")
        self.assertEqual([], [file for file in files if not file.startswith(("/bin/", "/modules/", "/var/lib/kdumpkit/armed/"))])

    def test_the_last_one_saves_the_crash(self):
        words = self.guest_run.text("crash.cmdline").split()
        self.assertEqual("linux.efi" in FILES, "kdk_from_uki=1" in words)
        self.assert_exit("save", 0)
        self.assertIn("sysrq triggered crash", self.guest_run.text("log.stdout"))
        report = self.run_json("kdump-analyze", "report", self.guest_run.path("vmcore"), "--no-debug-info", "--format", "json")
        self.assertEqual("sysrq_crash", report["crash"]["class"]["name"])

    def test_every_command(self):
        EveryCommand(self, self.guest_run.path("vmcore"), guest.kernels.kernel(CONFIG.kernel).vmlinux).ask_all()


if __name__ == "__main__":
    e2e.main(sys.argv[1])
