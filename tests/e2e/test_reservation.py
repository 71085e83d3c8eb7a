#!/usr/bin/python3
"""The forecast that an initramfs fits, at its edge: what it lets through captures, and with a region of 1 MiB less the
same initramfs is refused before the crash. And `reserve`, on a running machine. The guest's side: guest/reservation.sh."""
import sys

import e2e

MIB = 1 << 20


class Reservation(e2e.TestCase):
    def report(self, step: str) -> dict:
        return self.valid_json(self.guest_run.text(step + ".stdout"))

    def reserved(self, step: str) -> int:
        return sum(int(region["size"], 16) for region in self.report(step)["reservation"]["regions"])

    def loaded(self, step: str) -> str:
        return self.guest_run.text(step + ".loaded").strip()

    def test_the_edge(self):
        self.assert_exit("accepted", 0)
        self.assertEqual("1", self.loaded("accepted"))
        self.assert_exit("refused", 1)
        self.assertEqual("0", self.loaded("refused"))
        self.assertIn("the initramfs unpacks to", self.guest_run.text("refused.stderr"))

    def test_what_was_let_through_captures(self):
        self.assert_exit("load", 0)
        self.assert_exit("save", 0)
        self.assertIn("sysrq triggered crash", self.guest_run.text("log.stdout"))
        # The forecast is no idle caution: half of what was free, less what lay in the initramfs, is all there was.
        meminfo = dict(line.split(":") for line in self.guest_run.text("crash.meminfo").splitlines())
        shmem = int(meminfo["Shmem"].split()[0]) * 1024
        self.assertGreater(shmem, 0.4 * int(meminfo["MemTotal"].split()[0]) * 1024)

    def test_report(self):
        self.assert_exit("reserve", 0)
        report = self.report("reserve")
        self.assertEqual("as_asked", report["reservation"]["state"])
        self.assertTrue(report["recommendation"]["enough"])
        self.assertLessEqual(report["recommendation"]["size_bytes"], self.reserved("reserve"))
        used = self.report("used")["reservation"]
        self.assertTrue(used["loaded"])
        self.assertIn("initrd", [segment["name"] for segment in used["segments"]])

    def test_shrink(self):
        self.assert_exit("shrink-loaded", 1)
        self.assertIn("kdump-load unload", self.guest_run.text("shrink-loaded.stderr"))
        self.assertIn("No such file", self.guest_run.text("kernel-shrink-loaded"), "the kernel refuses, too (ENOENT)")
        self.assert_exit("shrink", 0)
        size = int(self.guest_run.text("size"))
        self.assertEqual(self.reserved("reserve") - MIB, size, "to a whole page above what was asked for")
        self.assertEqual("differs", self.report("shrunk")["reservation"]["state"])
        self.assertEqual(size, self.reserved("shrunk"))
        self.assert_exit("grow", 1)
        self.assertIn("only make that smaller", self.guest_run.text("grow.stderr"))


if __name__ == "__main__":
    e2e.main(sys.argv[1])
