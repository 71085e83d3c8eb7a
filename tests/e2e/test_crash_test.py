#!/usr/bin/python3
"""`kdump-load test --crash` in a guest, and what `status` says of it after the next boot. The guest's side is
guest/crash-test-production.sh."""
import json

import e2e


class CrashTest(e2e.TestCase):
    def outcome(self, step: str) -> dict:
        self.assert_exit(step, 3)  # nothing is armed in the second boot
        return self.valid_json(self.guest_run.text(step + ".stdout"))["crash_test"]

    def test_refuses_an_unarmed_machine(self):
        self.assert_exit("unarmed", 1)
        self.assertIn("not armed", self.guest_run.text("unarmed.stdout"))

    def test_refuses_without_a_confirmation(self):
        self.assert_exit("unasked", 1)
        self.assertIn("--yes-crash-this-machine", self.guest_run.text("unasked.stderr"))
        self.assert_exit("before", 0)
        self.assertIsNone(self.valid_json(self.guest_run.text("before.stdout"))["crash_test"])

    def test_said_what_it_does_and_crashed(self):
        self.assertIn("crashes the running kernel", self.guest_run.text("crash.stdout"))
        self.assertIsNone(self.guest_run.exit_code("crash"), "it must not return")

    def test_ended_with_a_reboot(self):
        """The crash kernel's final action, with the watchdog still running."""
        self.assertIsNone(self.guest_run.exit_code("run"), "it must not return")
        said = self.guest_run.text("run.stderr")
        self.assertIn("kdumpkit: capture started, 1 target, watchdog /dev/watchdog0\n", said)
        self.assertRegex(said, r"kdumpkit: capture finished: saved /mnt/out/dumps/.*Z\nkdumpkit: final action: reboot\n")
        first = self.guest_run.text("console-1.log")  # QEMU ended with it; console.log is of the next boot
        self.assertIn("reboot: Restarting system", first)
        self.assertNotIn("reboot: Power down", first)
        watchdog = dict(line.rsplit("/", 1)[1].split(":") for line in self.guest_run.text("watchdog").splitlines())
        self.assertEqual(("i6300ESB timer", "active", "60"), (watchdog["identity"], watchdog["state"], watchdog["timeout"]))

    def test_arrived(self):
        outcome = self.outcome("arrived")
        self.assertEqual("arrived", outcome["state"])
        self.assertEqual([], outcome["notes"])
        self.assertRegex(outcome["where"], r"^/mnt/out/dumps/.*Z$")
        self.assertIn(f"crash test {outcome['mark']}", self.guest_run.text("dmesg.txt"))
        self.assertIn("the dump arrived in /mnt/out/dumps/", self.guest_run.text("arrived-text.stdout"))

    def test_everything_less_is_told(self):
        mark = self.outcome("arrived")["mark"]
        for step, state in [("incomplete", "incomplete"), ("log-only", "log_only"), ("not-arrived", "not_arrived")]:
            outcome = self.outcome(step)
            self.assertEqual((state, mark), (outcome["state"], outcome["mark"]), json.dumps(outcome))


if __name__ == "__main__":
    e2e.main("crash-test")
