#!/usr/bin/python3
"""What must go wrong in a defined way: loads that would lose the next dump, and disks that are too full for it.
The guest's side is guest/bad-production.sh and guest/bad-crash.sh."""
import e2e
from dumpfile import INCOMPLETE, DumpFile


class Refused(e2e.TestCase):
    """kdump-load: exit 1, a reason that names the cause, and nothing loaded."""

    def assert_refused(self, step: str, *reasons: str) -> None:
        self.assert_exit(step, 1)
        for reason in reasons:
            self.assertIn(reason, self.guest_run.text(step + ".stderr"))
        self.assertEqual("0", self.guest_run.text(step + ".loaded").strip())

    def test_missing_kernel(self):
        self.assert_refused("no-kernel", "/mnt/missing", "No such file")

    def test_truncated_kernel(self):
        self.assert_refused("cut-kernel", "/mnt/cut.Image")

    def test_initrd_as_kernel(self):
        self.assert_refused("not-a-kernel", "/mnt/crash.initrd")

    def test_no_permission(self):
        self.assert_refused("no-permission", "root")

    def test_region_too_small(self):
        """An initramfs that the crash kernel's memory cannot hold: found before the crash, not after."""
        self.assert_refused("huge-initrd", "160.0 MiB", "Initramfs unpacking failed")

    def test_status_and_unload(self):
        self.assert_exit("not-armed", 3)
        self.assert_exit("load", 0)
        self.assertEqual("1", self.guest_run.text("load.loaded").strip())
        self.assert_exit("armed", 0)
        self.assert_exit("unload", 0)
        self.assertEqual("0", self.guest_run.text("unload.loaded").strip())
        self.assert_exit("reload", 0)


class FullDisk(e2e.TestCase):
    """kdump-capture: what fits is kept, under a name and with a flag that say so."""

    def test_log_came_first(self):
        self.assert_exit("log", 0)
        self.assertIn("sysrq triggered crash", self.guest_run.text("log.stdout"))

    def test_full_in_the_middle(self):
        self.assert_exit("full", 3)
        self.assertIn("No space left", self.guest_run.text("full.stderr"))
        summary = self.valid_json(self.guest_run.text("summary.json"))
        self.assertEqual("partial", summary["status"])
        kept = [file for file in self.guest_run.directory.glob("vmcore*") if not file.name.startswith("vmcore2")]
        self.assertEqual(1, len(kept), kept)
        self.assertNotEqual("vmcore", kept[0].name, "a partial dump must not look whole")
        self.assertTrue(DumpFile(kept[0]).status & INCOMPLETE)
        report = self.run_json("kdump-analyze", "report", kept[0], "--format", "json", expect=3)
        self.assertEqual("partial", report["status"])
        self.assertFalse(report["input"]["complete"])

    def test_full_from_the_start(self):
        self.assert_exit("none", 1)
        self.assertIn("No space left", self.guest_run.text("none.stderr"))
        self.assertNotIn("vmcore2", self.guest_run.text("listing"), "nothing useful was written, so nothing may be left")

    def test_missing_directory(self):
        self.assert_exit("missing", 1)
        self.assertIn("/mnt/nowhere", self.guest_run.text("missing.stderr"))


if __name__ == "__main__":
    e2e.main("bad-cases")
