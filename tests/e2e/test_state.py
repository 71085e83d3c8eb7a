#!/usr/bin/python3
"""A machine that changes after it was armed: verify sees it, reload repairs it, and a refused load puts the image
before back, which then saves the crash. The guest's side is guest/state-production.sh."""
import json
import sys
import unittest

import e2e


class State(e2e.TestCase):
    def config(self) -> dict:
        return json.loads(self.guest_run.text("run.json"))

    def only_on(self, machine: str) -> None:
        if self.config()["machine"] != machine:
            raise unittest.SkipTest(f"{machine} only")

    def assert_loaded(self, step: str) -> None:
        self.assertEqual("1", self.guest_run.text(step + ".loaded").strip())

    def test_verified_after_the_load(self):
        self.assert_exit("load", 0)
        self.assert_exit("verify", 0)
        document = self.valid_json(self.guest_run.text("verify.stdout"))
        self.assertEqual("verified", document["state"])
        self.assertEqual("/mnt/kernel", document["record"]["request"]["kernel"])

    def test_a_new_cpu_makes_it_stale(self):
        self.only_on("x86-64")
        self.assertIn("cpu2", self.guest_run.text("cpus").split(), "the CPU did not come")
        self.assert_exit("cpu-status", 3)
        self.assertIn("CPUs were added or removed", self.guest_run.text("cpu-status.stdout"))
        self.assert_exit("cpu-verify", 3)

    def test_a_storm_is_one_reload(self):
        said = [self.guest_run.text(f"storm.{number}") for number in range(1, 5)]
        self.assertEqual(1, sum("crash kernel loaded again" in text for text in said), said)
        self.assertEqual(3, sum("will do it" in text for text in said), said)
        self.assert_exit("reloaded", 0)
        self.assert_loaded("reloaded")

    def test_a_changed_file_is_named(self):
        if self.config()["machine"] == "arm64":
            self.assert_exit("initrd-verify", 3)
            self.assertRegex(self.guest_run.text("initrd-verify.stdout"), r"DIFFERS +initrd_file +/mnt/initrd")
        self.assert_exit("file-verify", 3)
        self.assertRegex(self.guest_run.text("file-verify.stdout"), r"DIFFERS +kernel_file +/mnt/kernel")

    def test_a_refusal_that_is_foreseen(self):
        """The kernel's own count of its memory decides; nothing is asked of it."""
        self.only_on("arm64")
        self.assert_exit("foreseen", 1)
        self.assertIn("check segments: ", self.guest_run.text("foreseen.stderr"))
        self.assertIn("the crash kernel loaded before is still armed", self.guest_run.text("foreseen.stderr"))
        self.assert_loaded("foreseen")

    def test_a_refused_load_is_undone(self):
        self.assert_exit("refused", 1)
        call = "kexec_load: " if self.config()["machine"] == "arm64" else "kexec_file_load: "
        self.assertIn(call, self.guest_run.text("refused.stderr"))
        self.assertIn("loaded again: this machine is armed", self.guest_run.text("refused.stderr"))
        self.assert_loaded("refused")
        self.assert_exit("refused-status", 0)
        self.assertEqual("armed", self.valid_json(self.guest_run.text("refused-status.stdout"))["state"])

    def test_what_was_put_back_saves_the_crash(self):
        self.assert_exit("save", 0)
        self.assertIn("sysrq triggered crash", self.guest_run.text("log.stdout"))


if __name__ == "__main__":
    e2e.main(sys.argv[1])
