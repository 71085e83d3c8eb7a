#!/usr/bin/python3
"""One bit of the loaded initramfs is changed before the crash: the crash kernel is not started, the console says why,
and the machine is reset. The guest's side is guest/damage-production.sh.

usage: test_digest.py CONFIG
"""
import sys

import e2e
import guest

CONFIG = guest.CONFIGS[sys.argv[1]]
MESSAGE = "kdump-load: the crash kernel is not started: initrd is not in memory as it was loaded; resetting the machine"


class Digest(e2e.TestCase):
    def test_it_was_on_by_itself(self):
        self.assert_exit("load", 0)
        plan = self.valid_json(self.guest_run.text("plan.stdout"))
        digest = plan["digest"]
        self.assertEqual(("auto", True, True), (digest["mode"], digest["on"], digest["resets"]), digest)
        self.assertIn(digest["console"], CONFIG.machine.command_line)
        compared = [s["data_bytes"] for s in plan["segments"] if s["in_digest"]]
        self.assertEqual(sum(compared), digest["bytes"])

    def test_the_bit_was_changed_where_nothing_looked_before(self):
        self.assert_exit("flip", 0)
        self.assert_exit("verify", 0)  # compares plans, not memory

    def test_the_crash_kernel_was_not_started(self):
        console = self.guest_run.text("console.log")
        _, crash, after = console.partition("sysrq: Trigger a crash")
        self.assertTrue(crash, console[-2000:])
        self.assertEqual(MESSAGE, after.strip().splitlines()[-1].strip())
        for first_words in [CONFIG.machine.first_record, "Linux version "]:
            self.assertNotIn(first_words, after)
        self.assertFalse(self.guest_run.path("save.rc").exists())


if __name__ == "__main__":
    e2e.main(sys.argv[1])
