#!/usr/bin/python3
"""What must go wrong in a defined way: loads that would lose the next dump, and disks that are too full for it.
The guest's side is guest/bad-production.sh and guest/bad-crash.sh."""
import e2e
from dumpfile import INCOMPLETE, DumpFile


class Refused(e2e.TestCase):
    """kdump-load: exit 1, the cause and what to do about it, and the crash kernel loaded before is still armed."""

    def loaded(self, step: str) -> str:
        return self.guest_run.text(step + ".loaded").strip()

    def assert_refused(self, step: str, *reasons: str) -> None:
        self.assert_exit(step, 1)
        for reason in reasons:
            self.assertIn(reason, self.guest_run.text(step + ".stderr"))
        self.assertEqual("1", self.loaded(step))
        self.assert_exit(step + "-status", 0)
        self.assertTrue(self.guest_run.text(step + "-status.stdout").startswith("armed"))

    def test_nothing_was_loaded_before(self):
        self.assert_exit("no-kernel", 1)
        self.assertIn("/mnt/missing: No such file", self.guest_run.text("no-kernel.stderr"))
        self.assertEqual("0", self.loaded("no-kernel"))
        self.assert_exit("no-kernel-status", 3)

    def test_load_and_unload(self):
        for step, loaded, status in [("load", "1", 0), ("unload", "0", 3), ("reload", "1", 0)]:
            self.assert_exit(step, 0)
            self.assertEqual(loaded, self.loaded(step))
            self.assert_exit(step + "-status", status)

    def test_truncated_kernel(self):
        self.assert_refused("cut-kernel", "/mnt/cut.Image: truncated", "copy the kernel file again")

    def test_truncated_zboot(self):
        self.assert_refused("cut-zboot", "/mnt/cut.zboot: EFI zboot: truncated: the payload", "copy the kernel file again")

    def test_initrd_as_kernel(self):
        self.assert_refused("not-a-kernel", "/mnt/crash.initrd: ", "not a kernel")

    def test_kernel_of_another_architecture(self):
        self.assert_refused("other-architecture", "/mnt/amd64.Image: ", "an x86 bzImage", "use an arm64 kernel")

    def test_kernel_of_another_page_size(self):
        """Nothing in the running kernel would stop it: kexec_load does not look at the image."""
        self.assert_refused("other-pages", "check page_size: ", "16 KiB", "Cortex-A57", "use a kernel with other pages")

    def test_device_tree_without_memory(self):
        self.assert_refused("no-memory", "check device_tree_memory: ", "no memory node", "or leave it out")

    def test_region_too_small(self):
        """An initramfs that the crash kernel's memory cannot hold: found before the crash, not after."""
        self.assert_refused("huge-initrd", "160.0 MiB", "Initramfs unpacking failed")

    def test_no_permission(self):
        self.assert_refused("no-permission", "run as root")

    def test_no_capability(self):
        self.assert_refused("no-capability", "check permission: ", "CAP_SYS_BOOT", "run as root")

    def test_unsigned_under_lockdown(self):
        self.assert_refused("locked-down", "check permission: ", 'lockdown is "integrity"', "turn lockdown or Secure Boot off")

    def test_loading_is_disabled(self):
        self.assert_refused("disabled", "check permission: ", "kexec_load_disabled is 1", "until the next boot")


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
