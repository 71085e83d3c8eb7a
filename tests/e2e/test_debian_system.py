#!/usr/bin/python3
"""From package to armed machine: a stock Debian 12 installs our packages, is armed after the reboot that the README asks for,
refuses a wrong configuration, upgrades its kernel and is armed with the new one, crashes, and comes back with the dump, its
explanation and a crash kernel armed again. The guest's side is guest/debian-stage.sh.

usage: test_debian_system.py amd64|arm64
"""
import os
import re
import sys
import unittest

import debian_system
import e2e
import guest
from dumpfile import INCOMPLETE, DumpFile


class DebianSystem(e2e.TestCase):
    def test_installed_by_apt(self):
        self.assert_exit("install", 0)
        self.assert_exit("mkinitramfs", 0)
        modules = self.guest_run.text("mkinitramfs.stdout").splitlines()
        for module in ["virtio_pci.ko", "virtio_blk.ko"]:  # ext4 is built in
            self.assertIn(module, modules)
        self.assertLess(len(modules), 10, "only what leads to the target")

    def test_small_initramfs(self):
        """Beside the kernel modules 12 MiB at most; the numbers are in the README."""
        said = self.guest_run.text("mkinitramfs.stdout").splitlines()[-1]
        found = re.search(r"written: ([\d.]+) MB packed, ([\d.]+) MiB unpacked, ([\d.]+) MiB of that", said)
        self.assertIsNotNone(found, said)
        self.assertLess(float(found[2]) - float(found[3]), 12, said)

    def test_says_that_nothing_is_reserved(self):
        self.assert_exit("not-armed", 1)
        self.assertIn("<4>not armed: no memory is reserved", self.guest_run.text("not-armed.stdout"))

    def test_reservation_as_recommended(self):
        self.assert_exit("apply", 0)
        self.assertIn("crashkernel=", self.guest_run.text("apply.stdout"))

    def test_armed_after_the_reboot(self):
        self.assert_exit("status", 0)
        self.assertEqual("armed", self.valid_json(self.guest_run.text("status.stdout"))["state"])
        self.assertEqual("success", self.guest_run.text("check.stdout").strip())
        self.assertIn("armed: a crash kernel is loaded", self.guest_run.text("check-log.stdout"))
        self.assertEqual("", self.guest_run.text("failed.stdout"), "failed units")

    def test_a_wrong_configuration_is_refused(self):
        said = self.guest_run.text("refused.stdout")
        self.assertRegex(said, r"/etc/kdumpkit.toml:\d+: .*nonsense")
        self.assert_exit("still-armed", 0)
        self.assert_exit("config-changed", 0)

    def test_options_of_the_administrator(self):
        self.assertRegex(self.crash_console(), r"Kernel command line: .* nr_cpus=1 kdk_test=1")

    def crash_console(self) -> str:
        console = self.guest_run.text("console.log")
        return console[console.index("Kernel panic - not syncing: sysrq triggered crash"):]

    def test_the_same_kernel_again_arms_again(self):
        self.assert_exit("kernel-again", 0)
        self.assert_exit("armed-again", 0)

    def releases(self) -> tuple[str, str]:
        """The kernel that the machine came with, and the one it was upgraded to."""
        old, new = self.guest_run.text("old-release.stdout").strip(), self.guest_run.text("upgraded-release.stdout").strip()
        self.assertTrue(old.startswith("6.1.") and new.startswith("6.12."), (old, new))
        return old, new

    def images(self, step: str) -> list[str]:
        return [line.removeprefix("/var/lib/kdumpkit/initramfs-").removesuffix(".img") for line in self.guest_run.text(f"{step}.stdout").split()]

    def test_a_kernel_upgrade(self):
        """By apt: what crashes of the new kernel need is made when it is installed, while the old one runs and stays armed."""
        old, new = self.releases()
        self.assert_exit("kernel-upgrade", 0)
        self.assertRegex(self.guest_run.text("kernel-upgrade.stdout"), rf"/var/lib/kdumpkit/initramfs-{re.escape(new)}\.img written: ")
        self.assertEqual(sorted([old, new]), self.images("kernel-image"))
        self.assert_exit("kernel-upgrade-status", 0)

    def test_the_new_kernel_is_armed_by_its_first_boot(self):
        """With the image that was there."""
        _, new = self.releases()
        self.assert_exit("upgraded", 0)
        self.assertEqual("armed", self.valid_json(self.guest_run.text("upgraded.stdout"))["state"])
        self.assertEqual("success", self.guest_run.text("upgraded-check.stdout").strip())
        self.assertIn(f"initramfs-{new}.img is up to date", self.guest_run.text("upgraded-log.stdout"))
        self.assertEqual("", self.guest_run.text("upgraded-failed.stdout"), "failed units")
        self.assert_exit("verify", 0)
        report = self.valid_json((self.crash() / "report.json").read_text())
        self.assertEqual(new, report["identity"]["release"], "the one that crashed")

    def test_a_running_system(self):
        """/proc/kcore of a machine that has no vmlinux. What is looked at may change meanwhile: some of it may be damaged (exit 3)."""
        _, new = self.releases()

        def answer(command):
            self.assertIn(self.guest_run.text(f"live-{command}.rc").strip(), ("0", "3"), self.guest_run.text(f"live-{command}.stderr"))
            return self.valid_json(self.guest_run.text(f"live-{command}.stdout"))

        self.assertEqual(new, answer("sys")["identity"]["release"])
        self.assertIn((1, "systemd"), {(task["pid"], task["comm"]) for task in answer("ps")["items"]})
        frames = answer("bt")["stacks"][0]["backtrace"]["frames"]
        self.assertTrue({"ep_poll", "do_epoll_wait", "schedule"} & {frame["symbol"] for frame in frames}, frames)
        self.assertTrue(any(record["text"].startswith(f"Linux version {new} ") for record in answer("log")["records"]))
        self.assert_exit("live-shell", 0)
        self.assertRegex(self.guest_run.text("live-shell.stdout"), r"\bpanic\b[\s\S]*\b(do_epoll_wait|schedule)\b")

    def test_an_installation_of_a_kernel_never_fails(self):
        self.assert_exit("kernel-without-modules", 0)
        said = self.guest_run.text("kernel-without-modules.stderr")
        self.assertIn("kdumpkit-mkinitramfs: error: ", said)
        self.assertIn("no initramfs for crashes of 6.99-none", said)

    def test_a_removed_kernel(self):
        _, new = self.releases()
        self.assert_exit("old-removed", 0)
        self.assertEqual([new], self.images("old-image"))
        self.assert_exit("old-removed-status", 0)

    def crash(self):
        found = list(self.guest_run.path("var-crash").iterdir())
        self.assertEqual(1, len(found), found)
        self.assertRegex(found[0].name, r"^machine-\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ$")
        return found[0]

    def test_dump(self):
        directory = self.crash()
        self.assertFalse(DumpFile(directory / "vmcore").status & INCOMPLETE)
        self.assertIn("sysrq triggered crash", (directory / "dmesg.txt").read_text())
        self.assertEqual("complete", self.valid_json((directory / "summary.json").read_text())["status"])

    def test_no_shell_in_the_crash_path(self):
        second = self.crash_console()
        start = second.index("Run /init as init process")
        first_words = second.index("kdumpkit: capture started", start)
        self.assertNotIn("systemd", second[start:first_words], "the crash kernel starts nothing else")
        self.assertNotIn("kdump-init:", second, "nothing to complain about")
        self.assertRegex(second, r"kdumpkit: capture finished: saved /dev/vd\w+ var/crash/machine-")

    def test_explained_once(self):
        directory = self.crash()
        report = self.valid_json((directory / "report.json").read_text())
        self.assertEqual("sysrq_crash", report["crash"]["class"]["name"])
        self.assertIn("sysrq_handle_crash", (directory / "report.txt").read_text())
        journal = self.guest_run.text("report-log.stdout")
        self.assertIn("sysrq triggered crash", journal)
        self.assertIn("sysrq_handle_crash", journal)
        self.assertIn("/vmcore:", self.guest_run.text("report-priority.stdout"), "the dump itself is worth an alarm")
        self.assertEqual("", self.guest_run.text("report-again.stdout"))

    def test_armed_again_after_the_crash(self):
        self.assert_exit("back", 0)
        self.assertIn("armed: a crash kernel is loaded", self.guest_run.text("back.stdout"))
        self.assertEqual("success", self.guest_run.text("back-check.stdout").strip())
        self.assertEqual("", self.guest_run.text("back-failed.stdout"), "failed units")


def main() -> None:
    try:
        e2e.TestCase.guest_run = debian_system.get(debian_system.README[sys.argv[1] if len(sys.argv) > 1 else "amd64"])
    except guest.Skip as skip:
        print(f"skipped: {skip}")
        sys.exit(1 if os.environ.get("CI") == "true" else 77)
    print(f"guest run: {e2e.TestCase.guest_run.directory}", flush=True)
    unittest.main(argv=sys.argv[:1], verbosity=2)


if __name__ == "__main__":
    main()
